// Laying out rows, and the step over them.
#include "memory/detail/bucket.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "memcap/base/contracts.hpp"
#include "memcap/nn/head_loss.hpp"
#include "memory/detail/device_update.hpp"

namespace memcap::memory::detail {

namespace {

RateShape shape_of(Schedule schedule) {
    switch (schedule) {
        case Schedule::constant:
            return RateShape::constant;
        case Schedule::cosine:
            return RateShape::cosine;
        case Schedule::linear:
            return RateShape::linear;
    }
    MEMCAP_EXPECT(false);
}

/// What the loss of so many scored tokens is multiplied by before it is differentiated. The mean over them
/// makes gradients that float16 has no numbers for; a power of two that takes most of it back costs no bit.
float gradient_scale(std::int32_t scored, const nn::ProductMode& mode) {
    return mode.rounded == at::kHalf ? static_cast<float>(std::bit_floor(static_cast<std::uint32_t>(scored)))
                                     : 1.0F;
}

SlotRules rules_of(const SlotContent& content, double embedding_std, const nn::ProductMode& mode) {
    const Protocol& protocol = *content.protocol;
    const auto rows = static_cast<std::int32_t>(content.objective->scored.size());
    // The least count whose share reaches the stop accuracy, as that comparison in double decides it.
    auto solving =
        static_cast<std::int32_t>(std::clamp(std::ceil(protocol.stop_accuracy * rows), 0.0, rows + 1.0));
    while (solving > 0 && static_cast<double>(solving - 1) / rows >= protocol.stop_accuracy) --solving;
    while (solving <= rows && static_cast<double>(solving) / rows < protocol.stop_accuracy) ++solving;
    return {.learning_rate = protocol.learning_rate,
            .rate_unit = protocol.rate_unit == RateUnit::embedding_std ? embedding_std : 1.0,
            .beta1 = protocol.beta1,
            .beta2 = protocol.beta2,
            .weight_decay = protocol.weight_decay,
            .epsilon = protocol.epsilon,
            .shape = shape_of(protocol.schedule),
            .warmup_steps = protocol.warmup_steps,
            .max_steps = protocol.max_steps,
            .patience = protocol.patience,
            .memory_vectors = content.objective->memory_vectors,
            .first_input = 0,
            .first_row = 0,
            .rows = rows,
            .solving_rows = solving,
            .gradient_scale = gradient_scale(rows, mode)};
}

/// Values as bytes on the device.
template <class Value>
at::Tensor to_device(const std::vector<Value>& values, at::Device device) {
    static_assert(std::is_trivially_copyable_v<Value>);
    at::Tensor bytes = at::empty({static_cast<std::int64_t>(values.size() * sizeof(Value))}, at::kByte);
    std::memcpy(bytes.mutable_data_ptr<std::uint8_t>(), values.data(), values.size() * sizeof(Value));
    return bytes.to(device);
}

template <class Value>
void to_host(const at::Tensor& bytes, std::vector<Value>& values) {
    const at::Tensor here = bytes.to(at::kCPU);
    std::memcpy(static_cast<void*>(values.data()), here.const_data_ptr<std::uint8_t>(),
                values.size() * sizeof(Value));
}

template <class Value>
Value* as(const at::Tensor& bytes) {
    return reinterpret_cast<Value*>(bytes.mutable_data_ptr<std::uint8_t>());
}

at::Tensor indices(const std::vector<std::int64_t>& values, at::Device device) {
    return at::tensor(values, at::kLong).to(device);
}

/// The first `slots` and `memory_vectors` of what was there, zeros around it.
at::Tensor grown(const at::Tensor& was_BKE, std::int64_t slots, std::int64_t memory_vectors,
                 std::int64_t width, at::Device device) {
    at::Tensor all = at::zeros({slots, memory_vectors, width}, at::TensorOptions(at::kFloat).device(device));
    if (was_BKE.defined()) all.narrow(0, 0, was_BKE.size(0)).narrow(1, 0, was_BKE.size(1)).copy_(was_BKE);
    return all;
}

/// forward(leaves) with a graph behind it that ends at the leaves.
template <class Forward>
auto with_gradient(const std::vector<at::Tensor>& leaves, const Forward& forward) {
    const at::AutoGradMode with_gradients(true);
    for (const at::Tensor& leaf : leaves) leaf.requires_grad_(true);
    return forward(leaves);
}

/// The vectors [memory_vectors, E] of a slot into its place [K, E]; zeros behind them, or of none.
void write(const at::Tensor& own_KE, const std::vector<float>& values, std::int64_t memory_vectors) {
    own_KE.zero_();
    if (values.empty()) return;
    const std::int64_t width = own_KE.size(1);
    MEMCAP_EXPECT(static_cast<std::int64_t>(values.size()) == memory_vectors * width);
    own_KE.narrow(0, 0, memory_vectors).copy_(at::tensor(values, at::kFloat).reshape({-1, width}));
}

/// Values into the buffer where it lies, or a new buffer if it had another size.
void put(at::Tensor& buffer, const at::Tensor& values) {
    if (buffer.defined() && buffer.sizes() == values.sizes()) {
        buffer.copy_(values);
    } else {
        buffer = values;
    }
}

}  // namespace

Bucket::Bucket(const models::CausalLM& model, BucketShape shape, std::int32_t curve_points)
    : model_(model), shape_(shape), curve_points_(curve_points), graph_(model.device()) {
    MEMCAP_EXPECT(curve_points >= 1 && (shape.positions == 0 || shape.slots >= 1));
    if (shape.positions > 0) reserve(static_cast<std::size_t>(shape.slots), shape.memory_vectors);
}

/// Room for so many slots of so many vectors; what is there stays.
void Bucket::reserve(std::size_t slots, std::int64_t memory_vectors) {
    const std::int64_t had_slots = memory_BKE_.defined() ? memory_BKE_.size(0) : 0;
    const std::int64_t had_vectors = memory_BKE_.defined() ? memory_BKE_.size(1) : 0;
    const auto wanted_slots = static_cast<std::int64_t>(slots);
    if (wanted_slots <= had_slots && memory_vectors <= had_vectors) return;
    MEMCAP_EXPECT(shape_.positions == 0 || had_slots == 0 || wanted_slots <= had_slots);
    const std::int64_t all_slots =
        wanted_slots <= had_slots ? had_slots : std::max(wanted_slots, 2 * had_slots);
    const std::int64_t all_vectors = std::max(memory_vectors, had_vectors);
    if (device_progress_.defined()) look();
    const std::array tensors{&memory_BKE_, &first_moment_BKE_, &second_moment_BKE_, &best_memory_BKE_};
    // Where there is no memory for one of them, all stay as they are.
    std::array<at::Tensor, tensors.size()> larger;
    std::ranges::transform(tensors, larger.begin(), [&](const at::Tensor* tensor) {
        return grown(*tensor, all_slots, all_vectors, model_.description().memory_width, model_.device());
    });
    const auto count = static_cast<std::size_t>(all_slots);
    std::vector<SlotRules> rules = rules_;
    std::vector<SlotProgress> progress = progress_;
    std::vector<CurvePoint> curve = curve_;
    rules.resize(count);
    progress.resize(count);
    curve.resize(count * static_cast<std::size_t>(curve_points_));
    at::Tensor device_rules = to_device(rules, model_.device());
    at::Tensor device_progress = to_device(progress, model_.device());
    at::Tensor device_curve = to_device(curve, model_.device());
    contents_.resize(count);
    for (std::size_t i = 0; i < tensors.size(); ++i) *tensors[i] = std::move(larger[i]);
    rules_ = std::move(rules);
    progress_ = std::move(progress);
    curve_ = std::move(curve);
    device_rules_ = std::move(device_rules);
    device_progress_ = std::move(device_progress);
    device_curve_ = std::move(device_curve);
    laid_out_ = false;
}

std::int32_t Bucket::trials() const {
    return static_cast<std::int32_t>(std::count_if(contents_.begin(), contents_.end(),
                                                   [](const auto& content) { return content.has_value(); }));
}

std::int64_t Bucket::rows_of(const Content& content) const {
    return shape_.positions > 0 ? shape_.positions : content.positions;
}

std::int64_t Bucket::rows() const {
    std::int64_t rows = 0;
    for (const auto& content : contents_) rows += content ? rows_of(*content) : 0;
    return rows;
}

std::int32_t Bucket::enter(const SlotContent& content) {
    MEMCAP_EXPECT(!is_full());
    const auto free = std::find_if(contents_.begin(), contents_.end(),
                                   [](const auto& place) { return !place.has_value(); });
    const auto slot = static_cast<std::int32_t>(free - contents_.begin());
    reserve(index(slot) + 1, content.objective->memory_vectors);
    const Objective& objective = *content.objective;
    MEMCAP_EXPECT(shape_.positions == 0 || (objective.positions() <= shape_.positions &&
                                            objective.memory_vectors == shape_.memory_vectors));
    const at::NoGradGuard no_gradients;
    const at::Tensor tokens_TE = model_.embed(
        indices({objective.input_tokens.begin(), objective.input_tokens.end()}, model_.device()));
    const auto positions_T =
        at::arange(objective.memory_vectors, objective.memory_vectors + tokens_TE.size(0),
                   at::TensorOptions(at::kLong).device(model_.device()));
    Content entering{.memory_vectors = objective.memory_vectors,
                     .positions = objective.positions(),
                     .tokens_TE = tokens_TE,
                     .token_parts = model_.row_parts(tokens_TE, positions_T),
                     .scored = objective.scored,
                     .sharpness = static_cast<float>(1.0 / content.protocol->loss_temperature)};
    const SlotVectors& vectors = *content.vectors;
    write(memory_BKE_[slot], vectors.memory, objective.memory_vectors);
    write(first_moment_BKE_[slot], vectors.first_moment, objective.memory_vectors);
    write(second_moment_BKE_[slot], vectors.second_moment, objective.memory_vectors);
    write(best_memory_BKE_[slot], vectors.best_memory, objective.memory_vectors);
    SlotProgress progress = content.progress;
    progress.phase = SlotPhase::running;
    set_progress(slot, progress);
    // Only now is the slot taken: memory may have run out above.
    rules_[index(slot)] = rules_of(content, model_.embedding_std(), model_.head().linear.mode());
    contents_[index(slot)] = std::move(entering);
    laid_out_ = false;
    return slot;
}

void Bucket::leave(std::int32_t slot) {
    contents_[index(slot)].reset();
    rules_[index(slot)] = {};
    set_progress(slot, {});
    laid_out_ = false;
}

void Bucket::set_progress(std::int32_t slot, const SlotProgress& progress) {
    device_progress_.narrow(0, slot * static_cast<std::int64_t>(sizeof(SlotProgress)), sizeof(SlotProgress))
        .copy_(to_device(std::vector{progress}, at::kCPU));
    progress_[index(slot)] = progress;
}

std::vector<float> Bucket::read(const at::Tensor& all_BKE, std::int32_t slot) const {
    const at::Tensor own =
        all_BKE[slot].narrow(0, 0, contents_[index(slot)]->memory_vectors).to(at::kCPU).contiguous();
    const float* first = own.const_data_ptr<float>();
    return {first, first + own.numel()};
}

SlotVectors Bucket::vectors(std::int32_t slot) const {
    return {read(memory_BKE_, slot), read(first_moment_BKE_, slot), read(second_moment_BKE_, slot),
            read(best_memory_BKE_, slot)};
}

std::vector<float> Bucket::best_memory(std::int32_t slot) const {
    return read(best_memory_BKE_, slot);
}

const CurvePoint& Bucket::point(std::int32_t slot, std::int32_t number) const {
    return curve_[index(slot) * static_cast<std::size_t>(curve_points_) +
                  static_cast<std::size_t>((number - 1) % curve_points_)];
}

void Bucket::look() {
    to_host(device_progress_, progress_);
    to_host(device_curve_, curve_);
}

/// What lay_out() finds out about the rows of all slots, on the host.
struct Bucket::Rows {
    std::vector<std::int64_t> lengths;
    std::vector<std::int64_t> input;             ///< of the memory's rows, in the input
    std::vector<std::int64_t> memory;            ///< the same rows in [B * K]
    std::vector<std::int64_t> memory_positions;  ///< the same, in the slot
    std::vector<std::int64_t> scored;
    std::vector<std::int64_t> targets;
    std::vector<float> weights;
    std::vector<float> sharpnesses;
    std::int64_t count = 0;
};

/// Puts the trials' rows one after the other. With a fixed shape every slot has its rows, occupied or not.
void Bucket::lay_out() {
    Rows rows;
    for (std::size_t slot = 0; slot < contents_.size(); ++slot) {
        if (contents_[slot] || shape_.positions > 0) append(rows, slot);
    }
    const at::Device device = model_.device();
    // Those of a fixed shape never change, and a recorded step reads their tables where they lie.
    if (shape_.positions == 0 || segments_.count() == 0) segments_ = nn::Segments(rows.lengths, device);
    lay_out_tokens(rows.count);
    put(memory_position_, indices(rows.memory_positions, device));
    put(input_row_, indices(rows.input, device));
    put(memory_row_, indices(rows.memory, device));
    put(scored_row_S_, indices(rows.scored, device));
    put(target_S_, indices(rows.targets, device));
    put(weight_S_, at::tensor(rows.weights, at::kFloat).to(device));
    put(sharpness_S_, at::tensor(rows.sharpnesses, at::kFloat).to(device));
    const bool is_sharp = std::ranges::any_of(rows.sharpnesses, [](float value) { return value != 1.0F; });
    // A recorded step knows which of the two it is.
    if (is_sharp != is_sharp_) graph_ = nn::StepGraph(device);
    is_sharp_ = is_sharp;
    put(device_rules_, to_device(rules_, device));
    laid_out_ = true;
}

/// The rows of a slot behind those before it.
void Bucket::append(Rows& rows, std::size_t slot) {
    const auto& content = contents_[slot];
    const std::int64_t first = rows.count;
    rows.lengths.push_back(content ? rows_of(*content) : shape_.positions);
    rows.count += rows.lengths.back();
    for (std::int64_t k = 0; k < (content ? content->memory_vectors : shape_.memory_vectors); ++k) {
        rows.input.push_back(first + k);
        rows.memory.push_back(static_cast<std::int64_t>(slot) * memory_BKE_.size(1) + k);
        rows.memory_positions.push_back(k);
    }
    const auto first_scored = static_cast<std::int32_t>(rows.scored.size());
    if (content) {
        for (const auto& scored : content->scored) {
            rows.scored.push_back(first + scored.position);
            rows.targets.push_back(scored.target);
            rows.weights.push_back(rules_[slot].gradient_scale / static_cast<float>(content->scored.size()));
            rows.sharpnesses.push_back(content->sharpness);
        }
        rules_[slot].first_input = first;
        rules_[slot].first_row = first_scored;
    }
    if (shape_.positions == 0) return;
    // A fixed shape scores as many rows of each slot as it has.
    const auto all = static_cast<std::size_t>(first_scored + shape_.positions);
    rows.scored.resize(all, first);
    rows.targets.resize(all, 0);
    rows.weights.resize(all, 0.0F);
    rows.sharpnesses.resize(all, 1.0F);
}

/// The text's part of the input and of its row parts; the memory's rows are written before each evaluation.
void Bucket::lay_out_tokens(std::int64_t rows) {
    at::Tensor input_RE = at::zeros({rows, model_.description().memory_width},
                                    at::TensorOptions(at::kFloat).device(model_.device()));
    std::vector<at::Tensor> row_parts = rows_like_parts(rows);
    std::int64_t at_segment = 0;
    for (const auto& content : contents_) {
        if (!content && shape_.positions == 0) continue;
        const std::int64_t first = segments_.first(at_segment++);
        if (!content) continue;
        const auto rows_of_tokens = [&](const at::Tensor& all) {
            return all.narrow(0, first + content->memory_vectors, content->tokens_TE.size(0));
        };
        rows_of_tokens(input_RE).copy_(content->tokens_TE);
        for (std::size_t i = 0; i < row_parts.size(); ++i)
            rows_of_tokens(row_parts[i]).copy_(content->token_parts[i]);
    }
    put(input_RE_, input_RE);
    row_parts_.resize(row_parts.size());
    for (std::size_t i = 0; i < row_parts.size(); ++i) put(row_parts_[i], row_parts[i]);
}

/// Zeros for the row parts of so many rows.
std::vector<at::Tensor> Bucket::rows_like_parts(std::int64_t rows) const {
    const auto any = std::find_if(contents_.begin(), contents_.end(),
                                  [](const auto& content) { return content.has_value(); });
    MEMCAP_EXPECT(any != contents_.end());
    std::vector<at::Tensor> parts;
    for (const at::Tensor& part : (*any)->token_parts) {
        std::vector<std::int64_t> shape = part.sizes().vec();
        shape.front() = rows;
        parts.push_back(at::zeros(shape, part.options()));
    }
    return parts;
}

void Bucket::evaluate() {
    if (!laid_out_) lay_out();
    if (shape_.positions == 0 || !graph_.on_device()) {
        step();
        return;
    }
    if (!graph_.captured()) record();
    graph_.replay();
}

/// A recording is preceded by runs of the step that must not count: with every slot empty they change
/// nothing.
void Bucket::record() {
    static_assert(static_cast<std::int32_t>(SlotPhase::empty) == 0);
    const at::Tensor progress = device_progress_.clone();
    device_progress_.zero_();
    try {
        graph_.capture([this] { step(); });
    } catch (...) {
        device_progress_.copy_(progress);
        throw;
    }
    device_progress_.copy_(progress);
}

/// Reads and writes the buffers where they lie, and nothing of the host that changes.
void Bucket::step() {
    const at::NoGradGuard no_gradients;
    const at::Tensor memory_ME = memory_BKE_.flatten(0, 1).index_select(0, memory_row_);
    const std::vector<at::Tensor> memory_parts = with_gradient(
        {memory_ME}, [&](const auto& leaves) { return model_.row_parts(leaves[0], memory_position_); });
    input_RE_.index_copy_(0, input_row_, memory_ME.detach());
    std::vector<at::Tensor> leaves{input_RE_.detach()};
    for (std::size_t i = 0; i < row_parts_.size(); ++i) {
        row_parts_[i].index_copy_(0, input_row_, memory_parts[i].detach());
        leaves.push_back(row_parts_[i].detach());
    }
    const at::Tensor hidden_RD = with_gradient(leaves, [&](const auto& all) {
        return model_.hidden(all[0], {all.begin() + 1, all.end()}, segments_);
    });
    const auto loss =
        nn::head_loss(model_.head(), hidden_RD.detach().index_select(0, scored_row_S_), target_S_,
                      nn::RowLoss{weight_S_, is_sharp_ ? sharpness_S_ : at::Tensor()});
    // Added, not copied: the pads of a fixed shape all point at one row, with a gradient of zero.
    at::Tensor gradient_RD = at::zeros_like(hidden_RD).index_add_(0, scored_row_S_, loss.gradient);
    const auto gradients = torch::autograd::grad({hidden_RD}, leaves, {gradient_RD}, std::nullopt, false,
                                                 /*allow_unused=*/true);
    std::vector<at::Tensor> gradient_parts;
    for (std::size_t i = 0; i < row_parts_.size(); ++i)
        gradient_parts.push_back(gradients[i + 1].index_select(0, input_row_));
    const auto through_parts = torch::autograd::grad(memory_parts, {memory_ME}, gradient_parts);
    at::Tensor gradient_RE = gradients[0].defined() ? gradients[0].contiguous() : at::zeros_like(input_RE_);
    gradient_RE.index_add_(0, input_row_, through_parts[0]);
    update_slots_on(model_.device(), {.slots = slots(),
                                      .memory_stride = memory_BKE_.stride(0),
                                      .width = memory_BKE_.size(2),
                                      .rules = as<const SlotRules>(device_rules_),
                                      .progress = as<SlotProgress>(device_progress_),
                                      .curve = as<CurvePoint>(device_curve_),
                                      .curve_points = curve_points_,
                                      .nll_nats = loss.nll_nats.const_data_ptr<float>(),
                                      .correct = loss.correct.const_data_ptr<bool>(),
                                      .gradient = gradient_RE.const_data_ptr<float>(),
                                      .memory = memory_BKE_.mutable_data_ptr<float>(),
                                      .first_moment = first_moment_BKE_.mutable_data_ptr<float>(),
                                      .second_moment = second_moment_BKE_.mutable_data_ptr<float>(),
                                      .best_memory = best_memory_BKE_.mutable_data_ptr<float>()});
}

}  // namespace memcap::memory::detail
