// Which library multiplies, and what it is given.
#include "nn/detail/cpu_product.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "memcap/nn/product.hpp"

namespace memcap::nn {

namespace detail {

namespace {

using LinearOperation = at::Tensor(const at::Tensor& x, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias, c10::string_view attribute,
                                   c10::List<std::optional<at::Scalar>> scalars,
                                   std::optional<c10::string_view> algorithm);

/// libtorch's operation over oneDNN, which has no C++ header of its own.
at::Tensor onednn_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    static const auto operation = c10::Dispatcher::singleton()
                                      .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                      .typed<LinearOperation>();
    return operation.call(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, "none",
                          c10::List<std::optional<at::Scalar>>(), "");
}

/// MKL's form into y, each thread with rows of its own.
void mkl_product(const at::Tensor& y, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    // As few as still make a product efficient, and more than the few that MKL has other kernels for.
    constexpr std::int64_t kFewestThreadRows = kFewestRows / 2;
    const std::int64_t rows = x.size(0);
    const std::int64_t panels = std::clamp<std::int64_t>(rows / kFewestThreadRows, 1, at::get_num_threads());
    at::parallel_for(0, panels, 1, [&](std::int64_t first, std::int64_t last) {
        const at::NoGradGuard no_gradients;
        for (std::int64_t panel = first; panel < last; ++panel) {
            const std::int64_t begin = rows * panel / panels;
            const std::int64_t count = rows * (panel + 1) / panels - begin;
            at::Tensor own = y.narrow(0, begin, count);
            if (bias.defined()) {
                at::addmm_out(own, bias, x.narrow(0, begin, count), weight.t());
            } else {
                at::mm_out(own, x.narrow(0, begin, count), weight.t());
            }
        }
    });
}

/// MKL is slower on other processors, and for the transposed weights of gradients.
bool suits_mkl(const at::Tensor& x, const at::Tensor& weight) {
    static const bool intel = __builtin_cpu_is("intel") != 0;
    return intel && x.scalar_type() == at::kFloat && weight.is_contiguous();
}

at::Tensor filled_up(const at::Tensor& x) {
    return x.size(0) >= kFewestRows ? x : at::constant_pad_nd(x, {0, 0, 0, kFewestRows - x.size(0)});
}

/// x [R, I] of kFewestRows rows at least.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    if (!suits_mkl(x, weight)) return onednn_product(x, weight, bias);
    at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
    mkl_product(y, x, weight, bias);
    return y;
}

}  // namespace

at::Tensor cpu_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    const at::Tensor rows = x.flatten(0, -2);
    std::vector<std::int64_t> shape = x.sizes().vec();
    shape.back() = weight.size(0);
    return product(filled_up(rows), weight, bias).narrow(0, 0, rows.size(0)).view(shape);
}

void cpu_product_into(const at::Tensor& y, const at::Tensor& x, const at::Tensor& weight) {
    if (x.size(0) >= kFewestRows && suits_mkl(x, weight) && y.scalar_type() == at::kFloat) {
        mkl_product(y, x, weight, {});
    } else {
        y.copy_(product(filled_up(x), weight, {}).narrow(0, 0, x.size(0)));
    }
}

}  // namespace detail

bool rows_stand_alone() {
    constexpr std::int64_t kRows = 256;
    constexpr std::int64_t kWeights[][2] = {{64, 192}, {576, 192}, {192, 2'048}, {768, 384}};  // I, O
    constexpr std::int64_t kFew[] = {1, 100, 129};
    const at::NoGradGuard no_gradients;
    const int threads = at::get_num_threads();
    bool alike = true;
    for (const auto& [inputs, outputs] : kWeights) {
        const at::Tensor weight = at::arange(inputs * outputs, at::kFloat).sin_().view({outputs, inputs});
        for (const at::Tensor& factor : {weight, weight.t()}) {
            const at::Tensor x =
                at::arange(kRows * factor.size(1), at::kFloat).cos_().view({kRows, factor.size(1)});
            at::set_num_threads(1);
            const at::Tensor among_many = detail::cpu_product(x, factor, {});
            at::set_num_threads(threads);
            for (const std::int64_t few : kFew) {
                const std::int64_t first = kRows - few;
                const at::Tensor alone = detail::cpu_product(x.narrow(0, first, few), factor, {});
                alike = alike && alone.equal(among_many.narrow(0, first, few));
            }
        }
    }
    return alike;
}

}  // namespace memcap::nn
