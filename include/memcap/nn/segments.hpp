// How the rows of a batch belong to slots: each slot's positions are a run of neighbouring rows, without
// pads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace memcap::nn {

/// Runs of rows, one a slot, in order and without gaps. Rows of different slots never meet in an operation;
/// those of one slot do in attention, convolution and scan, where each sees itself and the rows before it.
class Segments {
  public:
    Segments() = default;
    /// Positions of each slot, each at least 1; the tables of positions go to `device`.
    Segments(const std::vector<std::int64_t>& lengths, at::Device device);
    /// `slots` runs of `positions` rows.
    static Segments uniform(std::int64_t slots, std::int64_t positions, at::Device device);

    std::int64_t count() const noexcept { return static_cast<std::int64_t>(firsts_.size()) - 1; }
    /// The first row of a slot.
    std::int64_t first(std::int64_t slot) const { return firsts_[static_cast<std::size_t>(slot)]; }
    std::int64_t length(std::int64_t slot) const { return first(slot + 1) - first(slot); }
    /// Rows of all slots.
    std::int64_t rows() const noexcept { return firsts_.back(); }
    std::int64_t longest() const noexcept { return longest_; }
    bool is_uniform() const noexcept { return longest_ * count() == rows(); }
    /// [rows] int64: each row's index in its slot.
    const at::Tensor& positions() const noexcept { return positions_; }

  private:
    std::vector<std::int64_t> firsts_{0};
    std::int64_t longest_ = 0;
    at::Tensor positions_;
};

}  // namespace memcap::nn
