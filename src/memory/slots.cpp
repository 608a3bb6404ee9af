// The slots engine: which trial is in which bucket and slot, looks at the device, records.
#include "memcap/memory/slots.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <map>
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
#include "memory/detail/occupant.hpp"

namespace memcap::memory {

namespace {

using detail::Bucket;
using detail::Occupant;
using detail::SlotPhase;
using detail::SlotProgress;

/// Evaluations between two looks at a device that computes on its own; a CPU's state is at hand.
constexpr std::int32_t kLookEvery = 16;
/// Share of the rows of fixed shapes that may be pads or of empty slots.
constexpr double kMostWaste = 0.1;
/// Rounds for which more is borne: the next trial may be on its way, and a new bucket has to be recorded.
constexpr std::int32_t kRoundsOfWaste = 2;

/// Positions of the bucket for a trial of so many: at most a tenth more, and few different ones.
std::int64_t bucket_positions(std::int64_t positions) {
    constexpr std::int64_t kSteps = 10;
    std::int64_t step = 1;
    while (positions / (2 * step) >= kSteps) step *= 2;
    return (positions + step - 1) / step * step;
}

/// The same for a model that may rotate by the length of its input: pads must not change the rotation.
std::int64_t bucket_positions(std::int64_t positions, const models::Description& model) {
    const std::int64_t common = model.common_rotation_tokens;
    if (common > 0 && positions > common && model.rotates_by_length) return positions;
    std::int64_t most = positions > common ? model.context_tokens : common;
    if (most == 0) most = INT64_MAX;
    return std::max(positions, std::min(bucket_positions(positions), most));
}

}  // namespace

bool is_out_of_memory(const std::exception& problem) {
    if (dynamic_cast<const std::bad_alloc*>(&problem) != nullptr ||
        dynamic_cast<const c10::OutOfMemoryError*>(&problem) != nullptr)
        return true;
    // The CPU's allocator and the libraries of a GPU have no exception of their own for it.
    const auto* error = dynamic_cast<const c10::Error*>(&problem);
    if (error == nullptr) return false;
    const std::string_view text = error->what_without_backtrace();
    return std::ranges::any_of(
        std::initializer_list<std::string_view>{"DefaultCPUAllocator: can't allocate memory",
                                                "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
                                                "CUDNN_STATUS_ALLOC_FAILED"},
        [text](std::string_view known) { return text.find(known) != std::string_view::npos; });
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
          look_every_(options.look_every > 0    ? options.look_every
                      : model.device().is_cpu() ? 1
                                                : kLookEvery) {
        MEMCAP_EXPECT(options.slots >= 1);
    }

    void expect(const std::vector<const plan::Trial*>& waiting);
    bool has_room(const plan::Trial& trial) const;
    void enter(plan::Trial trial, std::optional<SlotState> resumed);
    std::vector<record::TrialRecord> step();
    std::vector<DisplacedTrial> take_displaced() { return std::exchange(displaced_, {}); }
    std::int64_t reduced_budget() const { return reduced_budget_; }
    std::int32_t evaluations_a_step() const { return look_every_; }
    SlotState export_state(const Id128& trial_id) const;
    std::vector<Id128> running() const;

  private:
    /// What slots of a fixed layout have in common; zeros in an exact one.
    struct Shape {
        std::int64_t positions = 0;
        std::int32_t memory_vectors = 0;
        bool is_rotated = false;
        auto operator<=>(const Shape&) const = default;
    };
    /// The bucket of all trials of one shape.
    struct Place {
        Shape shape;
        std::unique_ptr<Bucket> bucket;
    };

    SlotState begin(const plan::Trial& trial);
    const Evaluation& without_memory(const plan::Trial& trial);
    Shape shape_of(const plan::Trial& trial) const;
    const Place* place_of(const Shape& shape) const;
    std::int32_t wanted_slots(const Shape& shape, std::int32_t present) const;
    std::unique_ptr<Bucket> make_bucket(const Shape& shape, std::int32_t slots) const;
    Bucket& bucket_for(const plan::Trial& trial);
    void rebuild(Place& place, std::int32_t slots);
    void pack();
    std::int64_t rows() const;
    bool advance(std::vector<record::TrialRecord>& ended);
    void end_trials(std::vector<record::TrialRecord>& ended);
    void displace(std::vector<record::TrialRecord>& ended);
    bool enters(const DisplacedTrial& displaced);

    const models::CausalLM& model_;
    SlotsOptions options_;
    bool fixed_;
    std::int32_t look_every_;
    std::vector<Place> places_;
    std::vector<Occupant> occupants_;
    std::map<Shape, std::int32_t> expected_;  ///< trials of each shape that wait to enter
    std::int32_t rounds_of_waste_ = 0;
    std::vector<DisplacedTrial> displaced_;
    std::int64_t reduced_budget_ = 0;
    std::unordered_map<Id128, Evaluation> without_memory_;
};

SlotsEngine::Engine::Shape SlotsEngine::Engine::shape_of(const plan::Trial& trial) const {
    if (!fixed_) return {};
    return {.positions = bucket_positions(trial.positions(), model_.description()),
            .memory_vectors = trial.memory_vectors,
            .is_rotated = trial.protocol.optimiser == OptimiserKind::soap};
}

const SlotsEngine::Engine::Place* SlotsEngine::Engine::place_of(const Shape& shape) const {
    const auto found = std::ranges::find(places_, shape, &Place::shape);
    return found == places_.end() ? nullptr : &*found;
}

void SlotsEngine::Engine::expect(const std::vector<const plan::Trial*>& waiting) {
    expected_.clear();
    for (const plan::Trial* trial : waiting) ++expected_[shape_of(*trial)];
}

/// Rows that a step computes, pads and empty slots of fixed shapes included.
std::int64_t SlotsEngine::Engine::rows() const {
    std::int64_t rows = 0;
    for (const Place& place : places_) {
        if (place.bucket->trials() == 0) continue;
        rows += fixed_ ? place.shape.positions * place.bucket->slots() : place.bucket->rows();
    }
    return rows;
}

bool SlotsEngine::Engine::has_room(const plan::Trial& trial) const {
    if (occupants_.empty()) return true;
    if (occupants_.size() >= static_cast<std::size_t>(options_.slots)) return false;
    const Shape shape = shape_of(trial);
    for (const Place& place : places_) {
        if (fixed_ && place.bucket->trials() > 0 && !place.bucket->is_full() && place.shape == shape)
            return true;
    }
    const std::int64_t wanted = fixed_ ? shape.positions : trial.positions();
    return options_.position_budget == 0 || rows() + wanted <= options_.position_budget;
}

std::unique_ptr<Bucket> SlotsEngine::Engine::make_bucket(const Shape& shape, std::int32_t slots) const {
    return std::make_unique<Bucket>(model_,
                                    detail::BucketShape{.positions = shape.positions,
                                                        .slots = fixed_ ? slots : 0,
                                                        .memory_vectors = shape.memory_vectors,
                                                        .is_rotated = shape.is_rotated},
                                    look_every_);
}

/// Slots of a fixed bucket in which `present` trials are: for these, for one more and for those expected, as
/// far as they fit.
std::int32_t SlotsEngine::Engine::wanted_slots(const Shape& shape, std::int32_t present) const {
    const auto others = static_cast<std::int32_t>(occupants_.size()) - present;
    const auto expected = expected_.find(shape);
    std::int64_t slots = std::min(present + std::max(1, expected == expected_.end() ? 0 : expected->second),
                                  options_.slots - others);
    if (options_.position_budget > 0) {
        const Place* place = place_of(shape);
        const std::int64_t own = place != nullptr && present > 0 ? place->bucket->slots() : 0;
        const std::int64_t free_rows = options_.position_budget - rows() + own * shape.positions;
        slots = std::min(slots, free_rows / shape.positions);
    }
    return std::max(static_cast<std::int32_t>(slots), present + 1);
}

/// A bucket with a free slot for the trial.
Bucket& SlotsEngine::Engine::bucket_for(const plan::Trial& trial) {
    const Shape shape = shape_of(trial);
    const Place* place = place_of(shape);
    if (place != nullptr && !fixed_) return *place->bucket;
    const std::int32_t present = place == nullptr ? 0 : place->bucket->trials();
    if (present > 0 && !place->bucket->is_full()) return *place->bucket;
    const std::int32_t slots = fixed_ ? wanted_slots(shape, present) : 0;
    // One that was left empty is recorded already.
    const auto nearly = [slots](std::int32_t had) {
        return had <= slots && had >= (1.0 - kMostWaste) * slots;
    };
    if (place != nullptr && present == 0 && nearly(place->bucket->slots())) return *place->bucket;
    // Other empty buckets only hold memory.
    std::erase_if(places_, [](const Place& other) { return other.bucket->trials() == 0; });
    if (present > 0) {
        const auto full = std::ranges::find(places_, shape, &Place::shape);
        rebuild(*full, slots);
        return *full->bucket;
    }
    places_.push_back({shape, make_bucket(shape, slots)});
    return *places_.back().bucket;
}

/// Moves the trials of a fixed place into a bucket of so many slots.
void SlotsEngine::Engine::rebuild(Place& place, std::int32_t slots) {
    MEMCAP_EXPECT(slots >= place.bucket->trials());
    std::unique_ptr<Bucket> next = make_bucket(place.shape, slots);
    std::vector<std::pair<Occupant*, std::int32_t>> moved;
    for (Occupant& occupant : occupants_) {
        if (occupant.bucket != place.bucket.get()) continue;
        const detail::SlotVectors vectors = occupant.bucket->vectors(occupant.slot);
        const Objective objective = objective_of(occupant.trial);
        moved.emplace_back(&occupant, next->enter({.objective = &objective,
                                                   .protocol = &occupant.trial.protocol,
                                                   .vectors = &vectors,
                                                   .progress = occupant.progress()}));
    }
    for (const auto& [occupant, slot] : moved) {
        occupant->bucket = next.get();
        occupant->slot = slot;
    }
    place.bucket = std::move(next);
}

void SlotsEngine::Engine::enter(plan::Trial trial, std::optional<SlotState> resumed) {
    MEMCAP_EXPECT(has_room(trial));
    Occupant occupant;
    occupant.entered_s = monotonic_s();
    const Objective objective = objective_of(trial);
    occupant.scored = static_cast<std::int32_t>(objective.scored.size());
    occupant.state = resumed ? std::move(*resumed) : begin(trial);
    const SlotState& state = occupant.state;
    const detail::SlotVectors vectors{state.memory,
                                      state.first_moment,
                                      state.second_moment,
                                      state.best_memory,
                                      {state.basis, state.scatter, state.renewed}};
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
    if (auto& waiting = expected_[shape_of(trial)]; waiting > 0) --waiting;
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
    if (!occupants_.empty() && advance(ended)) end_trials(ended);
    return ended;
}

/// Takes the empty slots out of fixed buckets once they have been too many for a while.
void SlotsEngine::Engine::pack() {
    std::int64_t useful = 0;
    for (const Occupant& occupant : occupants_) useful += occupant.trial.positions();
    const bool wasteful = static_cast<double>(useful) < (1.0 - kMostWaste) * static_cast<double>(rows());
    rounds_of_waste_ = wasteful ? rounds_of_waste_ + 1 : 0;
    if (rounds_of_waste_ <= kRoundsOfWaste) return;
    std::erase_if(places_, [](const Place& place) { return place.bucket->trials() == 0; });
    for (Place& place : places_) {
        if (!place.bucket->is_full()) rebuild(place, place.bucket->trials());
    }
    rounds_of_waste_ = 0;
}

/// Looks at all slots, and records and takes out the trials that have ended.
void SlotsEngine::Engine::end_trials(std::vector<record::TrialRecord>& ended) {
    for (const Place& place : places_) place.bucket->look();
    for (Occupant& occupant : occupants_) {
        occupant.take_points(options_.curve_every);
        const SlotProgress& progress = occupant.progress();
        if (progress.phase == SlotPhase::running) continue;
        if (progress.phase == SlotPhase::not_finite) {
            ended.push_back(occupant.failed(
                record::FailureCategory::permanent,
                fmt::format("the loss is not finite at evaluation {}: the learning rate may be too high",
                            progress.evaluations)));
        } else {
            ended.push_back(occupant.finish(options_.keep_vectors));
        }
        occupant.bucket->leave(occupant.slot);
        occupant.bucket = nullptr;
    }
    std::erase_if(occupants_, [](const Occupant& occupant) { return occupant.bucket == nullptr; });
}

/// A few evaluations of all buckets; false if memory ran out, in which case fewer trials are left in slots.
bool SlotsEngine::Engine::advance(std::vector<record::TrialRecord>& ended) {
    try {
        if (fixed_) pack();
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
    end_trials(ended);
    if (occupants_.empty()) return;
    const plan::Trial& first = occupants_.front().trial;
    if (rows() == (fixed_ ? shape_of(first).positions : first.positions())) {
        ended.push_back(occupants_.front().failed(
            record::FailureCategory::retryable,
            fmt::format("out of memory: {} positions do not fit even alone", first.positions())));
        occupants_.clear();
        places_.clear();
        return;
    }
    reduced_budget_ = std::max<std::int64_t>(1, rows() / 2);
    options_.position_budget = reduced_budget_;
    log::warning(
        fmt::format("out of memory with {} trials side by side: at most {} positions at once from now on",
                    occupants_.size(), reduced_budget_));
    std::vector<DisplacedTrial> all;
    for (const Occupant& occupant : occupants_) all.push_back({occupant.trial, occupant.exported()});
    occupants_.clear();
    places_.clear();
    std::vector<const plan::Trial*> waiting;
    for (const DisplacedTrial& each : all) waiting.push_back(&each.trial);
    expect(waiting);
    for (DisplacedTrial& each : all) {
        if (!has_room(each.trial) || !enters(each)) displaced_.push_back(std::move(each));
    }
}

/// False if there is no memory for it now.
bool SlotsEngine::Engine::enters(const DisplacedTrial& displaced) {
    try {
        enter(displaced.trial, displaced.state);
        return true;
    } catch (const std::exception& problem) {
        if (!is_out_of_memory(problem)) throw;
        return false;
    }
}

SlotState SlotsEngine::Engine::export_state(const Id128& trial_id) const {
    const auto found =
        std::ranges::find(occupants_, trial_id, [](const Occupant& occupant) { return occupant.trial.id; });
    MEMCAP_EXPECT(found != occupants_.end());
    return found->exported();
}

std::vector<Id128> SlotsEngine::Engine::running() const {
    std::vector<Id128> ids;
    for (const Occupant& occupant : occupants_) ids.push_back(occupant.trial.id);
    return ids;
}

SlotsEngine::SlotsEngine(const models::CausalLM& model, SlotsOptions options)
    : engine_(std::make_unique<Engine>(model, options)) {}
SlotsEngine::~SlotsEngine() = default;
void SlotsEngine::expect(const std::vector<const plan::Trial*>& waiting) {
    engine_->expect(waiting);
}
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
std::int32_t SlotsEngine::evaluations_a_step() const {
    return engine_->evaluations_a_step();
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
