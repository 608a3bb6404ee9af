// The seam between a frozen language model and everything that optimises its input.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

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
    /// What the first layer makes of each row before rows meet: of its input [R, E] float32 and its index
    /// in its slot, position [R] int64. -> [R, ...] each, of the type that the model carries. Rows whose
    /// input stays may keep theirs.
    virtual std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                              const at::Tensor& position_R) const = 0;
    /// input [R, E] float32 and its row_parts() -> [R, D] behind the last norm, float32 or, on a GPU, of the
    /// type of its products; a row depends on itself and the rows before it in its slot. A GPU takes slots of
    /// one length only.
    virtual at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                              const nn::Segments& segments) const = 0;
    /// The same, nothing of it kept.
    at::Tensor hidden(const at::Tensor& input_RE, const nn::Segments& segments) const {
        return hidden(input_RE, row_parts(input_RE, segments.positions()), segments);
    }
    /// From hidden states to logits.
    virtual const nn::Head& head() const = 0;
    /// Standard deviation (n - 1) of all input embedding weights as the model feeds them in: the scale of
    /// initial memory.
    virtual double embedding_std() const = 0;
    virtual at::Device device() const = 0;
};

}  // namespace memcap::models
