// The slots engine: which trial is in which bucket and slot, looks at the device, records.
#include "memcap/memory/slots.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/log.hpp"
#include "memcap/base/random.hpp"
#include "memcap/memory/evaluation.hpp"
#include "memcap/memory/objective.hpp"
#include "memcap/plan/identity.hpp"
#include "memory/detail/bucket.hpp"

namespace memcap::memory {

namespace {

using detail::Bucket;
using detail::SlotPhase;
using detail::SlotProgress;

/// Evaluations between two looks at a device that computes on its own; a CPU's state is at hand.
constexpr std::int32_t kLookEvery = 16;

/// A trial and its place.
struct Occupant {
    plan::Trial trial;
    Bucket* bucket = nullptr;
    std::int32_t slot = 0;
    std::int32_t scored = 0;
    std::int32_t seen = 0;  ///< evaluations whose curve points were taken
    /// What the bucket does not hold: curve, numbers without memory, time.
    SlotState state;
    double entered_s = 0.0;

    const SlotProgress& progress() const { return bucket->progress(slot); }
};

/// Positions of the bucket for a trial of so many: at most a tenth more, and few different ones.
std::int64_t bucket_positions(std::int64_t positions) {
    constexpr std::int64_t kSteps = 10;
    std::int64_t step = 1;
    while (positions / (2 * step) >= kSteps) step *= 2;
    return (positions + step - 1) / step * step;
}

record::StopReason reason_of(SlotPhase phase) {
    switch (phase) {
        case SlotPhase::solved:
            return record::StopReason::solved;
        case SlotPhase::out_of_patience:
            return record::StopReason::patience;
        case SlotPhase::out_of_steps:
            return record::StopReason::max_steps;
        case SlotPhase::empty:
        case SlotPhase::running:
        case SlotPhase::not_finite:
            break;
    }
    return record::StopReason::none;
}

}  // namespace

bool is_out_of_memory(const std::exception& problem) {
    if (dynamic_cast<const std::bad_alloc*>(&problem) != nullptr ||
        dynamic_cast<const c10::OutOfMemoryError*>(&problem) != nullptr)
        return true;
    // The CPU's allocator has no exception of its own for it.
    const auto* error = dynamic_cast<const c10::Error*>(&problem);
    return error != nullptr && std::string_view(error->what_without_backtrace()).find("not enough memory") !=
                                   std::string_view::npos;
}

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
    Engine(const models::CausalLM& model, SlotsOptions options)
        : model_(model),
          options_(options),
          fixed_(options.layout == RowLayout::fixed ||
                 (options.layout == RowLayout::automatic && !model.device().is_cpu())),
          look_every_(model.device().is_cpu() ? 1 : kLookEvery) {
        MEMCAP_EXPECT(options.slots >= 1);
    }

    bool has_room(const plan::Trial& trial) const;
    void enter(plan::Trial trial, std::optional<SlotState> resumed);
    std::vector<record::TrialRecord> step();
    std::vector<DisplacedTrial> take_displaced() { return std::exchange(displaced_, {}); }
    std::int64_t reduced_budget() const { return reduced_budget_; }
    SlotState export_state(const Id128& trial_id) const;
    std::vector<Id128> running() const;

  private:
    /// Trials of one shape, or of any.
    struct Place {
        detail::BucketShape shape;
        std::unique_ptr<Bucket> bucket;
    };

    SlotState begin(const plan::Trial& trial);
    const Evaluation& without_memory(const plan::Trial& trial);
    detail::BucketShape shape_for(const plan::Trial& trial) const;
    Bucket& bucket_for(const plan::Trial& trial);
    std::int64_t rows() const;
    bool advance(std::vector<record::TrialRecord>& ended);
    void displace(std::vector<record::TrialRecord>& ended);
    void take_points(Occupant& occupant) const;
    record::TrialRecord finish(Occupant& occupant) const;
    record::TrialRecord failed(const Occupant& occupant, record::FailureCategory category,
                               std::string message) const;
    SlotState state_of(const Occupant& occupant) const;

    const models::CausalLM& model_;
    SlotsOptions options_;
    bool fixed_;
    std::int32_t look_every_;
    std::vector<Place> places_;
    std::vector<Occupant> occupants_;
    std::vector<DisplacedTrial> displaced_;
    std::int64_t reduced_budget_ = 0;
    std::unordered_map<Id128, Evaluation> without_memory_;
};

detail::BucketShape SlotsEngine::Engine::shape_for(const plan::Trial& trial) const {
    if (!fixed_) return {};
    const std::int64_t positions = bucket_positions(trial.positions());
    const std::int64_t fit =
        options_.position_budget == 0 ? options_.slots : (options_.position_budget - rows()) / positions;
    return {.positions = positions,
            .slots = static_cast<std::int32_t>(std::clamp<std::int64_t>(fit, 1, options_.slots)),
            .memory_vectors = trial.memory_vectors};
}

/// Rows that a step computes, pads and empty slots of fixed shapes included.
std::int64_t SlotsEngine::Engine::rows() const {
    std::int64_t rows = 0;
    for (const Place& place : places_) {
        if (place.bucket->trials() == 0) continue;
        rows += fixed_ ? place.shape.positions * place.shape.slots : place.bucket->rows();
    }
    return rows;
}

bool SlotsEngine::Engine::has_room(const plan::Trial& trial) const {
    if (occupants_.empty()) return true;
    if (occupants_.size() >= static_cast<std::size_t>(options_.slots)) return false;
    const detail::BucketShape shape = shape_for(trial);
    for (const Place& place : places_) {
        if (fixed_ && place.bucket->trials() > 0 && !place.bucket->is_full() &&
            place.shape.positions == shape.positions && place.shape.memory_vectors == shape.memory_vectors)
            return true;
    }
    const std::int64_t wanted = fixed_ ? shape.positions : trial.positions();
    return options_.position_budget == 0 || rows() + wanted <= options_.position_budget;
}

Bucket& SlotsEngine::Engine::bucket_for(const plan::Trial& trial) {
    const detail::BucketShape shape = shape_for(trial);
    for (const Place& place : places_) {
        if (place.shape.positions == shape.positions && place.shape.memory_vectors == shape.memory_vectors &&
            !place.bucket->is_full())
            return *place.bucket;
    }
    // An empty bucket of another shape only holds memory.
    std::erase_if(places_, [](const Place& place) { return place.bucket->trials() == 0; });
    places_.push_back({shape, std::make_unique<Bucket>(model_, shape, look_every_)});
    return *places_.back().bucket;
}

void SlotsEngine::Engine::enter(plan::Trial trial, std::optional<SlotState> resumed) {
    MEMCAP_EXPECT(has_room(trial));
    Occupant occupant;
    occupant.entered_s = monotonic_s();
    const Objective objective = objective_of(trial);
    occupant.scored = static_cast<std::int32_t>(objective.scored.size());
    occupant.state = resumed ? std::move(*resumed) : begin(trial);
    const SlotState& state = occupant.state;
    const detail::SlotVectors vectors{state.memory, state.first_moment, state.second_moment,
                                      state.best_memory};
    occupant.bucket = &bucket_for(trial);
    occupant.slot = occupant.bucket->enter({.objective = &objective,
                                            .protocol = &trial.protocol,
                                            .vectors = &vectors,
                                            .progress = {.phase = SlotPhase::running,
                                                         .evaluations = state.evaluations,
                                                         .best_evaluation = state.best_evaluation,
                                                         .best_correct = state.best_correct,
                                                         .best_loss_nats = state.best_loss_nats,
                                                         .loss_min_nats = state.loss_min_nats}});
    occupant.seen = state.evaluations;
    occupant.trial = std::move(trial);
    occupants_.push_back(std::move(occupant));
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

std::vector<record::TrialRecord> SlotsEngine::Engine::step() {
    std::vector<record::TrialRecord> ended;
    if (occupants_.empty() || !advance(ended)) return ended;
    for (const Place& place : places_) place.bucket->look();
    for (Occupant& occupant : occupants_) {
        take_points(occupant);
        const SlotProgress& progress = occupant.progress();
        if (progress.phase == SlotPhase::running) continue;
        if (progress.phase == SlotPhase::not_finite) {
            ended.push_back(failed(
                occupant, record::FailureCategory::permanent,
                fmt::format("the loss is not finite at evaluation {}: the learning rate may be too high",
                            progress.evaluations)));
        } else {
            ended.push_back(finish(occupant));
        }
        occupant.bucket->leave(occupant.slot);
        occupant.bucket = nullptr;
    }
    std::erase_if(occupants_, [](const Occupant& occupant) { return occupant.bucket == nullptr; });
    return ended;
}

/// A few evaluations of all buckets; false if memory ran out, in which case fewer trials are left in slots.
bool SlotsEngine::Engine::advance(std::vector<record::TrialRecord>& ended) {
    try {
        for (std::int32_t i = 0; i < look_every_; ++i) {
            for (const Place& place : places_) {
                if (place.bucket->trials() > 0) place.bucket->evaluate();
            }
        }
        return true;
    } catch (const std::exception& problem) {
        if (!is_out_of_memory(problem)) throw;
    }
    displace(ended);
    return false;
}

/// An evaluation that finds no memory has changed nothing: the trials go on from where they are, in half the
/// rows.
void SlotsEngine::Engine::displace(std::vector<record::TrialRecord>& ended) {
    const std::int64_t first_positions = occupants_.front().trial.positions();
    if (rows() == (fixed_ ? bucket_positions(first_positions) : first_positions)) {
        ended.push_back(failed(occupants_.front(), record::FailureCategory::retryable,
                               fmt::format("out of memory: {} positions do not fit even alone",
                                           occupants_.front().trial.positions())));
        occupants_.clear();
        places_.clear();
        return;
    }
    for (const Place& place : places_) place.bucket->look();
    reduced_budget_ = std::max<std::int64_t>(1, rows() / 2);
    options_.position_budget = reduced_budget_;
    log::warning(
        fmt::format("out of memory with {} trials side by side: at most {} positions at once from now on",
                    occupants_.size(), reduced_budget_));
    std::vector<DisplacedTrial> all;
    for (Occupant& occupant : occupants_) {
        take_points(occupant);
        SlotState state = state_of(occupant);
        all.push_back({std::move(occupant.trial), std::move(state)});
    }
    occupants_.clear();
    places_.clear();
    for (auto& [trial, state] : all) {
        if (has_room(trial)) {
            enter(std::move(trial), std::move(state));
        } else {
            displaced_.push_back({std::move(trial), std::move(state)});
        }
    }
}

/// Takes the evaluations since the last look into the curve.
void SlotsEngine::Engine::take_points(Occupant& occupant) const {
    const SlotProgress& progress = occupant.progress();
    const bool ended = progress.phase != SlotPhase::running;
    record::Curve& curve = occupant.state.curve;
    for (std::int32_t number = occupant.seen + 1; number <= progress.evaluations; ++number) {
        const bool is_last = ended && number == progress.evaluations;
        if (options_.curve_every == 0 || (!is_last && (number - 1) % options_.curve_every != 0)) continue;
        const detail::CurvePoint& point = occupant.bucket->point(occupant.slot, number);
        curve.evaluation.push_back(number);
        curve.loss_nats.push_back(static_cast<float>(point.loss_nats));
        curve.accuracy.push_back(static_cast<float>(static_cast<double>(point.correct) / occupant.scored));
    }
    occupant.seen = progress.evaluations;
}

record::TrialRecord SlotsEngine::Engine::finish(Occupant& occupant) const {
    const SlotProgress& progress = occupant.progress();
    SlotState& state = occupant.state;
    record::TrialRecord record;
    record.trial_id = occupant.trial.id;
    record.status = record::TrialStatus::done;
    record.scored_tokens = occupant.scored;
    record.evaluations = progress.evaluations;
    record.best_evaluation = progress.best_evaluation;
    record.stop_reason = reason_of(progress.phase);
    record.loss_nomem_nats = state.loss_nomem_nats;
    record.accuracy_nomem = state.accuracy_nomem;
    record.loss_nats = progress.best_loss_nats;
    record.accuracy = static_cast<double>(progress.best_correct) / occupant.scored;
    record.correct_tokens = progress.best_correct;
    record.exact = progress.best_correct == occupant.scored;
    record.loss_min_nats = progress.loss_min_nats;
    record.elapsed_s = state.elapsed_s + monotonic_s() - occupant.entered_s;
    if (options_.keep_vectors) record.vector = occupant.bucket->best_memory(occupant.slot);
    record.vector_width = model_.description().memory_width;
    record.curve = std::move(state.curve);
    return record;
}

record::TrialRecord SlotsEngine::Engine::failed(const Occupant& occupant, record::FailureCategory category,
                                                std::string message) const {
    record::TrialRecord record;
    record.trial_id = occupant.trial.id;
    record.status = record::TrialStatus::failed;
    record.failure = {category, std::move(message)};
    record.scored_tokens = occupant.scored;
    record.elapsed_s = occupant.state.elapsed_s + monotonic_s() - occupant.entered_s;
    return record;
}

SlotState SlotsEngine::Engine::state_of(const Occupant& occupant) const {
    SlotState state = occupant.state;
    detail::SlotVectors vectors = occupant.bucket->vectors(occupant.slot);
    state.memory = std::move(vectors.memory);
    state.first_moment = std::move(vectors.first_moment);
    state.second_moment = std::move(vectors.second_moment);
    const SlotProgress& progress = occupant.progress();
    if (progress.best_correct >= 0) state.best_memory = std::move(vectors.best_memory);
    state.evaluations = progress.evaluations;
    state.best_evaluation = progress.best_evaluation;
    state.best_correct = progress.best_correct;
    state.best_loss_nats = progress.best_loss_nats;
    state.loss_min_nats = progress.loss_min_nats;
    state.elapsed_s += monotonic_s() - occupant.entered_s;
    return state;
}

SlotState SlotsEngine::Engine::export_state(const Id128& trial_id) const {
    for (const Occupant& occupant : occupants_) {
        if (occupant.trial.id == trial_id) return state_of(occupant);
    }
    MEMCAP_EXPECT(!"the trial is in a slot");
    return {};
}

std::vector<Id128> SlotsEngine::Engine::running() const {
    std::vector<Id128> ids;
    for (const Occupant& occupant : occupants_) ids.push_back(occupant.trial.id);
    return ids;
}

SlotsEngine::SlotsEngine(const models::CausalLM& model, SlotsOptions options)
    : engine_(std::make_unique<Engine>(model, options)) {}
SlotsEngine::~SlotsEngine() = default;
bool SlotsEngine::has_room(const plan::Trial& trial) const {
    return engine_->has_room(trial);
}
void SlotsEngine::enter(plan::Trial trial, std::optional<SlotState> resumed) {
    engine_->enter(std::move(trial), std::move(resumed));
}
std::vector<record::TrialRecord> SlotsEngine::step() {
    return engine_->step();
}
std::vector<DisplacedTrial> SlotsEngine::take_displaced() {
    return engine_->take_displaced();
}
std::int64_t SlotsEngine::reduced_budget() const {
    return engine_->reduced_budget();
}
SlotState SlotsEngine::export_state(const Id128& trial_id) const {
    return engine_->export_state(trial_id);
}
std::vector<Id128> SlotsEngine::running() const {
    return engine_->running();
}

}  // namespace memcap::memory
