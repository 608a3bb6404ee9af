// Normalisations with frozen scales.
#pragma once

#include <ATen/core/Tensor.h>

// `result` is the type of what was normalised: float32, or on a GPU the type that its products take
// (ProductMode::carried). There x and added may be of that type as well; sums are float32 everywhere.
namespace memcap::nn {

/// x / sqrt(mean(x^2) + epsilon) * weight over the last dimension, in float32
/// (transformers modeling_llama.py, LlamaRMSNorm). x [..., D], weight [D].
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon,
                    at::ScalarType result = at::kFloat);

/// (x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias over the last dimension, in float32; var is the
/// mean of squares. x [..., D]; weight and bias [D], either of them undefined for none.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon,
                      at::ScalarType result = at::kFloat);

/// A residual stream after something was added to it, and its normalised form.
struct SumAndNorm {
    at::Tensor sum;
    at::Tensor normalised;
};

/// x + added and its rms_norm / layer_norm in one pass; both of one shape.
SumAndNorm add_rms_norm(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                        double epsilon, at::ScalarType result = at::kFloat);
SumAndNorm add_layer_norm(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                          const at::Tensor& bias, double epsilon, at::ScalarType result = at::kFloat);

}  // namespace memcap::nn
