// Operations of nn/: values against plain formulas in double precision, gradients against autograd and
// differences.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <string>

#include "memcap/base/contracts.hpp"
#include "memcap/nn/activation.hpp"
#include "memcap/nn/attention.hpp"
#include "memcap/nn/embedding.hpp"
#include "memcap/nn/linear.hpp"
#include "memcap/nn/norm.hpp"
#include "memcap/nn/product.hpp"
#include "memcap/nn/rotary.hpp"
#include "nn/kernels/cpu_kernels.hpp"

namespace memcap::nn {
namespace {

using Operation = std::function<at::Tensor(const at::Tensor&)>;

double relative_error(const at::Tensor& a, const at::Tensor& b) {
    return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>() /
           b.to(at::kDouble).abs().max().item<double>();
}

/// Compares an operation and its input gradient with a plain formula, which libtorch differentiates in
/// double.
void expect_like(const Operation& operation, const Operation& oracle, const at::Tensor& x) {
    const at::Tensor input = x.clone().requires_grad_(true);
    const at::Tensor output = operation(input);
    const at::Tensor wide = x.to(at::kDouble).requires_grad_(true);
    const at::Tensor expected = oracle(wide);
    ASSERT_EQ(output.sizes(), expected.sizes());
    EXPECT_LT(relative_error(output.detach(), expected.detach()), 2e-6);
    const at::Tensor direction = at::randn(output.sizes());
    const auto gradient = torch::autograd::grad({output}, {input}, {direction})[0];
    const auto wanted = torch::autograd::grad({expected}, {wide}, {direction.to(at::kDouble)})[0];
    EXPECT_LT(relative_error(gradient, wanted), 5e-6);
}

class Operations : public ::testing::Test {
  protected:
    Operations() { at::manual_seed(3); }
};

TEST_F(Operations, LinearIsTheProductAndItsGradientNeedsNoInput) {
    const at::Tensor weight = at::randn({7, 5});
    const at::Tensor bias = at::randn({7});
    const Linear linear(weight, bias, {});
    expect_like(
        [&](const at::Tensor& x) { return linear(x); },
        [&](const at::Tensor& x) { return at::matmul(x, weight.to(at::kDouble).t()) + bias.to(at::kDouble); },
        at::randn({2, 3, 5}));
    const at::Tensor input = at::randn({2, 5}).requires_grad_(true);
    at::Tensor output = linear(input);
    input.mutable_grad() = at::Tensor();
    input.set_data(
        at::zeros({2, 5}));  // whatever happens to the input, the gradient is that of the weight alone
    const auto gradient = torch::autograd::grad({output}, {input}, {at::ones({2, 7})})[0];
    EXPECT_LT(relative_error(gradient, at::matmul(at::ones({2, 7}), weight)), 1e-6);
}

TEST_F(Operations, KernelsAreThoseOfTheInstructionSetThatWasAskedFor) {
    const char* asked = std::getenv("MEMCAP_ISA");
    const std::string chosen(kernels::cpu_kernels().instruction_set);
    if (asked != nullptr && std::string(asked) == "plain") {
        EXPECT_EQ(chosen, "plain");
    } else if (__builtin_cpu_supports("x86-64-v4") && asked == nullptr) {
        EXPECT_EQ(chosen, "v4");
    } else if (__builtin_cpu_supports("x86-64-v3")) {
        EXPECT_EQ(chosen, "v3");
    } else {
        EXPECT_EQ(chosen, "plain");
    }
}

// What a precision rounds to is what was asked for, whatever the processor can multiply.
TEST_F(Operations, FactorsAreRoundedToThePrecisionThatWasAskedFor) {
    const at::Tensor third = at::full({1}, 1.0F / 3.0F);
    const auto factor = [&](Precision precision) {
        return product_mode(precision, at::kCPU).factor(third).item<double>();
    };
    EXPECT_EQ(factor(Precision::float32), static_cast<double>(1.0F / 3.0F));
    EXPECT_EQ(factor(Precision::bfloat16), 0.333984375);    // 171 / 2^9: 8 bits of significand
    EXPECT_EQ(factor(Precision::float16), 0.333251953125);  // 1365 / 2^12: 11 bits
}

TEST_F(Operations, ALinearInPartsIsTheOneOfTheirStack) {
    const std::vector<at::Tensor> parts{at::randn({7, 5}), at::randn({1, 5}), at::randn({4, 5})};
    const at::Tensor bias = at::randn({12});
    const Linear linear(parts, bias, {});
    const at::Tensor whole = at::cat(parts).to(at::kDouble);
    for (const auto& x : {at::randn({2, 3, 5}), at::randn({1, 5})}) {
        expect_like(
            [&](const at::Tensor& input) { return linear(input); },
            [&](const at::Tensor& input) { return at::matmul(input, whole.t()) + bias.to(at::kDouble); }, x);
    }
    // Not every processor multiplies bfloat16.
    const ProductMode mode = product_mode(Precision::bfloat16, at::kCPU);
    std::vector<at::Tensor> rounded;
    for (const auto& part : parts) rounded.push_back(part.to(mode.rounded).to(mode.multiplied));
    const at::Tensor x = at::randn({6, 5});
    const Linear in_parts(rounded, {}, mode);
    const Linear stacked(at::cat(rounded), {}, mode);
    EXPECT_LT(relative_error(in_parts(x), stacked(x)), 1e-2);
    EXPECT_LT(relative_error(in_parts.transposed(at::ones({6, 12})), stacked.transposed(at::ones({6, 12}))),
              1e-2);
}

TEST_F(Operations, RmsNormFollowsItsFormula) {
    const at::Tensor weight = at::randn({6});
    constexpr double kEpsilon = 0.05;
    expect_like([&](const at::Tensor& x) { return rms_norm(x, weight, kEpsilon); },
                [&](const at::Tensor& x) {
                    return x / (x.square().mean(-1, true) + kEpsilon).sqrt() * weight.to(at::kDouble);
                },
                at::randn({3, 4, 6}));
}

TEST_F(Operations, ASumThatIsNormalisedPassesBothGradientsOn) {
    constexpr double kEpsilon = 0.05;
    for (const std::int64_t width : {5, 16, 70}) {
        const at::Tensor weight = at::randn({width});
        const at::Tensor bias = at::randn({width});
        const at::Tensor added = at::randn({3, 4, width});
        const at::Tensor wide = added.to(at::kDouble);
        const auto join = [](const SumAndNorm& both) { return both.normalised * both.sum; };
        expect_like([&](const at::Tensor& x) { return join(add_rms_norm(x, added, weight, kEpsilon)); },
                    [&](const at::Tensor& x) {
                        const at::Tensor sum = x + wide;
                        return sum / (sum.square().mean(-1, true) + kEpsilon).sqrt() *
                               weight.to(at::kDouble) * sum;
                    },
                    at::randn({3, 4, width}));
        expect_like(
            [&](const at::Tensor& x) { return join(add_layer_norm(added, x, weight, bias, kEpsilon)); },
            [&](const at::Tensor& x) {
                const at::Tensor sum = x + wide;
                const at::Tensor centred = sum - sum.mean(-1, true);
                return (centred / (centred.square().mean(-1, true) + kEpsilon).sqrt() *
                            weight.to(at::kDouble) +
                        bias.to(at::kDouble)) *
                       sum;
            },
            at::randn({3, 4, width}));
        // Where only one of the two is used, its gradient alone passes.
        const at::Tensor x = at::randn({3, 4, width}).requires_grad_(true);
        const auto both = add_rms_norm(x, added, weight, kEpsilon);
        EXPECT_TRUE(at::equal(torch::autograd::grad({both.sum}, {x}, {added})[0], added));
    }
}

TEST_F(Operations, NormWeightsOfSeveralRowsRepeat) {
    const at::Tensor weight = at::randn({3, 6});
    expect_like([&](const at::Tensor& x) { return rms_norm(x, weight, 0.05); },
                [&](const at::Tensor& x) {
                    return x / (x.square().mean(-1, true) + 0.05).sqrt() * weight.to(at::kDouble);
                },
                at::randn({3, 4, 3, 6}));
}

/// The activations by their definitions.
at::Tensor plain_activation(const at::Tensor& x, Activation kind) {
    switch (kind) {
        case Activation::silu:
            return x * at::sigmoid(x);
        case Activation::relu:
            return at::where(x.gt(0), x, at::zeros_like(x));
        case Activation::gelu:
            return 0.5 * x * (1 + at::erf(x / std::sqrt(2.0)));
        case Activation::gelu_tanh:
            return 0.5 * x * (1 + at::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x.pow(3))));
        case Activation::softplus:
            return at::softplus(x);
    }
    return {};
}

TEST_F(Operations, ActivationsAndTheirGatesFollowTheirFormulas) {
    for (const auto kind : {Activation::silu, Activation::relu, Activation::gelu, Activation::gelu_tanh,
                            Activation::softplus}) {
        expect_like([kind](const at::Tensor& x) { return activate(x, kind); },
                    [kind](const at::Tensor& x) { return plain_activation(x, kind); },
                    at::randn({3, 4, 10}) * 3);
        expect_like([kind](const at::Tensor& x) { return gated(x, kind); },
                    [kind](const at::Tensor& x) {
                        const auto halves = x.chunk(2, -1);
                        return plain_activation(halves[0], kind) * halves[1];
                    },
                    at::randn({3, 4, 74}) * 3);
    }
}

TEST_F(Operations, ClipStopsAtItsLimitAndSoDoesTheGradient) {
    const at::Tensor x = at::tensor({-3.0F, -0.5F, 0.25F, 2.0F}).requires_grad_(true);
    const at::Tensor clipped = clip(x, -1.0, 1.0);
    EXPECT_TRUE(at::equal(clipped, at::tensor({-1.0F, -0.5F, 0.25F, 1.0F})));
    const auto gradient = torch::autograd::grad({clipped}, {x}, {at::ones({4})})[0];
    EXPECT_TRUE(at::equal(gradient, at::tensor({0.0F, 1.0F, 1.0F, 0.0F})));
}

TEST_F(Operations, LayerNormFollowsItsFormulaWithAndWithoutWeights) {
    constexpr double kEpsilon = 0.05;
    const at::Tensor weight = at::randn({6});
    const at::Tensor bias = at::randn({6});
    const auto plain = [](const at::Tensor& x) {
        const at::Tensor centred = x - x.mean(-1, true);
        return centred / (centred.square().mean(-1, true) + kEpsilon).sqrt();
    };
    expect_like([&](const at::Tensor& x) { return layer_norm(x, weight, bias, kEpsilon); },
                [&](const at::Tensor& x) { return plain(x) * weight.to(at::kDouble) + bias.to(at::kDouble); },
                at::randn({3, 4, 6}));
    expect_like([](const at::Tensor& x) { return layer_norm(x, {}, {}, kEpsilon); }, plain,
                at::randn({3, 4, 6}));
}

TEST_F(Operations, EmbeddingIsScaledAndSoIsItsSpread) {
    const at::Tensor weight = at::randn({7, 4});
    const Embedding embedding(weight, 3.0);
    const at::Tensor tokens = at::tensor(std::vector<std::int64_t>{6, 0, 2}, at::kLong);
    EXPECT_LT(relative_error(embedding(tokens), weight.index_select(0, tokens) * 3), 1e-6);
    EXPECT_NEAR(embedding.standard_deviation(), (weight.to(at::kDouble) * 3).std().item<double>(), 1e-5);
}

/// The first `width` elements of each head of x [B, T, H, d] turned pair by pair, halves paired.
at::Tensor plain_rotation(const at::Tensor& x, std::int64_t width, double theta) {
    std::vector<at::Tensor> positions;
    for (std::int64_t t = 0; t < x.size(1); ++t) {
        std::vector<at::Tensor> elements;
        for (std::int64_t i = 0; i < x.size(3); ++i) elements.push_back(x.select(1, t).select(-1, i));
        const std::vector<at::Tensor> given = elements;
        for (std::int64_t i = 0; i < width / 2; ++i) {
            const double angle = static_cast<double>(t) *
                                 std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(width));
            const at::Tensor& a = given[static_cast<std::size_t>(i)];
            const at::Tensor& b = given[static_cast<std::size_t>(i + width / 2)];
            elements[static_cast<std::size_t>(i)] = a * std::cos(angle) - b * std::sin(angle);
            elements[static_cast<std::size_t>(i + width / 2)] = b * std::cos(angle) + a * std::sin(angle);
        }
        positions.push_back(at::stack(elements, -1));
    }
    return at::stack(positions, 1);
}

TEST_F(Operations, RotaryTurnsPairsByPositionTimesFrequency) {
    constexpr std::int32_t kWidth = 6;
    constexpr double kTheta = 100.0;
    const RotaryTable table({.head_width = kWidth, .theta = kTheta, .linear_factor = 1.0, .llama3 = {}}, 16,
                            at::kCPU);
    expect_like([&](const at::Tensor& x) { return table.rotate(x); },
                [&](const at::Tensor& x) { return plain_rotation(x, kWidth, kTheta); },
                at::randn({2, 9, 3, kWidth}));
}

/// causal_attention() of [B, T, P] projections, each row of the batch a slot.
at::Tensor attention_of(const at::Tensor& projected, const HeadLayout& layout, const RotaryTable* rotary,
                        const AttentionOptions& options) {
    const auto segments = Segments::uniform(projected.size(0), projected.size(1), at::kCPU);
    return causal_attention(projected.flatten(0, 1), segments, layout, rotary, options, {})
        .unflatten(0, {projected.size(0), projected.size(1)});
}

/// Attention as its definition says, in double; query head h uses key head h / share. `rotate` acts on a
/// query or key head [B, T, 1, d].
at::Tensor plain_attention(const at::Tensor& projected, const HeadLayout& layout,
                           const AttentionOptions& options,
                           const std::function<at::Tensor(const at::Tensor&)>& rotate = {}) {
    const std::int64_t share = layout.query_heads / layout.key_heads;
    const std::int64_t positions = projected.size(1);
    const auto heads = [&](std::int64_t first, std::int64_t stride, std::int64_t count, bool rotated) {
        std::vector<at::Tensor> all;
        for (std::int64_t head = 0; head < count; ++head) {
            const at::Tensor own =
                projected.narrow(-1, first + head * stride, layout.head_width).unsqueeze(2);
            all.push_back(rotated && rotate ? rotate(own) : own);
        }
        return at::cat(all, 2);
    };
    const at::Tensor q = heads(0, layout.query_stride, layout.query_heads, true);
    const at::Tensor k = heads(layout.key_first, layout.key_stride, layout.key_heads, true);
    const at::Tensor v = heads(layout.value_first, layout.key_stride, layout.key_heads, false);
    const auto wide = [share](const at::Tensor& x) {
        return x.to(at::kDouble).repeat_interleave(share, 2).transpose(1, 2);
    };
    at::Tensor scores = at::matmul(q.transpose(1, 2), wide(k).transpose(-1, -2)) * options.scale;
    if (options.soft_cap > 0) scores = at::tanh(scores / options.soft_cap) * options.soft_cap;
    at::Tensor unseen = at::zeros({positions, positions}, at::kBool);
    for (std::int64_t query = 0; query < positions; ++query) {
        for (std::int64_t key = 0; key < positions; ++key) {
            const bool far = options.window > 0 && key <= query - options.window;
            if (key > query || far) unseen[query][key] = true;
        }
    }
    const at::Tensor mixed = at::matmul(scores.masked_fill(unseen, -INFINITY).softmax(-1), wide(v));
    return mixed.transpose(1, 2).flatten(2);
}

TEST_F(Operations, RotaryLeavesWhatIsBeyondItsWidth) {
    const RotaryTable part({.head_width = 4, .theta = 100.0, .linear_factor = 1.0, .llama3 = {}}, 16,
                           at::kCPU);
    const at::Tensor x = at::randn({2, 5, 3, 10});
    const at::Tensor rotated = part.rotate(x);
    EXPECT_TRUE(at::equal(rotated.narrow(-1, 4, 6), x.narrow(-1, 4, 6)));
    EXPECT_TRUE(at::equal(rotated.narrow(-1, 0, 4), part.rotate(x.narrow(-1, 0, 4).contiguous())));
}

TEST_F(Operations, RotaryTablesReachAsFarAsNeededWithTheSameNumbers) {
    // 3 pairs a position fill no vector register, and 5000 positions are no power of two.
    for (const std::int32_t width : {6, 64}) {
        const RotaryConfig config{.head_width = width, .theta = 1e4, .linear_factor = 1.0, .llama3 = {}};
        const RotaryTable whole(config, 5000, at::kCPU);
        const RotaryTable grown(config, 5000, at::kCPU);
        const at::Tensor x = at::randn({1, 5000, 1, width});
        const at::Tensor expected = whole.rotate(x);
        EXPECT_EQ(whole.table_positions(), 5000);
        EXPECT_EQ(grown.table_positions(), 0);
        for (const std::int64_t length : {1, 3, 100, 17, 129, 4096, 4999, 5000}) {
            const at::Tensor rotated = grown.rotate(x.narrow(1, 0, length));
            EXPECT_TRUE(at::equal(rotated, expected.narrow(1, 0, length))) << length;
            if (length == 129) {
                EXPECT_EQ(grown.table_positions(), 256);
            }
        }
        EXPECT_EQ(grown.table_positions(), 5000);
        EXPECT_THROW(grown.rotate(at::randn({1, 5001, 1, width})), ContractViolation);
    }
}

TEST_F(Operations, RotaryGradientOutlivesTheGrowthOfItsTable) {
    const RotaryConfig config{.head_width = 8, .theta = 100.0, .linear_factor = 1.0, .llama3 = {}};
    const RotaryTable table(config, 64, at::kCPU);
    const at::Tensor x = at::randn({1, 5, 2, 8}).requires_grad_(true);
    const at::Tensor direction = at::randn(x.sizes());
    const auto gradient_of = [&](const at::Tensor& output) {
        return torch::autograd::grad({output}, {x}, {direction})[0];
    };
    const at::Tensor before = table.rotate(x);
    {
        const at::NoGradGuard no_gradients;
        table.rotate(at::randn({1, 60, 2, 8}));
    }
    EXPECT_EQ(table.table_positions(), 64);
    EXPECT_TRUE(at::equal(gradient_of(before), gradient_of(table.rotate(x))));
}

TEST_F(Operations, CausalAttentionSharesKeysAmongGroupsOfQueriesInItsWindowAndUnderItsCap) {
    // Lengths and widths that fill no register, one register, one block of rows, and several of each.
    for (const std::int64_t positions : {1, 7, 33, 70}) {
        for (const std::int64_t width : {6, 16, 40}) {
            const HeadLayout layout = HeadLayout::stacked(4, 2, width);
            for (const std::int64_t window : {0, 2, 7, 40}) {
                for (const double soft_cap : {0.0, 0.5}) {
                    const AttentionOptions options{.scale = 0.4, .window = window, .soft_cap = soft_cap};
                    expect_like(
                        [&](const at::Tensor& x) { return attention_of(x, layout, nullptr, options); },
                        [&](const at::Tensor& x) { return plain_attention(x, layout, options); },
                        at::randn({2, positions, layout.width()}));
                }
            }
        }
    }
}

TEST_F(Operations, CausalAttentionRotatesQueriesAndKeysOfEitherLayout) {
    for (const std::int32_t rotated : {4, 12}) {
        const RotaryTable table({.head_width = rotated, .theta = 100.0, .linear_factor = 1.0, .llama3 = {}},
                                64, at::kCPU);
        const auto rotate = [&](const at::Tensor& x) { return plain_rotation(x, rotated, 100.0); };
        const AttentionOptions options{.scale = 0.3, .window = 0, .soft_cap = 0.0};
        for (const auto& layout : {HeadLayout::stacked(6, 2, 12), HeadLayout::interleaved(3, 12)}) {
            expect_like([&](const at::Tensor& x) { return attention_of(x, layout, &table, options); },
                        [&](const at::Tensor& x) { return plain_attention(x, layout, options, rotate); },
                        at::randn({2, 30, layout.width()}));
        }
    }
}

/// A rotation that is the same for all inputs, and those that depend on the length of theirs beyond 10.
std::vector<RotaryConfig> rotations_by_length() {
    const RotaryConfig plain{.head_width = 12, .theta = 100.0, .linear_factor = 1.0, .llama3 = {}};
    RotaryConfig longrope = plain;
    longrope.longrope = LongRopeScaling{.short_factors = {1, 1, 1, 1, 1, 1},
                                        .long_factors = {1, 2, 3, 4, 5, 6},
                                        .original_context_tokens = 10};
    RotaryConfig dynamic = plain;
    dynamic.dynamic = DynamicScaling{.factor = 4.0, .original_context_tokens = 10};
    return {plain, longrope, dynamic};
}

TEST_F(Operations, SlotsOfUnequalLengthAttendAsAlone) {
    const HeadLayout layout = HeadLayout::stacked(4, 2, 12);
    const Segments segments({3, 40, 10, 1, 17, 11}, at::kCPU);
    const at::Tensor projected = at::randn({segments.rows(), layout.width()});
    const at::Tensor direction = at::randn({segments.rows(), 48});
    constexpr ProductMode kRounded{at::kBFloat16, at::kFloat};
    for (const RotaryConfig& rotation : rotations_by_length()) {
        for (const auto& mode : {ProductMode{}, kRounded}) {
            // A last bit of a rounded gradient may fall to either side.
            const double tolerance = mode.rounded == at::kFloat ? 1e-5 : 1e-3;
            const auto run = [&](std::int64_t first, std::int64_t count, const Segments& own) {
                const RotaryTable table(rotation, 64, at::kCPU);
                const at::Tensor x = projected.narrow(0, first, count).clone().requires_grad_(true);
                const at::Tensor y = causal_attention(x, own, layout, &table, {.scale = 0.3}, mode);
                return std::pair(y.detach(),
                                 torch::autograd::grad({y}, {x}, {direction.narrow(0, first, count)})[0]);
            };
            const auto together = run(0, segments.rows(), segments);
            for (std::int64_t slot = 0; slot < segments.count(); ++slot) {
                const std::int64_t first = segments.first(slot);
                const std::int64_t count = segments.length(slot);
                const auto alone = run(first, count, Segments({count}, at::kCPU));
                EXPECT_LT(relative_error(together.first.narrow(0, first, count), alone.first), 1e-6);
                EXPECT_LT(relative_error(together.second.narrow(0, first, count), alone.second), tolerance);
            }
        }
    }
}

TEST_F(Operations, RotationOfAnInputDependsOnItsLengthAndNotOnThoseBefore) {
    for (const RotaryConfig& rotation : rotations_by_length()) {
        const RotaryTable used(rotation, 64, at::kCPU);
        for (const std::int64_t length : {40, 10, 11, 12, 40, 9, 64}) {
            const at::Tensor x = at::randn({2, length, 1, 12});
            const RotaryTable fresh(rotation, 64, at::kCPU);
            EXPECT_TRUE(at::equal(used.rotate(x), fresh.rotate(x))) << length;
        }
        const at::Tensor x = at::randn({1, 11, 1, 12});
        const bool by_length = rotation.common_tokens().has_value();
        EXPECT_NE(at::equal(used.rotate(x).narrow(1, 0, 10), used.rotate(x.narrow(1, 0, 10))), by_length);
    }
}

TEST_F(Operations, PadsBehindAPositionDoNotReachIt) {
    const HeadLayout layout = HeadLayout::stacked(2, 2, 8);
    at::Tensor projected = at::randn({1, 6, layout.width()});
    const auto first_four = [&] {
        return attention_of(projected, layout, nullptr, {.scale = 1.0}).narrow(1, 0, 4).clone();
    };
    const at::Tensor before = first_four();
    projected.narrow(1, 4, 2).fill_(1e3);
    EXPECT_TRUE(at::equal(before, first_four()));
}

TEST_F(Operations, ASlotWithoutNumbersLeavesItsNeighbours) {
    const HeadLayout layout = HeadLayout::stacked(2, 1, 8);
    const at::Tensor projected = at::randn({3, 20, layout.width()});
    const auto mixed = [&] { return attention_of(projected, layout, nullptr, {.scale = 1.0}); };
    const at::Tensor before = mixed();
    projected[1][3].fill_(NAN);
    projected[1][5].fill_(INFINITY);
    const at::Tensor after = mixed();
    EXPECT_TRUE(at::equal(before[0], after[0]));
    EXPECT_TRUE(at::equal(before[2], after[2]));
    EXPECT_TRUE(after[1].narrow(0, 3, 17).isnan().all().item<bool>());
}

TEST_F(Operations, ProductsInBfloat16RoundTheirFactors) {
    const ProductMode emulated{at::kBFloat16, at::kFloat};
    const at::Tensor x = at::randn({64, 32});
    const at::Tensor weight = at::randn({16, 32});
    const Linear linear(emulated.factor(weight), {}, emulated);
    const at::Tensor expected =
        at::matmul(x.to(at::kBFloat16).to(at::kDouble), weight.to(at::kBFloat16).to(at::kDouble).t());
    EXPECT_LT(relative_error(linear(x), expected), 1e-6);
    EXPECT_GT(relative_error(linear(x), at::matmul(x.to(at::kDouble), weight.to(at::kDouble).t())), 1e-4);
}

}  // namespace
}  // namespace memcap::nn
