// Which library multiplies; the call of libtorch's operation over oneDNN, which has no C++ header of its own.
#include "nn/detail/cpu_product.hpp"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string_view>

namespace memcap::nn::detail {

namespace {

using LinearOperation = at::Tensor(const at::Tensor& x, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias, c10::string_view attribute,
                                   c10::List<std::optional<at::Scalar>> scalars,
                                   std::optional<c10::string_view> algorithm);

at::Tensor onednn_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    static const auto operation = c10::Dispatcher::singleton()
                                      .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                      .typed<LinearOperation>();
    return operation.call(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, "none",
                          c10::List<std::optional<at::Scalar>>(), "");
}

}  // namespace

at::Tensor cpu_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    static const bool mkl_is_faster = __builtin_cpu_is("intel") != 0;
    if (mkl_is_faster && x.scalar_type() == at::kFloat)
        return at::linear(x, weight, bias.defined() ? std::optional(bias) : std::nullopt);
    return onednn_product(x, weight, bias);
}

}  // namespace memcap::nn::detail
