// Operations of state-space models: causal convolution, step sizes and the selective scan.
#pragma once

#include <ATen/core/Tensor.h>

#include "memcap/nn/segments.hpp"

// Shapes: R rows, T positions of a slot, C channels, S state elements of a channel, G groups of channels, k
// taps.
namespace memcap::nn {

/// y_t = bias + sum over j < k of weight_j * x_(t - k + 1 + j), channel by channel; positions before the
/// first are 0 (a depthwise conv1d with padding k - 1, cut to T), within each slot. x [R, C]; weight [C, k];
/// bias [C], undefined for none.
at::Tensor causal_convolution(const at::Tensor& x, const Segments& segments, const at::Tensor& weight,
                              const at::Tensor& bias);

/// log(1 + exp(x)).
at::Tensor softplus(const at::Tensor& x);

/// What a selective scan reads at each position; all float32.
struct ScanInputs {
    at::Tensor x;       ///< [R, C]
    at::Tensor step;    ///< [R, C]: step sizes, positive
    at::Tensor input;   ///< [R, G, S]: "B" of the paper; channel c belongs to group c / (C / G)
    at::Tensor output;  ///< [R, G, S]: "C" of the paper
};

/// h_t = exp(step_t * decay) h_(t-1) + step_t * x_t * input_t, h_0 = 0 in each slot; y_t = sum over S of
/// output_t * h_t, plus skip * x_t (Gu and Dao, arXiv 2312.00752, section 3; transformers modeling_mamba.py).
/// decay [C, S], or [C, 1] where a channel has one for all S (Mamba-2); skip [C]; both frozen. Returns y [R,
/// C]. The backward recomputes the states; nothing of size T * C * S is kept.
at::Tensor selective_scan(const ScanInputs& inputs, const Segments& segments, const at::Tensor& decay,
                          const at::Tensor& skip);

}  // namespace memcap::nn
