// The slots engine, a first form: host-side progress, one batch over the occupied slots.
#include "memcap/memory/slots.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/random.hpp"
#include "memcap/memory/adamw.hpp"
#include "memcap/memory/evaluation.hpp"
#include "memcap/memory/objective.hpp"
#include "memcap/nn/head_loss.hpp"
#include "memcap/plan/identity.hpp"

// Shapes: B slots, K memory vectors (of the slot with most), T positions (of the longest slot), E input
// width, D hidden width, R scored rows of all slots.
namespace memcap::memory {

namespace {

/// A trial in a slot, and how far it is.
struct Slot {
    plan::Trial trial;
    Objective objective;
    at::Tensor tokens_TE;  ///< embeddings of its input tokens
    SlotState state;       ///< memory and moments are up to date only while the slot is in no batch
    double entered_s = 0.0;

    std::int64_t memory_vectors() const { return objective.memory_vectors; }
    std::int32_t scored() const { return static_cast<std::int32_t>(objective.scored.size()); }
};

/// What one evaluation said about one slot.
struct SlotEvaluation {
    double loss_nats = 0.0;
    std::int32_t correct = 0;
};

/// The tensors of all occupied slots.
struct Batch {
    at::Tensor tokens_BTE;  ///< token embeddings, zero at memory and pads
    at::Tensor mask_BK1;    ///< 1 where a slot has a memory vector
    at::Tensor memory_BKE;
    at::Tensor first_moment_BKE;
    at::Tensor second_moment_BKE;
    at::Tensor row_R;     ///< indices into [B * T]
    at::Tensor target_R;  ///< int64
    at::Tensor weight_R;  ///< 1 / scored tokens of the row's slot
};

std::vector<float> values_of(const at::Tensor& tensor) {
    const at::Tensor flat = tensor.to(at::kCPU).contiguous();
    const float* first = flat.const_data_ptr<float>();
    return {first, first + flat.numel()};
}

at::Tensor tensor_of(const std::vector<float>& values, std::int64_t rows, at::Device device) {
    return at::tensor(values, at::kFloat).reshape({rows, -1}).to(device);
}

}  // namespace

std::vector<float> initial_memory(const plan::Trial& trial, std::int32_t memory_width, double embedding_std) {
    std::vector<float> memory(static_cast<std::size_t>(trial.memory_vectors) *
                              static_cast<std::size_t>(memory_width));
    RandomStream(plan::initial_memory_key(trial)).fill_normal(memory);
    const auto scale = static_cast<float>(trial.protocol.init_scale * embedding_std);
    for (float& value : memory) value *= scale;
    return memory;
}

class SlotsEngine::Engine {
  public:
    Engine(const models::CausalLM& model, SlotsOptions options) : model_(model), options_(options) {
        MEMCAP_EXPECT(options.slots >= 1);
    }

    bool has_room(std::int32_t positions) const;
    void enter(plan::Trial trial, std::optional<SlotState> resumed);
    std::vector<record::TrialRecord> step();
    SlotState export_state(const Id128& trial_id) const;
    std::vector<Id128> running() const;

  private:
    SlotState begin(const plan::Trial& trial);
    const Evaluation& without_memory(const plan::Trial& trial);
    void read_batch(std::size_t index, SlotState& state) const;
    void save_batch_into_slots();
    void build_batch();
    void build_rows(std::int64_t positions);
    std::vector<SlotEvaluation> evaluate_and_differentiate(at::Tensor& gradient_BKE);
    std::vector<SlotEvaluation> collect(const nn::HeadLoss& loss) const;
    std::optional<record::TrialRecord> judge(Slot& slot, std::size_t index, const SlotEvaluation& now);
    record::TrialRecord finish(const Slot& slot, record::StopReason reason) const;
    void update(const at::Tensor& gradient_BKE);

    const models::CausalLM& model_;
    SlotsOptions options_;
    std::vector<Slot> slots_;
    std::optional<Batch> batch_;  ///< over slots_ in order; none after a change of occupancy
    std::unordered_map<Id128, Evaluation> without_memory_;
};

bool SlotsEngine::Engine::has_room(std::int32_t positions) const {
    if (slots_.empty()) return true;
    if (slots_.size() >= static_cast<std::size_t>(options_.slots)) return false;
    std::int64_t longest = positions;
    for (const Slot& slot : slots_) longest = std::max<std::int64_t>(longest, slot.objective.positions());
    return options_.position_budget == 0 ||
           longest * static_cast<std::int64_t>(slots_.size() + 1) <= options_.position_budget;
}

void SlotsEngine::Engine::enter(plan::Trial trial, std::optional<SlotState> resumed) {
    MEMCAP_EXPECT(has_room(trial.positions()));
    save_batch_into_slots();
    Slot slot;
    slot.entered_s = monotonic_s();
    slot.objective = objective_of(trial);
    slot.state = resumed ? std::move(*resumed) : begin(trial);
    std::vector<std::int64_t> tokens(slot.objective.input_tokens.begin(), slot.objective.input_tokens.end());
    slot.tokens_TE = model_.embed(at::tensor(tokens, at::kLong).to(model_.device()));
    slot.trial = std::move(trial);
    slots_.push_back(std::move(slot));
}

SlotState SlotsEngine::Engine::begin(const plan::Trial& trial) {
    SlotState state;
    state.memory = initial_memory(trial, model_.description().memory_width, model_.embedding_std());
    state.first_moment.assign(state.memory.size(), 0.0F);
    state.second_moment.assign(state.memory.size(), 0.0F);
    const Evaluation& without = without_memory(trial);
    state.loss_nomem_nats = without.loss_nats;
    state.accuracy_nomem = without.accuracy;
    return state;
}

/// Evaluated alone, so that the number never depends on the neighbours; trials of other K and seeds share it.
const Evaluation& SlotsEngine::Engine::without_memory(const plan::Trial& trial) {
    constexpr std::size_t kMostKept = 4096;
    ByteWriter key;
    key.array(trial.prefix);
    key.array(trial.text);
    const Id128 id = hash128(key.bytes());
    if (const auto found = without_memory_.find(id); found != without_memory_.end()) return found->second;
    if (without_memory_.size() >= kMostKept) without_memory_.clear();
    return without_memory_
        .emplace(id, evaluate(model_, objective_without_memory(trial.prefix, trial.text), {}))
        .first->second;
}

void SlotsEngine::Engine::read_batch(std::size_t index, SlotState& state) const {
    const auto own = [&](const at::Tensor& all_BKE) {
        return values_of(
            all_BKE[static_cast<std::int64_t>(index)].narrow(0, 0, slots_[index].memory_vectors()));
    };
    state.memory = own(batch_->memory_BKE);
    state.first_moment = own(batch_->first_moment_BKE);
    state.second_moment = own(batch_->second_moment_BKE);
}

void SlotsEngine::Engine::save_batch_into_slots() {
    if (!batch_) return;
    for (std::size_t i = 0; i < slots_.size(); ++i) read_batch(i, slots_[i].state);
    batch_.reset();
}

void SlotsEngine::Engine::build_batch() {
    std::int64_t positions = 0;
    std::int64_t memory_vectors = 0;
    for (const Slot& slot : slots_) {
        positions = std::max<std::int64_t>(positions, slot.objective.positions());
        memory_vectors = std::max(memory_vectors, slot.memory_vectors());
    }
    const auto slot_count = static_cast<std::int64_t>(slots_.size());
    const std::int64_t width = model_.description().memory_width;
    const auto options = at::TensorOptions().dtype(at::kFloat).device(model_.device());
    Batch& batch = batch_.emplace();
    batch.tokens_BTE = at::zeros({slot_count, positions, width}, options);
    batch.mask_BK1 = at::zeros({slot_count, memory_vectors, 1}, options);
    batch.memory_BKE = at::zeros({slot_count, memory_vectors, width}, options);
    batch.first_moment_BKE = at::zeros_like(batch.memory_BKE);
    batch.second_moment_BKE = at::zeros_like(batch.memory_BKE);
    for (std::int64_t b = 0; b < slot_count; ++b) {
        const Slot& slot = slots_[static_cast<std::size_t>(b)];
        const std::int64_t own = slot.memory_vectors();
        const auto put = [&](at::Tensor& all_BKE, const std::vector<float>& values) {
            all_BKE[b].narrow(0, 0, own).copy_(tensor_of(values, own, model_.device()));
        };
        batch.tokens_BTE[b].narrow(0, own, slot.tokens_TE.size(0)).copy_(slot.tokens_TE);
        batch.mask_BK1[b].narrow(0, 0, own).fill_(1.0);
        put(batch.memory_BKE, slot.state.memory);
        put(batch.first_moment_BKE, slot.state.first_moment);
        put(batch.second_moment_BKE, slot.state.second_moment);
    }
    build_rows(positions);
}

void SlotsEngine::Engine::build_rows(std::int64_t positions) {
    std::vector<std::int64_t> rows;
    std::vector<std::int64_t> targets;
    std::vector<float> weights;
    for (std::size_t b = 0; b < slots_.size(); ++b) {
        for (const auto& scored : slots_[b].objective.scored) {
            rows.push_back(static_cast<std::int64_t>(b) * positions + scored.position);
            targets.push_back(scored.target);
            weights.push_back(1.0F / static_cast<float>(slots_[b].scored()));
        }
    }
    batch_->row_R = at::tensor(rows, at::kLong).to(model_.device());
    batch_->target_R = at::tensor(targets, at::kLong).to(model_.device());
    batch_->weight_R = at::tensor(weights, at::kFloat).to(model_.device());
}

std::vector<SlotEvaluation> SlotsEngine::Engine::evaluate_and_differentiate(at::Tensor& gradient_BKE) {
    const Batch& batch = *batch_;
    // Unused memory vectors stay zero, so adding the memory leaves tokens and pads as they are.
    at::Tensor input_BTE = batch.tokens_BTE.clone();
    input_BTE.narrow(1, 0, batch.memory_BKE.size(1)).add_(batch.memory_BKE);
    at::Tensor hidden_BTD;
    {
        const at::AutoGradMode with_gradients(true);
        input_BTE.requires_grad_(true);
        hidden_BTD = model_.hidden(input_BTE);
    }
    const at::Tensor rows_RD = hidden_BTD.detach().flatten(0, 1).index_select(0, batch.row_R);
    const auto loss =
        nn::head_loss(model_.head(), rows_RD, batch.target_R, batch.weight_R, nn::Gradient::compute);
    at::Tensor gradient_hidden =
        at::zeros({hidden_BTD.size(0) * hidden_BTD.size(1), hidden_BTD.size(2)}, rows_RD.options());
    gradient_hidden.index_copy_(0, batch.row_R, loss.gradient);
    const auto gradients =
        torch::autograd::grad({hidden_BTD}, {input_BTE}, {gradient_hidden.view_as(hidden_BTD)});
    gradient_BKE = gradients[0].narrow(1, 0, batch.memory_BKE.size(1)).mul(batch.mask_BK1);
    return collect(loss);
}

std::vector<SlotEvaluation> SlotsEngine::Engine::collect(const nn::HeadLoss& loss) const {
    const at::Tensor nll = loss.nll_nats.to(at::kCPU);
    const at::Tensor correct = loss.correct.to(at::kCPU);
    const float* nll_nats = nll.const_data_ptr<float>();
    const bool* is_correct = correct.const_data_ptr<bool>();
    std::vector<SlotEvaluation> evaluations;
    for (const Slot& slot : slots_) {
        SlotEvaluation& evaluation = evaluations.emplace_back();
        for (std::int32_t i = 0; i < slot.scored(); ++i) {
            evaluation.loss_nats += *nll_nats++;
            evaluation.correct += *is_correct++ ? 1 : 0;
        }
        evaluation.loss_nats /= slot.scored();
    }
    return evaluations;
}

std::vector<record::TrialRecord> SlotsEngine::Engine::step() {
    if (slots_.empty()) return {};
    const at::NoGradGuard no_gradients;
    if (!batch_) build_batch();
    at::Tensor gradient_BKE;
    const auto evaluations = evaluate_and_differentiate(gradient_BKE);
    std::vector<record::TrialRecord> ended;
    std::vector<bool> stays(slots_.size(), true);
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        if (auto record = judge(slots_[i], i, evaluations[i])) {
            ended.push_back(std::move(*record));
            stays[i] = false;
        }
    }
    update(gradient_BKE);
    if (!ended.empty()) {
        save_batch_into_slots();
        std::size_t index = 0;
        std::erase_if(slots_, [&](const Slot&) { return !stays[index++]; });
    }
    return ended;
}

/// Takes an evaluation into the slot's progress; the record if the trial ends with it.
std::optional<record::TrialRecord> SlotsEngine::Engine::judge(Slot& slot, std::size_t index,
                                                              const SlotEvaluation& now) {
    SlotState& state = slot.state;
    const Protocol& protocol = slot.trial.protocol;
    const std::int32_t evaluation = ++state.evaluations;
    if (!std::isfinite(now.loss_nats)) {
        record::TrialRecord failed;
        failed.trial_id = slot.trial.id;
        failed.status = record::TrialStatus::failed;
        failed.failure = {
            record::FailureCategory::permanent,
            fmt::format("the loss is not finite at evaluation {}: the learning rate may be too high",
                        evaluation)};
        failed.scored_tokens = slot.scored();
        failed.elapsed_s = state.elapsed_s + monotonic_s() - slot.entered_s;
        return failed;
    }
    if (evaluation == 1 || now.loss_nats < state.loss_min_nats) state.loss_min_nats = now.loss_nats;
    if (now.correct > state.best_correct) {
        state.best_correct = now.correct;
        state.best_evaluation = evaluation;
        state.best_loss_nats = now.loss_nats;
        state.best_memory = values_of(
            batch_->memory_BKE[static_cast<std::int64_t>(index)].narrow(0, 0, slot.memory_vectors()));
    }
    const double accuracy = static_cast<double>(now.correct) / slot.scored();
    auto reason = record::StopReason::none;
    if (accuracy >= protocol.stop_accuracy) {
        reason = record::StopReason::solved;
    } else if (evaluation - state.best_evaluation >= protocol.patience) {
        reason = record::StopReason::patience;
    } else if (evaluation >= protocol.max_steps) {
        reason = record::StopReason::max_steps;
    }
    const bool ends = reason != record::StopReason::none;
    if (options_.curve_every > 0 && (ends || (evaluation - 1) % options_.curve_every == 0)) {
        state.curve.evaluation.push_back(evaluation);
        state.curve.loss_nats.push_back(static_cast<float>(now.loss_nats));
        state.curve.accuracy.push_back(static_cast<float>(accuracy));
    }
    if (!ends) return std::nullopt;
    return finish(slot, reason);
}

record::TrialRecord SlotsEngine::Engine::finish(const Slot& slot, record::StopReason reason) const {
    const SlotState& state = slot.state;
    record::TrialRecord record;
    record.trial_id = slot.trial.id;
    record.status = record::TrialStatus::done;
    record.scored_tokens = slot.scored();
    record.evaluations = state.evaluations;
    record.best_evaluation = state.best_evaluation;
    record.stop_reason = reason;
    record.loss_nomem_nats = state.loss_nomem_nats;
    record.accuracy_nomem = state.accuracy_nomem;
    record.loss_nats = state.best_loss_nats;
    record.accuracy = static_cast<double>(state.best_correct) / slot.scored();
    record.correct_tokens = state.best_correct;
    record.exact = state.best_correct == slot.scored();
    record.loss_min_nats = state.loss_min_nats;
    record.elapsed_s = state.elapsed_s + monotonic_s() - slot.entered_s;
    if (options_.keep_vectors) record.vector = state.best_memory;
    record.vector_width = model_.description().memory_width;
    record.curve = state.curve;
    return record;
}

void SlotsEngine::Engine::update(const at::Tensor& gradient_BKE) {
    std::vector<SlotStep> steps;
    for (const Slot& slot : slots_) {
        // The update after evaluation e is number e; a trial that ended is updated too and then dropped.
        steps.push_back({&slot.trial.protocol, std::max(1, slot.state.evaluations)});
    }
    adamw_update(batch_->memory_BKE, gradient_BKE, batch_->first_moment_BKE, batch_->second_moment_BKE,
                 steps);
}

SlotState SlotsEngine::Engine::export_state(const Id128& trial_id) const {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        if (slots_[i].trial.id != trial_id) continue;
        SlotState state = slots_[i].state;
        if (batch_) read_batch(i, state);
        state.elapsed_s += monotonic_s() - slots_[i].entered_s;
        return state;
    }
    MEMCAP_EXPECT(!"the trial is in a slot");
    return {};
}

std::vector<Id128> SlotsEngine::Engine::running() const {
    std::vector<Id128> ids;
    for (const Slot& slot : slots_) ids.push_back(slot.trial.id);
    return ids;
}

SlotsEngine::SlotsEngine(const models::CausalLM& model, SlotsOptions options)
    : engine_(std::make_unique<Engine>(model, options)) {}
SlotsEngine::~SlotsEngine() = default;
bool SlotsEngine::has_room(std::int32_t positions) const {
    return engine_->has_room(positions);
}
void SlotsEngine::enter(plan::Trial trial, std::optional<SlotState> resumed) {
    engine_->enter(std::move(trial), std::move(resumed));
}
std::vector<record::TrialRecord> SlotsEngine::step() {
    return engine_->step();
}
SlotState SlotsEngine::export_state(const Id128& trial_id) const {
    return engine_->export_state(trial_id);
}
std::vector<Id128> SlotsEngine::running() const {
    return engine_->running();
}

}  // namespace memcap::memory
