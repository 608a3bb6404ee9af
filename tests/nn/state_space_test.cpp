// State-space operations against plain forms in double precision and finite differences.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <string>

#include "memcap/nn/state_space.hpp"
#include "nn/plain_scan.hpp"

namespace memcap::nn {
namespace {

/// Sizes of a scan; `decays` is S or 1.
struct ScanShape {
    std::int64_t slots;
    std::int64_t positions;
    std::int64_t channels;
    std::int64_t groups;
    std::int64_t states;
    std::int64_t decays;
};

void PrintTo(const ScanShape& s, std::ostream* out) {
    *out << "B" << s.slots << " T" << s.positions << " C" << s.channels << " G" << s.groups << " S"
         << s.states << " decays " << s.decays;
}

double relative_error(const at::Tensor& a, const at::Tensor& b) {
    return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>() /
           b.to(at::kDouble).abs().max().item<double>();
}

struct Case {
    explicit Case(const ScanShape& s)
        : inputs{at::randn({s.slots, s.positions, s.channels}),
                 at::rand({s.slots, s.positions, s.channels}) * 1.5 + 0.01,
                 at::randn({s.slots, s.positions, s.groups, s.states}),
                 at::randn({s.slots, s.positions, s.groups, s.states})},
          decay(-at::exp(at::randn({s.channels, s.decays}))),
          skip(at::randn({s.channels})),
          direction(at::randn({s.slots, s.positions, s.channels})) {}

    std::array<at::Tensor*, 4> all() { return {&inputs.x, &inputs.step, &inputs.input, &inputs.output}; }
    ScanInputs wide() const {
        return {inputs.x.to(at::kDouble), inputs.step.to(at::kDouble), inputs.input.to(at::kDouble),
                inputs.output.to(at::kDouble)};
    }
    at::Tensor plain(const ScanInputs& of) const {
        return plain_scan(of, decay.to(at::kDouble), skip.to(at::kDouble));
    }

    ScanInputs inputs;
    at::Tensor decay;
    at::Tensor skip;
    at::Tensor direction;
};

/// selective_scan() of [B, T, ...] inputs, each row of the batch a slot.
at::Tensor scan_of(const ScanInputs& inputs, const at::Tensor& decay, const at::Tensor& skip) {
    const auto rows = [](const at::Tensor& x) { return x.flatten(0, 1); };
    return selective_scan({rows(inputs.x), rows(inputs.step), rows(inputs.input), rows(inputs.output)},
                          Segments::uniform(inputs.x.size(0), inputs.x.size(1), at::kCPU), decay, skip)
        .view_as(inputs.x);
}

class SelectiveScan : public ::testing::TestWithParam<ScanShape> {
  protected:
    SelectiveScan() { at::manual_seed(11); }
};

TEST_P(SelectiveScan, FollowsItsRecurrenceAndGradient) {
    Case c(GetParam());
    std::vector<at::Tensor> ours;
    for (at::Tensor* input : c.all()) ours.push_back(input->requires_grad_(true));
    const at::Tensor y = scan_of(c.inputs, c.decay, c.skip);
    ScanInputs wide = c.wide();
    std::vector<at::Tensor> theirs;
    for (at::Tensor* input : {&wide.x, &wide.step, &wide.input, &wide.output}) {
        *input = input->detach().requires_grad_(true);
        theirs.push_back(*input);
    }
    const at::Tensor expected = c.plain(wide);
    EXPECT_LT(relative_error(y.detach(), expected.detach()), 3e-6);
    const auto gradients = torch::autograd::grad({y}, ours, {c.direction});
    const auto wanted = torch::autograd::grad({expected}, theirs, {c.direction.to(at::kDouble)});
    for (std::size_t i = 0; i < gradients.size(); ++i)
        EXPECT_LT(relative_error(gradients[i], wanted[i]), 1e-5) << "gradient of input " << i;
}

TEST_P(SelectiveScan, GradientsAreTheDifferencesOfTheOutput) {
    Case c(GetParam());
    std::vector<at::Tensor> ours;
    for (at::Tensor* input : c.all()) ours.push_back(input->requires_grad_(true));
    const auto gradients = torch::autograd::grad({scan_of(c.inputs, c.decay, c.skip)}, ours, {c.direction});
    const at::NoGradGuard no_gradients;
    constexpr double kShift = 1e-5;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
        const double largest = gradients[i].abs().max().item<double>();
        for (int probe = 0; probe < 4; ++probe) {
            const std::int64_t element =
                at::randint(gradients[i].numel(), {1}, at::kLong).item<std::int64_t>();
            const auto value = [&](double shift) {
                ScanInputs wide = c.wide();
                const std::array<at::Tensor*, 4> inputs{&wide.x, &wide.step, &wide.input, &wide.output};
                inputs[i]->view(-1)[element] += shift;
                return (c.plain(wide) * c.direction.to(at::kDouble)).sum().item<double>();
            };
            const double difference = (value(kShift) - value(-kShift)) / (2 * kShift);
            EXPECT_NEAR(gradients[i].reshape(-1)[element].item<double>(), difference, 1e-5 * largest)
                << "input " << i << " element " << element;
        }
    }
}

// Lengths around multiples of the chunk, channels around multiples of the lanes and of a task, one and more
// groups.
INSTANTIATE_TEST_SUITE_P(Shapes, SelectiveScan,
                         ::testing::Values(ScanShape{1, 1, 1, 1, 1, 1}, ScanShape{2, 5, 3, 1, 4, 4},
                                           ScanShape{1, 16, 16, 1, 16, 16}, ScanShape{3, 17, 33, 1, 16, 16},
                                           ScanShape{1, 47, 300, 1, 5, 5}, ScanShape{2, 33, 520, 2, 3, 3},
                                           ScanShape{2, 19, 48, 4, 6, 1}, ScanShape{1, 64, 24, 1, 32, 1}));

TEST(SelectiveScanAlone, ARowDoesNotDependOnItsNeighbours) {
    at::manual_seed(5);
    Case c({4, 21, 40, 1, 8, 8});
    const at::Tensor all = scan_of(c.inputs, c.decay, c.skip);
    const auto row = [](const at::Tensor& x) { return x.narrow(0, 2, 1); };
    const ScanInputs alone{row(c.inputs.x), row(c.inputs.step), row(c.inputs.input), row(c.inputs.output)};
    EXPECT_TRUE(at::equal(scan_of(alone, c.decay, c.skip), row(all)));
}

TEST(SelectiveScanAlone, SlotsOfUnequalLengthAreThoseAlone) {
    at::manual_seed(6);
    const Segments segments({3, 17, 1, 40}, at::kCPU);
    const std::int64_t rows = segments.rows();
    const at::Tensor decay = -at::exp(at::randn({540, 4}));
    const at::Tensor skip = at::randn({540});
    const at::Tensor weight = at::randn({540, 3});
    const at::Tensor direction = at::randn({rows, 540});
    const std::vector<at::Tensor> inputs{at::randn({rows, 540}), at::rand({rows, 540}),
                                         at::randn({rows, 2, 4}), at::randn({rows, 2, 4})};
    // The gradients and then the values of a run of rows.
    const auto run = [&](std::int64_t first, std::int64_t count, const Segments& own) {
        std::vector<at::Tensor> leaves;
        for (const auto& input : inputs)
            leaves.push_back(input.narrow(0, first, count).clone().requires_grad_(true));
        const at::Tensor x = causal_convolution(leaves[0], own, weight, {});
        const at::Tensor y = selective_scan({x, leaves[1], leaves[2], leaves[3]}, own, decay, skip);
        auto results = torch::autograd::grad({y}, leaves, {direction.narrow(0, first, count)});
        results.push_back(y.detach());
        return results;
    };
    const auto together = run(0, rows, segments);
    for (std::int64_t slot = 0; slot < segments.count(); ++slot) {
        const std::int64_t count = segments.length(slot);
        const auto alone = run(segments.first(slot), count, Segments({count}, at::kCPU));
        for (std::size_t i = 0; i < alone.size(); ++i)
            EXPECT_TRUE(at::equal(alone[i], together[i].narrow(0, segments.first(slot), count)))
                << "slot " << slot << " result " << i;
    }
}

TEST(SelectiveScanAlone, StatesThatDecayAtOnceAndNeverStayFinite) {
    Case c({1, 40, 16, 1, 4, 4});
    c.decay = at::full({16, 4}, -1e6);
    EXPECT_LT(relative_error(scan_of(c.inputs, c.decay, c.skip), c.plain(c.wide())), 3e-6);
    c.decay = at::full({16, 4}, -1e-12);
    EXPECT_LT(relative_error(scan_of(c.inputs, c.decay, c.skip), c.plain(c.wide())), 3e-6);
}

TEST(CausalConvolution, IsThatOfTorchAndSoIsItsGradient) {
    at::manual_seed(7);
    for (const std::int64_t positions : {1, 3, 9}) {
        const at::Tensor weight = at::randn({5, 4});
        const at::Tensor bias = at::randn({5});
        at::Tensor x = at::randn({2, positions, 5}).requires_grad_(true);
        at::Tensor wide = x.detach().to(at::kDouble).requires_grad_(true);
        const auto convolve = [&](const at::Tensor& input, const at::Tensor& added) {
            return causal_convolution(input.flatten(0, 1), Segments::uniform(2, positions, at::kCPU), weight,
                                      added)
                .view_as(input);
        };
        const at::Tensor y = convolve(x, bias);
        const at::Tensor expected = at::conv1d(wide.transpose(1, 2), weight.to(at::kDouble).unsqueeze(1),
                                               bias.to(at::kDouble), 1, 3, 1, 5)
                                        .narrow(2, 0, positions)
                                        .transpose(1, 2);
        EXPECT_LT(relative_error(y.detach(), expected.detach()), 1e-6);
        const at::Tensor direction = at::randn({2, positions, 5});
        EXPECT_LT(relative_error(torch::autograd::grad({y}, {x}, {direction})[0],
                                 torch::autograd::grad({expected}, {wide}, {direction.to(at::kDouble)})[0]),
                  1e-6);
        EXPECT_LT(relative_error(convolve(x.detach(), {}) + bias, y.detach()), 1e-6);
    }
}

}  // namespace
}  // namespace memcap::nn
