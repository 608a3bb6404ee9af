// An operation on the device against its formula in double precision, forth and back.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "gpu/test_device.hpp"

namespace memcap::test {

using Tensors = std::vector<at::Tensor>;
using Operation = std::function<Tensors(const Tensors&)>;

inline at::Tensor wide(const at::Tensor& tensor) {
    return tensor.to(at::kCPU).to(at::kDouble);
}

/// max|a - b| / max|b|, on the CPU in double; values below a hundredth count as one, since half precision has
/// few digits left there.
inline double device_error(const at::Tensor& a, const at::Tensor& b) {
    if (b.numel() == 0) return 0.0;
    return (wide(a) - wide(b)).abs().max().item<double>() /
           std::max(0.01, wide(b).abs().max().item<double>());
}

/// How far results of this type may be off: its rounding, some sums of float32 otherwise.
inline double tolerance_of(at::ScalarType type) {
    if (type == at::kFloat) return 4e-6;
    return type == at::kHalf ? 1.5e-3 : 1e-2;
}

/// Random values as they are in `type`, on the CPU.
inline at::Tensor random_values(at::IntArrayRef sizes, at::ScalarType type, double scale = 1.0) {
    return (at::randn(sizes) * scale).to(type);
}

inline Tensors on_device(const Tensors& tensors) {
    Tensors moved;
    for (const auto& tensor : tensors) moved.push_back(tensor.to(kernel_device()));
    return moved;
}

/// Results and input gradients of `operation` on device copies of `inputs` against those of `formula` on the
/// same values in double.
inline void expect_as_formula(const Operation& operation, const Operation& formula, const Tensors& inputs,
                              const std::string& what) {
    Tensors given;
    Tensors exact;
    for (const auto& input : inputs) {
        given.push_back(input.to(kernel_device()).detach().clone().requires_grad_(true));
        exact.push_back(wide(input).clone().requires_grad_(true));
    }
    const Tensors found = operation(given);
    const Tensors expected = formula(exact);
    ASSERT_EQ(found.size(), expected.size());
    Tensors directions;
    Tensors wide_directions;
    double tolerance = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(found[i].sizes(), expected[i].sizes()) << what;
        tolerance = std::max(tolerance, tolerance_of(found[i].scalar_type()));
        EXPECT_LT(device_error(found[i].detach(), expected[i].detach()), tolerance_of(found[i].scalar_type()))
            << what << ", result " << i;
        directions.push_back(random_values(found[i].sizes(), found[i].scalar_type()).to(kernel_device()));
        wide_directions.push_back(wide(directions.back()));
    }
    const auto gradients = torch::autograd::grad(found, given, directions);
    const auto wanted = torch::autograd::grad(expected, exact, wide_directions);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const double allowed = 2 * std::max(tolerance, tolerance_of(inputs[i].scalar_type()));
        EXPECT_EQ(gradients[i].scalar_type(), inputs[i].scalar_type()) << what;
        EXPECT_LT(device_error(gradients[i], wanted[i]), allowed) << what << ", gradient " << i;
    }
}

}  // namespace memcap::test
