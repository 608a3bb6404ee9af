// Norms, activations, attention, convolution and scan on the device against formulas in double precision.
#include <ATen/ATen.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "gpu/comparison.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/nn/activation.hpp"
#include "memcap/nn/attention.hpp"
#include "memcap/nn/norm.hpp"
#include "memcap/nn/state_space.hpp"
#include "nn/cuda/kernels.hpp"
#include "nn/plain_scan.hpp"

namespace memcap::nn {
namespace {

using test::expect_as_formula;
using test::kernel_device;
using test::random_values;
using test::Tensors;
using test::wide;

constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16, at::kHalf};
constexpr double kEpsilon = 0.05;

class DeviceOperations : public test::OnDevice {
  protected:
    DeviceOperations() { at::manual_seed(5); }
};

/// (x - mean) / sqrt(var + epsilon), or without the mean.
at::Tensor plain_norm(const at::Tensor& x, bool centred) {
    const at::Tensor from = centred ? x - x.mean(-1, true) : x;
    return from / (from.square().mean(-1, true) + kEpsilon).sqrt();
}

TEST_F(DeviceOperations, NormsFollowTheirFormulaAtAnyWidthAndType) {
    for (const auto type : kTypes) {
        // Odd widths, one warp a row and one block a row, in runs and in single elements.
        for (const std::int64_t width : {1, 3, 64, 70, 257, 768, 1028, 2050, 4096}) {
            const at::Tensor weight = at::randn({width});
            const at::Tensor bias = at::randn({width});
            const auto name = fmt::format("width {}, {}", width, c10::toString(type));
            const Tensors frozen = test::on_device({weight, bias});
            const Tensors x{random_values({7, width}, at::kFloat)};
            expect_as_formula(
                [&](const Tensors& in) { return Tensors{rms_norm(in[0], frozen[0], kEpsilon, type)}; },
                [&](const Tensors& in) { return Tensors{plain_norm(in[0], false) * wide(weight)}; }, x,
                "rms, " + name);
            expect_as_formula(
                [&](const Tensors& in) {
                    return Tensors{layer_norm(in[0], frozen[0], frozen[1], kEpsilon, type)};
                },
                [&](const Tensors& in) {
                    return Tensors{plain_norm(in[0], true) * wide(weight) + wide(bias)};
                },
                x, "layer, " + name);
            expect_as_formula(
                [&](const Tensors& in) { return Tensors{layer_norm(in[0], {}, {}, kEpsilon, type)}; },
                [&](const Tensors& in) { return Tensors{plain_norm(in[0], true)}; }, x, "bare, " + name);
        }
    }
}

TEST_F(DeviceOperations, SumsThatAreNormalisedPassBothGradientsOnInTheirTypes) {
    for (const auto type : kTypes) {
        for (const std::int64_t width : {5, 64, 1540}) {
            const at::Tensor weight = at::randn({width});
            const at::Tensor bias = at::randn({width});
            const Tensors frozen = test::on_device({weight, bias});
            const Tensors inputs{random_values({2, 3, width}, at::kFloat),
                                 random_values({2, 3, width}, type)};
            const auto name = fmt::format("width {}, {}", width, c10::toString(type));
            expect_as_formula(
                [&](const Tensors& in) {
                    const auto both = add_rms_norm(in[0], in[1], frozen[0], kEpsilon, type);
                    return Tensors{both.normalised, both.sum};
                },
                [&](const Tensors& in) {
                    const at::Tensor sum = in[0] + in[1];
                    return Tensors{plain_norm(sum, false) * wide(weight), sum};
                },
                inputs, "rms, " + name);
            expect_as_formula(
                [&](const Tensors& in) {
                    return Tensors{
                        add_layer_norm(in[0], in[1], frozen[0], frozen[1], kEpsilon, type).normalised};
                },
                [&](const Tensors& in) {
                    return Tensors{plain_norm(in[0] + in[1], true) * wide(weight) + wide(bias)};
                },
                inputs, "layer without the sum's own gradient, " + name);
        }
    }
}

TEST_F(DeviceOperations, NormWeightsOfSeveralRowsRepeat) {
    const at::Tensor weight = at::randn({3, 8});
    for (const auto type : kTypes) {
        expect_as_formula(
            [&](const Tensors& in) {
                return Tensors{rms_norm(in[0], weight.to(kernel_device()), kEpsilon, type)};
            },
            [&](const Tensors& in) { return Tensors{plain_norm(in[0], false) * wide(weight)}; },
            {random_values({2, 5, 3, 8}, type)}, "heads");
    }
}

TEST_F(DeviceOperations, ALayerNormFarFromZeroKeepsItsDigits) {
    const at::Tensor x = at::randn({4, 768}) + 1000.0;
    const at::Tensor found = layer_norm(x.to(kernel_device()), {}, {}, 1e-5);
    const at::Tensor from = wide(x) - wide(x).mean(-1, true);
    const at::Tensor expected = from / (from.square().mean(-1, true) + 1e-5).sqrt();
    EXPECT_LT(test::device_error(found, expected), 1e-4);
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

TEST_F(DeviceOperations, ActivationsAndTheirGatesFollowTheirFormulas) {
    for (const auto type : kTypes) {
        for (const auto kind : {Activation::silu, Activation::relu, Activation::gelu, Activation::gelu_tanh,
                                Activation::softplus}) {
            for (const std::int64_t width : {1, 37, 64, 2056}) {
                const auto name =
                    fmt::format("kind {}, width {}, {}", static_cast<int>(kind), width, c10::toString(type));
                expect_as_formula([&](const Tensors& in) { return Tensors{activate(in[0], kind)}; },
                                  [&](const Tensors& in) { return Tensors{plain_activation(in[0], kind)}; },
                                  {random_values({3, width}, type, 3.0)}, name);
                expect_as_formula([&](const Tensors& in) { return Tensors{gated(in[0], kind)}; },
                                  [&](const Tensors& in) {
                                      const auto halves = in[0].chunk(2, -1);
                                      return Tensors{plain_activation(halves[0], kind) * halves[1]};
                                  },
                                  {random_values({2, 2, 2 * width}, type, 3.0)}, "gate of " + name);
            }
        }
    }
}

/// The first `rotated` elements of each head of x [B, T, H, d] turned pair by pair, halves paired.
at::Tensor plain_rotation(const at::Tensor& x, std::int64_t rotated, double theta) {
    const std::int64_t half = rotated / 2;
    const auto exponent = at::arange(0, rotated, 2, at::kDouble) / rotated;
    const at::Tensor angle = at::arange(x.size(1), at::kDouble).unsqueeze(1) * at::pow(theta, -exponent);
    const at::Tensor cosine = angle.cos().unsqueeze(1);
    const at::Tensor sine = angle.sin().unsqueeze(1);
    const at::Tensor first = x.narrow(-1, 0, half);
    const at::Tensor second = x.narrow(-1, half, half);
    return at::cat({first * cosine - second * sine, second * cosine + first * sine,
                    x.narrow(-1, rotated, x.size(-1) - rotated)},
                   -1);
}

struct AttentionShape {
    HeadLayout layout;
    std::int64_t rotated;  ///< 0: none
    std::int64_t positions;
    AttentionOptions options;
};

constexpr double kTheta = 100.0;

at::Tensor plain_attention(const at::Tensor& projected, const AttentionShape& shape) {
    const HeadLayout& layout = shape.layout;
    const auto heads = [&](std::int64_t first, std::int64_t stride, std::int64_t count) {
        std::vector<at::Tensor> each;
        for (std::int64_t h = 0; h < count; ++h)
            each.push_back(projected.narrow(-1, first + h * stride, layout.head_width));
        return at::stack(each, 2);
    };
    const auto turned = [&](const at::Tensor& x) {
        return shape.rotated == 0 ? x : plain_rotation(x, shape.rotated, kTheta);
    };
    const std::int64_t shared_by = layout.query_heads / layout.key_heads;
    const at::Tensor q = turned(heads(0, layout.query_stride, layout.query_heads)).transpose(1, 2);
    const at::Tensor k = turned(heads(layout.key_first, layout.key_stride, layout.key_heads));
    const at::Tensor v = heads(layout.value_first, layout.key_stride, layout.key_heads);
    const auto for_queries = [&](const at::Tensor& x) {
        return x.repeat_interleave(shared_by, 2).transpose(1, 2);
    };
    at::Tensor scores = at::matmul(q, for_queries(k).transpose(-1, -2)) * shape.options.scale;
    if (shape.options.soft_cap > 0)
        scores = at::tanh(scores / shape.options.soft_cap) * shape.options.soft_cap;
    at::Tensor seen = at::ones({shape.positions, shape.positions}, at::kBool).tril();
    if (shape.options.window > 0) seen = seen.triu(1 - shape.options.window);
    scores = scores.masked_fill(seen.logical_not(), -INFINITY);
    return at::matmul(scores.softmax(-1), for_queries(v)).transpose(1, 2).flatten(2);
}

TEST_F(DeviceOperations, AttentionFollowsItsFormulaForEachLayout) {
    const AttentionShape shapes[] = {
        {HeadLayout::stacked(4, 4, 16), 16, 9, {.scale = 0.25}},
        {HeadLayout::stacked(6, 2, 16), 16, 12, {.scale = 0.25}},
        {HeadLayout::interleaved(3, 16), 4, 7, {.scale = 0.25}},  // a quarter rotated, less than a run
        {HeadLayout::interleaved(2, 64), 16, 2, {.scale = 0.125}},
        {HeadLayout::stacked(2, 1, 6), 6, 5, {.scale = 0.4}},  // no multiple of a run
        {HeadLayout::stacked(3, 3, 8), 0, 1, {.scale = 0.3}},
        {HeadLayout::stacked(4, 2, 8), 8, 11, {.scale = 0.3, .window = 3}},
        {HeadLayout::stacked(4, 2, 8), 8, 11, {.scale = 0.9, .window = 0, .soft_cap = 2.0}}};
    for (const auto& shape : shapes) {
        const std::optional<RotaryTable> rotary =
            shape.rotated == 0
                ? std::nullopt
                : std::optional(RotaryTable({.head_width = static_cast<std::int32_t>(shape.rotated),
                                             .theta = kTheta,
                                             .linear_factor = 1.0,
                                             .llama3 = {}},
                                            64, kernel_device()));
        for (const auto type : {at::kFloat, at::kBFloat16}) {
            const ProductMode mode{type, type, type};
            const auto what =
                fmt::format("{} heads of {}, {} keys, {} rotated, window {}, {}", shape.layout.query_heads,
                            shape.layout.head_width, shape.layout.key_heads, shape.rotated,
                            shape.options.window, c10::toString(type));
            expect_as_formula(
                [&](const Tensors& in) {
                    const auto slots = Segments::uniform(2, shape.positions, kernel_device());
                    return Tensors{causal_attention(in[0].flatten(0, 1), slots, shape.layout,
                                                    rotary ? &*rotary : nullptr, shape.options, mode)
                                       .unflatten(0, {2, shape.positions})};
                },
                [&](const Tensors& in) { return Tensors{plain_attention(in[0], shape)}; },
                {random_values({2, shape.positions, shape.layout.width()}, type)}, what);
        }
    }
}

/// y of x [B, T, C] as the definition reads; weight [C, k].
at::Tensor plain_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    const std::int64_t taps = weight.size(1);
    const at::Tensor padded = at::constant_pad_nd(x, {0, 0, taps - 1, 0});
    at::Tensor y = bias.defined() ? bias + at::zeros_like(x) : at::zeros_like(x);
    for (std::int64_t j = 0; j < taps; ++j) y = y + padded.narrow(1, j, x.size(1)) * weight.select(1, j);
    return y;
}

struct ConvolutionShape {
    std::int64_t slots;
    std::int64_t positions;
    std::int64_t channels;
    std::int64_t taps;
};

TEST_F(DeviceOperations, ConvolutionStaysWithinItsSlots) {
    // One position, fewer positions than taps, channels that fill no block and no run.
    const ConvolutionShape shapes[] = {{1, 1, 1, 1},  {3, 1, 8, 4},    {2, 3, 7, 4},
                                       {2, 9, 64, 4}, {3, 12, 130, 2}, {2, 5, 1028, 6}};
    for (const auto& s : shapes) {
        const at::Tensor weight = at::randn({s.channels, s.taps});
        for (const at::Tensor& bias : {at::randn({s.channels}), at::Tensor()}) {
            const at::Tensor device_bias = bias.defined() ? bias.to(kernel_device()) : bias;
            expect_as_formula(
                [&](const Tensors& in) {
                    const auto slots = Segments::uniform(s.slots, s.positions, kernel_device());
                    return Tensors{causal_convolution(in[0].flatten(0, 1), slots, weight.to(kernel_device()),
                                                      device_bias)
                                       .unflatten(0, {s.slots, s.positions})};
                },
                [&](const Tensors& in) {
                    return Tensors{
                        plain_convolution(in[0], wide(weight), bias.defined() ? wide(bias) : bias)};
                },
                {at::randn({s.slots, s.positions, s.channels})},
                fmt::format("B{} T{} C{} k{} bias {}", s.slots, s.positions, s.channels, s.taps,
                            bias.defined()));
        }
    }
}

TEST_F(DeviceOperations, SlotsOfSeveralLengthsAreRefusedWithTheReason) {
    const Segments slots({2, 3}, kernel_device());
    const at::Tensor x = at::randn({5, 4}).to(kernel_device());
    const at::Tensor taps = at::randn({4, 2}).to(kernel_device());
    try {
        causal_convolution(x, slots, taps, {});
        FAIL() << "nothing was refused";
    } catch (const DeviceError& error) {
        EXPECT_NE(std::string(error.what()).find("2 slots of up to 3 positions, 5 rows"), std::string::npos)
            << error.what();
    }
}

struct ScanShape {
    std::int64_t slots;
    std::int64_t positions;
    std::int64_t channels;
    std::int64_t groups;
    std::int64_t states;
    std::int64_t decays;
};

TEST_F(DeviceOperations, SelectiveScanFollowsItsRecurrence) {
    // Chunks of every length, channels that fill no block, states of one thread and of many.
    const ScanShape shapes[] = {{1, 1, 1, 1, 1, 1},    {2, 7, 5, 1, 4, 4},      {1, 8, 64, 1, 16, 16},
                                {2, 9, 70, 1, 16, 16}, {1, 33, 130, 1, 16, 16}, {2, 17, 12, 3, 17, 17},
                                {1, 19, 20, 2, 64, 1}, {2, 9, 18, 1, 128, 1},   {1, 6, 9, 1, 200, 200}};
    for (const auto& s : shapes) {
        const at::Tensor decay = -at::exp(at::randn({s.channels, s.decays}));
        const at::Tensor skip = at::randn({s.channels});
        const Tensors frozen = test::on_device({decay, skip});
        expect_as_formula(
            [&](const Tensors& in) {
                const auto slots = Segments::uniform(s.slots, s.positions, kernel_device());
                const auto rows = [](const at::Tensor& x) { return x.flatten(0, 1); };
                return Tensors{selective_scan({rows(in[0]), rows(in[1]), rows(in[2]), rows(in[3])}, slots,
                                              frozen[0], frozen[1])
                                   .unflatten(0, {s.slots, s.positions})};
            },
            [&](const Tensors& in) {
                return Tensors{plain_scan({in[0], in[1], in[2], in[3]}, wide(decay), wide(skip))};
            },
            {at::randn({s.slots, s.positions, s.channels}),
             at::rand({s.slots, s.positions, s.channels}) * 1.5 + 0.01,
             at::randn({s.slots, s.positions, s.groups, s.states}),
             at::randn({s.slots, s.positions, s.groups, s.states})},
            fmt::format("B{} T{} C{} G{} S{} decays {}", s.slots, s.positions, s.channels, s.groups, s.states,
                        s.decays));
    }
}

TEST_F(DeviceOperations, ANeighbourThatIsNotFiniteLeavesTheOtherSlotsAlone) {
    const ScanInputs inputs{at::randn({18, 20}), at::rand({18, 20}), at::randn({18, 1, 16}),
                            at::randn({18, 1, 16})};
    const auto slots = Segments::uniform(2, 9, kernel_device());
    const at::Tensor decay = -at::exp(at::randn({20, 16}));
    const at::Tensor skip = at::randn({20});
    const auto run = [&](const at::Tensor& x) {
        const Tensors d = test::on_device({x, inputs.step, inputs.input, inputs.output, decay, skip});
        const at::Tensor leaf = d[0].clone().requires_grad_(true);
        const at::Tensor y = selective_scan({leaf, d[1], d[2], d[3]}, slots, d[4], d[5]);
        const at::Tensor at_x = torch::autograd::grad({y}, {leaf}, {at::ones_like(y)})[0];
        return at::stack({y.detach().narrow(0, 0, 9), at_x.narrow(0, 0, 9)}).to(at::kCPU);
    };
    at::Tensor spoilt = inputs.x.clone();
    spoilt.narrow(0, 9, 9).fill_(std::nan(""));
    EXPECT_TRUE(at::equal(run(spoilt), run(inputs.x)));
}

TEST_F(DeviceOperations, ARefusedLaunchIsAShortageOrAnErrorAndLeavesNothingBehind) {
    constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
    const at::Tensor x = at::ones({3, 8}).to(kernel_device());
    const auto run = [&x] { return activate(x, Activation::silu); };
    if (!test::refuse_next_launch(cuda::kOutOfMemory)) GTEST_SKIP() << "a GPU refuses no launch on request";
    EXPECT_THROW(run(), c10::OutOfMemoryError);
    EXPECT_EQ(test::left_error(), 0);
    ASSERT_TRUE(test::refuse_next_launch(kInvalidValue));
    EXPECT_THROW(run(), DeviceError);
    EXPECT_EQ(test::left_error(), 0);
    EXPECT_LT(test::device_error(run(), at::silu(at::ones({3, 8}))), 1e-6);
}

}  // namespace
}  // namespace memcap::nn
