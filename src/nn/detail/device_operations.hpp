// Operations on tensors of a GPU: shapes and types for its kernels, one function for each direction.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "memcap/nn/activation_kind.hpp"
#include "memcap/nn/attention.hpp"
#include "memcap/nn/segments.hpp"
#include "memcap/nn/state_space.hpp"
#include "nn/cuda/kernels.hpp"

// Shapes: as in the public headers of the operations.
namespace memcap::nn::detail {

/// Slots of one length, as kernels take them: B * T rows.
struct EqualSlots {
    std::int64_t count = 0;      ///< B
    std::int64_t positions = 0;  ///< T
};

/// Throws DeviceError for slots of several lengths.
EqualSlots equal_slots(const Segments& segments);

struct DeviceNorm {
    at::Tensor y;
    at::Tensor sum;   ///< float32; undefined where nothing was added
    at::Tensor mean;  ///< [rows]; undefined for RMSNorm
    at::Tensor inverse;
};

/// x and added (may be undefined) of float32 or the type of `result`; y of type `result`.
DeviceNorm device_norm(const cuda::Kernels& kernels, const at::Tensor& x, const at::Tensor& added,
                       const at::Tensor& weight, const at::Tensor& bias, double epsilon, bool centred,
                       at::ScalarType result);

struct DeviceNormGradients {
    at::Tensor x;
    at::Tensor added;  ///< the same tensor, or the same values in the type of what was added
};

/// `norm` holds what was normalised as its sum; through_sum may be undefined.
DeviceNormGradients device_norm_gradients(const cuda::Kernels& kernels, const DeviceNorm& norm,
                                          const at::Tensor& weight, const at::Tensor& gradient,
                                          const at::Tensor& through_sum, at::ScalarType added_type);

at::Tensor device_activation(const cuda::Kernels& kernels, const at::Tensor& x, Activation kind, bool gated);
at::Tensor device_activation_gradient(const cuda::Kernels& kernels, const at::Tensor& x,
                                      const at::Tensor& gradient, Activation kind, bool gated);

/// logits [R, V], contiguous, become the gradient where weight is defined, with `sharpness` of a RowLoss;
/// nll_nats and correct [R] are written.
void device_head_rows(const cuda::Kernels& kernels, const at::Tensor& logits, const at::Tensor& target,
                      const at::Tensor& weight, const at::Tensor& sharpness, double soft_cap,
                      const at::Tensor& nll_nats, const at::Tensor& correct);

/// projected [R, P] as heads in memory order [B, T, heads, d], seen as [B, heads, T, d].
struct DeviceHeads {
    at::Tensor query;
    at::Tensor key;
    at::Tensor value;
};

/// cosine and sine may be undefined: no rotation.
DeviceHeads device_heads(const cuda::Kernels& kernels, const at::Tensor& projected, const EqualSlots& slots,
                         const HeadLayout& layout, const at::Tensor& cosine, const at::Tensor& sine,
                         at::ScalarType type);
/// The gradient of projected, of type `type`, from those of the heads.
at::Tensor device_heads_gradient(const cuda::Kernels& kernels, const DeviceHeads& gradients,
                                 const HeadLayout& layout, const at::Tensor& cosine, const at::Tensor& sine,
                                 at::ScalarType type);

/// All float32 and contiguous; taps [K, C], bias may be undefined.
at::Tensor device_convolution(const cuda::Kernels& kernels, const at::Tensor& x, const EqualSlots& slots,
                              const at::Tensor& taps, const at::Tensor& bias);
at::Tensor device_convolution_gradient(const cuda::Kernels& kernels, const at::Tensor& gradient,
                                       const EqualSlots& slots, const at::Tensor& taps);

/// All float32 and contiguous.
at::Tensor device_scan(const cuda::Kernels& kernels, const ScanInputs& inputs, const EqualSlots& slots,
                       const at::Tensor& decay, const at::Tensor& skip);
ScanInputs device_scan_gradients(const cuda::Kernels& kernels, const ScanInputs& inputs,
                                 const EqualSlots& slots, const at::Tensor& decay, const at::Tensor& skip,
                                 const at::Tensor& gradient);

}  // namespace memcap::nn::detail
