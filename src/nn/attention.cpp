// Attention: own loops for float32 on a CPU, libtorch's fused operation for the rest.
#include "memcap/nn/attention.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "memcap/base/contracts.hpp"
#include "nn/detail/device_operations.hpp"
#include "nn/detail/device_runtime.hpp"
#include "nn/kernels/cpu_kernels.hpp"

namespace memcap::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Everything but the projections that a node needs; the tables keep what they were when it was made.
struct HeadsPlan {
    HeadLayout layout;
    Segments segments;
    AttentionOptions options;
    std::vector<Rotation> rotations;  ///< one for all slots or one a slot; none: nothing rotates

    /// That of a slot; undefined tensors without.
    Rotation rotation(std::int64_t slot) const {
        if (rotations.empty()) return {};
        return rotations[rotations.size() == 1 ? 0 : static_cast<std::size_t>(slot)];
    }
};

struct KeptPlan : torch::CustomClassHolder {
    explicit KeptPlan(HeadsPlan kept) : plan(std::move(kept)) {}
    HeadsPlan plan;
};

/// One key/value head of one slot as a task of the kernel; `index` counts heads within slots.
kernels::AttentionTask task_of(const HeadsPlan& plan, const at::Tensor& projected, const at::Tensor& log_sum,
                               std::int64_t index) {
    const HeadLayout& layout = plan.layout;
    const std::int64_t slot = index / layout.key_heads;
    const std::int64_t first_row = plan.segments.first(slot);
    const std::int64_t head = index % layout.key_heads;
    const std::int64_t shared_by = layout.query_heads / layout.key_heads;
    const std::int64_t first_query = head * shared_by;
    const float* row = projected.const_data_ptr<float>() + first_row * layout.width();
    kernels::AttentionTask task{.positions = plan.segments.length(slot),
                                .query_heads = shared_by,
                                .head_width = layout.head_width,
                                .position_stride = layout.width(),
                                .query_stride = layout.query_stride,
                                .query = row + first_query * layout.query_stride,
                                .key = row + layout.key_first + head * layout.key_stride,
                                .value = row + layout.value_first + head * layout.key_stride,
                                .scale = static_cast<float>(plan.options.scale),
                                .window = plan.options.window,
                                .soft_cap = static_cast<float>(plan.options.soft_cap),
                                .mixed_stride = layout.query_heads * layout.head_width,
                                .log_sum = log_sum.mutable_data_ptr<float>() +
                                           first_row * layout.query_heads +
                                           first_query * plan.segments.length(slot)};
    if (!plan.rotations.empty()) {
        const Rotation rotation = plan.rotation(slot);
        task.cosine = rotation.cosine.const_data_ptr<float>();
        task.sine = rotation.sine.const_data_ptr<float>();
        task.rotated = 2 * rotation.cosine.size(1);
    }
    return task;
}

/// Where the mixed values of a task's query heads begin in [R, H * d].
std::int64_t mixed_offset(const HeadsPlan& plan, std::int64_t index) {
    const HeadLayout& layout = plan.layout;
    const std::int64_t slot = index / layout.key_heads;
    const std::int64_t first_query = index % layout.key_heads * (layout.query_heads / layout.key_heads);
    return (plan.segments.first(slot) * layout.query_heads + first_query) * layout.head_width;
}

/// Runs body(index, scratch) for each key/value head of each slot.
template <class Body>
void for_each_head(const HeadsPlan& plan, const Body& body) {
    const std::int64_t scratch_floats =
        kernels::cpu_kernels().attention_scratch_floats(plan.segments.longest(), plan.layout.head_width);
    const std::int64_t tasks = plan.segments.count() * plan.layout.key_heads;
    at::parallel_for(0, tasks, 1, [&](std::int64_t first, std::int64_t last) {
        const at::Tensor scratch = at::empty({scratch_floats}, at::kFloat);
        for (std::int64_t i = first; i < last; ++i) body(i, scratch.mutable_data_ptr<float>());
    });
}

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& given, const HeadsPlan& plan) {
        const at::Tensor projected = given.contiguous();
        const HeadLayout& layout = plan.layout;
        at::Tensor mixed =
            at::empty({projected.size(0), layout.query_heads * layout.head_width}, projected.options());
        const at::Tensor log_sum = at::empty({projected.size(0) * layout.query_heads}, projected.options());
        for_each_head(plan, [&](std::int64_t index, float* scratch) {
            kernels::AttentionTask task = task_of(plan, projected, log_sum, index);
            task.mixed = mixed.mutable_data_ptr<float>() + mixed_offset(plan, index);
            task.scratch = scratch;
            kernels::cpu_kernels().attention_forward(task);
        });
        context->save_for_backward({projected, log_sum});
        context->saved_data["plan"] = at::IValue::make_capsule(c10::make_intrusive<KeptPlan>(plan));
        return mixed;
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto saved = context->get_saved_variables();
        const auto kept = context->saved_data["plan"].toCapsule();
        const HeadsPlan& plan = static_cast<const KeptPlan&>(*kept).plan;
        const at::Tensor& projected = saved[0];
        const at::Tensor gradient = gradients[0].contiguous();
        const at::Tensor gradient_projected = at::empty_like(projected);
        for_each_head(plan, [&](std::int64_t index, float* scratch) {
            kernels::AttentionTask task = task_of(plan, projected, saved[1], index);
            float* to = gradient_projected.mutable_data_ptr<float>();
            const float* from = projected.const_data_ptr<float>();
            task.gradient_query = to + (task.query - from);
            task.gradient_key = to + (task.key - from);
            task.gradient_value = to + (task.value - from);
            task.gradient = gradient.const_data_ptr<float>() + mixed_offset(plan, index);
            task.scratch = scratch;
            kernels::cpu_kernels().attention_backward(task);
        });
        return {gradient_projected, {}};
    }
};

/// [T, T] bool: which keys (columns) a query (row) sees.
at::Tensor visible(std::int64_t positions, std::int64_t window, at::Device device) {
    const at::Tensor past =
        at::ones({positions, positions}, at::TensorOptions().dtype(at::kBool).device(device)).tril();
    return window > 0 && window < positions ? past.triu(1 - window) : past;
}

/// The same sums with capped scores, which no fused operation of libtorch has. q, k, v [B, H, T, d].
at::Tensor capped_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionOptions& options, const ProductMode& mode) {
    const std::int64_t shared_by = q.size(1) / k.size(1);
    const auto for_queries = [shared_by](const at::Tensor& x) {
        return shared_by == 1 ? x : x.repeat_interleave(shared_by, 1);
    };
    const at::Tensor scores =
        at::matmul(q, for_queries(k).transpose(-1, -2)).to(at::kFloat).mul(options.scale / options.soft_cap);
    const at::Tensor hidden = visible(q.size(2), options.window, q.device()).logical_not();
    const at::Tensor shares = scores.tanh()
                                  .mul(options.soft_cap)
                                  .masked_fill(hidden, -std::numeric_limits<float>::infinity())
                                  .softmax(-1);
    return at::matmul(mode.factor(shares), for_queries(v));
}

/// Splits the rows of projections into the heads of libtorch's operation, rotated and in the type of the
/// products.
struct HeadsFunction : torch::autograd::Function<HeadsFunction> {
    static variable_list forward(AutogradContext* context, const at::Tensor& given, const HeadsPlan& plan,
                                 at::ScalarType type) {
        const at::Tensor projected = given.contiguous();
        const auto* kernels = detail::kernels_on(projected.device());
        const auto slots = detail::equal_slots(plan.segments);
        const Rotation rotation = plan.rotation(0);
        const auto heads = detail::device_heads(*kernels, projected, slots, plan.layout, rotation.cosine,
                                                rotation.sine, type);
        context->saved_data["plan"] = at::IValue::make_capsule(c10::make_intrusive<KeptPlan>(plan));
        context->saved_data["type"] = projected.scalar_type();
        return {heads.query, heads.key, heads.value};
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const auto kept = context->saved_data["plan"].toCapsule();
        const HeadsPlan& plan = static_cast<const KeptPlan&>(*kept).plan;
        const auto* kernels = detail::kernels_on(gradients[0].device());
        const Rotation rotation = plan.rotation(0);
        return {detail::device_heads_gradient(*kernels, {gradients[0], gradients[1], gradients[2]},
                                              plan.layout, rotation.cosine, rotation.sine,
                                              context->saved_data["type"].toScalarType()),
                {},
                {}};
    }
};

/// Keeps cuDNN out of the choice among forms of attention while it lives. From 2.11 on libtorch prefers it on
/// Hopper, and its backward with a mask can give NaN (PyTorch issue 196678).
class WithoutCudnn {
  public:
    WithoutCudnn() : was_(at::globalContext().userEnabledCuDNNSDP()) {
        at::globalContext().setSDPUseCuDNN(false);
    }
    ~WithoutCudnn() { at::globalContext().setSDPUseCuDNN(was_); }
    WithoutCudnn(const WithoutCudnn&) = delete;
    WithoutCudnn& operator=(const WithoutCudnn&) = delete;

  private:
    bool was_;
};

/// libtorch's operation: q [B, H, T, d], k and v [B, G, T, d] -> [B, H, T, d].
at::Tensor fused_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttentionOptions& options, const ProductMode& mode) {
    if (options.soft_cap > 0) return capped_attention(q, k, v, options, mode);
    const std::int64_t positions = q.size(2);
    const std::int64_t shared_by = q.size(1) / k.size(1);
    const bool windowed = options.window > 0 && options.window < positions;
    const auto mask = windowed ? std::optional(visible(positions, options.window, q.device())) : std::nullopt;
    // On a GPU only the form for half precision without a mask shares keys; the others would fall back to
    // whole matrices of scores.
    const bool repeats = shared_by > 1 && q.is_cuda() && (windowed || q.scalar_type() == at::kFloat);
    const auto repeated = [&](const at::Tensor& x) {
        return repeats ? x.repeat_interleave(shared_by, 1) : x;
    };
    std::optional<WithoutCudnn> masked;
    if (windowed) masked.emplace();
    return at::scaled_dot_product_attention(q, repeated(k), repeated(v), mask, /*dropout_p=*/0.0,
                                            /*is_causal=*/!windowed, options.scale,
                                            /*enable_gqa=*/shared_by > 1 && !repeats);
}

/// Attention on a GPU.
at::Tensor device_attention(const at::Tensor& projected, const HeadsPlan& plan, const ProductMode& mode) {
    const auto heads = HeadsFunction::apply(projected, plan, mode.multiplied);
    return fused_attention(heads[0], heads[1], heads[2], plan.options, mode)
        .transpose(1, 2)
        .flatten(2)
        .flatten(0, 1)
        .to(mode.carried);
}

/// Attention on a CPU whose products have other factors than float32: slots of unequal length are filled up
/// with pads at their end, which the causal order hides.
class LibraryAttention {
  public:
    LibraryAttention(const Segments& segments, const HeadLayout& layout)
        : segments_(segments), layout_(layout) {}

    /// projected [R, P] -> [R, H * d]
    at::Tensor operator()(const at::Tensor& projected, const RotaryTable* rotary,
                          const AttentionOptions& options, const ProductMode& mode) const {
        const at::Tensor projected_BTP = in_slots(projected);
        const auto rotated = [&](const at::Tensor& x) {
            return rotary == nullptr ? x : rotary->rotate(x, segments_);
        };
        const auto heads_first = [&mode](const at::Tensor& x) { return mode.factor(x).transpose(1, 2); };
        const at::Tensor q =
            heads_first(rotated(heads(projected_BTP, 0, layout_.query_stride, layout_.query_heads)));
        const at::Tensor k = heads_first(
            rotated(heads(projected_BTP, layout_.key_first, layout_.key_stride, layout_.key_heads)));
        const at::Tensor v =
            heads_first(heads(projected_BTP, layout_.value_first, layout_.key_stride, layout_.key_heads));
        const at::Tensor mixed = fused_attention(q, k, v, options, mode);
        return in_rows(mixed.transpose(1, 2).flatten(2).to(at::kFloat));
    }

  private:
    at::Tensor heads(const at::Tensor& projected_BTP, std::int64_t first, std::int64_t stride,
                     std::int64_t count) const {
        if (stride == layout_.head_width)
            return projected_BTP.narrow(-1, first, count * stride).unflatten(-1, {count, stride});
        return projected_BTP.unflatten(-1, {count, stride}).narrow(-1, first, layout_.head_width);
    }

    /// [R, P] -> [B, T, P], T positions of the longest slot.
    at::Tensor in_slots(const at::Tensor& rows) const {
        if (segments_.is_uniform()) return rows.unflatten(0, {segments_.count(), segments_.longest()});
        std::vector<at::Tensor> slots;
        for (std::int64_t slot = 0; slot < segments_.count(); ++slot) {
            slots.push_back(at::constant_pad_nd(rows.narrow(0, segments_.first(slot), segments_.length(slot)),
                                                {0, 0, 0, segments_.longest() - segments_.length(slot)}));
        }
        return at::stack(slots);
    }

    at::Tensor in_rows(const at::Tensor& slots_BTD) const {
        if (segments_.is_uniform()) return slots_BTD.flatten(0, 1);
        std::vector<at::Tensor> rows;
        for (std::int64_t slot = 0; slot < segments_.count(); ++slot)
            rows.push_back(slots_BTD[slot].narrow(0, 0, segments_.length(slot)));
        return at::cat(rows);
    }

    const Segments& segments_;
    const HeadLayout& layout_;
};

}  // namespace

HeadLayout HeadLayout::stacked(std::int64_t query_heads, std::int64_t key_heads, std::int64_t head_width) {
    return {.query_heads = query_heads,
            .key_heads = key_heads,
            .head_width = head_width,
            .query_stride = head_width,
            .key_first = query_heads * head_width,
            .key_stride = head_width,
            .value_first = (query_heads + key_heads) * head_width};
}

HeadLayout HeadLayout::interleaved(std::int64_t heads, std::int64_t head_width) {
    return {.query_heads = heads,
            .key_heads = heads,
            .head_width = head_width,
            .query_stride = 3 * head_width,
            .key_first = head_width,
            .key_stride = 3 * head_width,
            .value_first = 2 * head_width};
}

at::Tensor causal_attention(const at::Tensor& projected, const Segments& segments, const HeadLayout& layout,
                            const RotaryTable* rotary, const AttentionOptions& options,
                            const ProductMode& mode) {
    MEMCAP_EXPECT(projected.dim() == 2 && projected.size(0) == segments.rows() &&
                  projected.size(1) == layout.width());
    const bool on_device = detail::kernels_on(projected.device()) != nullptr;
    if (!on_device && mode.rounded != at::kFloat)
        return LibraryAttention(segments, layout)(projected, rotary, options, mode);
    HeadsPlan plan{.layout = layout, .segments = segments, .options = options, .rotations = {}};
    if (rotary != nullptr) plan.rotations = rotary->rotations(segments);
    if (on_device) return device_attention(projected, plan, mode);
    return AttentionFunction::apply(projected, plan);
}

}  // namespace memcap::nn
