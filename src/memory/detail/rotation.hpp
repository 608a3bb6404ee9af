// SOAP: the bases in which AdamW moves the memories of slots.
//
// After Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam" (arXiv 2409.11321, algorithm 3),
// with the E x E side alone: memory vectors are few. A slot holds parameters P = M Q for a memory M and an
// orthogonal basis Q, so that AdamW's update of P, element by element, is SOAP's of M; the decay knows no
// basis. The basis follows the eigenvectors of the scatter, a moving average of G^T G of the gradients G of
// M, by one step of subspace iteration every kRenewEvery evaluations; moments are carried over to the new
// basis (the second ones as variances of directions that do not correlate).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

// Shapes: B slots, K memory vectors, E input width.
namespace memcap::memory::detail {

/// What a slot that is optimised so has beside its vectors; empty for others.
struct SlotRotation {
    std::vector<float> basis;    ///< Q [E, E]
    std::vector<float> scatter;  ///< [E, E]
    std::int32_t renewed = 0;    ///< evaluations when the basis was renewed last
};

class Rotations {
  public:
    Rotations(at::Device device, std::int64_t width) : device_(device), width_(width) {}

    /// Room for so many slots; what is there stays.
    void reserve(std::int64_t slots);
    /// A slot that goes on from `state`; a new one begins in the basis of the memory itself.
    void enter(std::int32_t slot, const SlotRotation& state);
    void leave(std::int32_t slot);
    bool any() const;
    bool has(std::int32_t slot) const { return is_used_[static_cast<std::size_t>(slot)]; }
    SlotRotation state(std::int32_t slot) const;

    /// Memory [K, E] of parameters [K, E]; in place of one slot all of a batch: [B, K, E].
    at::Tensor memory(std::int32_t slot, const at::Tensor& parameters_KE) const;
    at::Tensor memories(const at::Tensor& parameters_BKE) const;
    /// Takes the gradient of the memory [K, E] into the scatter; returns that of the parameters.
    at::Tensor take(std::int32_t slot, const at::Tensor& gradient_KE);
    at::Tensor take_all(const at::Tensor& gradient_BKE);
    /// Renews the slot's basis if it is due after so many evaluations; what is given is carried over in
    /// place.
    void renew(std::int32_t slot, std::int32_t evaluations, const at::Tensor& parameters_KE,
               const at::Tensor& first_moment_KE, const at::Tensor& second_moment_KE);
    /// [B, E, E]; a recorded step's trial runs must leave no trace in it.
    at::Tensor& scatters() { return scatter_BEE_; }

  private:
    at::Device device_;
    std::int64_t width_;
    std::vector<char> is_used_;          ///< [B]
    std::vector<std::int32_t> renewed_;  ///< [B]
    at::Tensor basis_BEE_;
    at::Tensor scatter_BEE_;
};

}  // namespace memcap::memory::detail
