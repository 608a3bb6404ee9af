// The seam between a frozen language model and everything that optimises its input.
#pragma once

#include <ATen/core/Tensor.h>

#include "memcap/models/description.hpp"
#include "memcap/nn/head_loss.hpp"
#include "memcap/nn/segments.hpp"

// Shapes: R rows, E input width, D hidden width.
namespace memcap::models {

/// A frozen causal language model on one device. Only gradients with respect to its input exist.
class CausalLM {
  public:
    virtual ~CausalLM() = default;

    virtual const Description& description() const = 0;
    /// tokens [...] int64 -> [..., E] float32: what the model feeds in for them, where Hugging Face's
    /// `inputs_embeds` enters.
    virtual at::Tensor embed(const at::Tensor& tokens) const = 0;
    /// input [R, E] float32 -> [R, D] behind the last norm, float32 or, on a GPU, of the type of its
    /// products; a row depends on itself and the rows before it in its slot. A GPU takes slots of one length
    /// only.
    virtual at::Tensor hidden(const at::Tensor& input_RE, const nn::Segments& segments) const = 0;
    /// From hidden states to logits.
    virtual const nn::Head& head() const = 0;
    /// Standard deviation (n - 1) of all input embedding weights as the model feeds them in: the scale of
    /// initial memory.
    virtual double embedding_std() const = 0;
    virtual at::Device device() const = 0;
};

}  // namespace memcap::models
