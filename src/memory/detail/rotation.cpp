// Bases, gradients in them, and their renewal.
#include "memory/detail/rotation.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

namespace memcap::memory::detail {

namespace {

/// As often as the host looks at slots that a GPU computes on its own.
constexpr std::int32_t kRenewEvery = 16;
/// What the scatter keeps of itself at an evaluation: SOAP's own default.
constexpr double kScatterKeeps = 0.95;
/// Added to the scatter in a renewal, as a share of its mean eigenvalue. Few gradients leave most directions
/// empty, and what turned up there would hang on rounding: so they stay as they are in the old basis.
constexpr double kFloor = 1e-3;

/// Products and decompositions of more threads round otherwise.
class OneThread {
  public:
    OneThread() : before_(at::get_num_threads()) {
        if (before_ > 1) at::set_num_threads(1);
    }
    ~OneThread() {
        if (before_ > 1) at::set_num_threads(before_);
    }
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

  private:
    int before_;
};

at::Tensor tensor_of(const std::vector<float>& values, std::int64_t width) {
    return at::tensor(values, at::kFloat).reshape({width, width});
}

std::vector<float> values_of(const at::Tensor& matrix) {
    const at::Tensor here = matrix.to(at::kCPU).contiguous();
    const float* first = here.const_data_ptr<float>();
    return {first, first + here.numel()};
}

}  // namespace

void Rotations::reserve(std::int64_t slots) {
    const auto had = static_cast<std::int64_t>(is_used_.size());
    if (slots <= had) return;
    if (basis_BEE_.defined()) {
        const at::Tensor more = at::zeros({slots - had, width_, width_}, basis_BEE_.options());
        basis_BEE_ = at::cat({basis_BEE_, more});
        scatter_BEE_ = at::cat({scatter_BEE_, more});
    }
    is_used_.resize(static_cast<std::size_t>(slots), 0);
    renewed_.resize(static_cast<std::size_t>(slots), 0);
}

void Rotations::enter(std::int32_t slot, const SlotRotation& state) {
    if (!basis_BEE_.defined()) {
        const auto slots = static_cast<std::int64_t>(is_used_.size());
        basis_BEE_ = at::zeros({slots, width_, width_}, at::TensorOptions(at::kFloat).device(device_));
        scatter_BEE_ = at::zeros_like(basis_BEE_);
    }
    if (state.basis.empty()) {
        basis_BEE_[slot].copy_(at::eye(width_));
        scatter_BEE_[slot].zero_();
    } else {
        basis_BEE_[slot].copy_(tensor_of(state.basis, width_));
        scatter_BEE_[slot].copy_(tensor_of(state.scatter, width_));
    }
    renewed_[static_cast<std::size_t>(slot)] = state.renewed;
    is_used_[static_cast<std::size_t>(slot)] = 1;
}

void Rotations::leave(std::int32_t slot) {
    is_used_[static_cast<std::size_t>(slot)] = 0;
}

bool Rotations::any() const {
    return std::ranges::any_of(is_used_, [](char used) { return used != 0; });
}

SlotRotation Rotations::state(std::int32_t slot) const {
    if (!has(slot)) return {};
    return {.basis = values_of(basis_BEE_[slot]),
            .scatter = values_of(scatter_BEE_[slot]),
            .renewed = renewed_[static_cast<std::size_t>(slot)]};
}

at::Tensor Rotations::memory(std::int32_t slot, const at::Tensor& parameters_KE) const {
    const OneThread always_alike;
    return at::mm(parameters_KE, basis_BEE_[slot].t());
}

at::Tensor Rotations::memories(const at::Tensor& parameters_BKE) const {
    return at::bmm(parameters_BKE, basis_BEE_.transpose(1, 2));
}

at::Tensor Rotations::take(std::int32_t slot, const at::Tensor& gradient_KE) {
    const OneThread always_alike;
    scatter_BEE_[slot].addmm_(gradient_KE.t(), gradient_KE, kScatterKeeps, 1.0 - kScatterKeeps);
    return at::mm(gradient_KE, basis_BEE_[slot]);
}

at::Tensor Rotations::take_all(const at::Tensor& gradient_BKE) {
    scatter_BEE_.baddbmm_(gradient_BKE.transpose(1, 2), gradient_BKE, kScatterKeeps, 1.0 - kScatterKeeps);
    return at::bmm(gradient_BKE, basis_BEE_);
}

void Rotations::renew(std::int32_t slot, std::int32_t evaluations, const at::Tensor& parameters_KE,
                      const at::Tensor& first_moment_KE, const at::Tensor& second_moment_KE) {
    std::int32_t& renewed = renewed_[static_cast<std::size_t>(slot)];
    if (evaluations - renewed < kRenewEvery) return;
    renewed = evaluations;
    const at::Tensor scatter = scatter_BEE_[slot];
    const double mean = scatter.trace().item<double>() / static_cast<double>(width_);
    // Gradients of zero give no directions; what is not finite ends the trial anyway.
    if (!(mean > 0.0) || !scatter.isfinite().all().item<bool>()) return;
    const OneThread always_alike;
    const at::Tensor basis = basis_BEE_[slot];
    const at::Tensor floored = scatter / mean + kFloor * at::eye(width_, scatter.options());
    const at::Tensor next = std::get<0>(at::linalg_qr(at::mm(floored, basis)));
    const at::Tensor turn = at::mm(basis.t(), next);
    parameters_KE.copy_(at::mm(parameters_KE, turn));
    first_moment_KE.copy_(at::mm(first_moment_KE, turn));
    second_moment_KE.copy_(at::mm(second_moment_KE, turn.square()));
    basis.copy_(next);
}

}  // namespace memcap::memory::detail
