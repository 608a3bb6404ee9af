// The slots engine: many trials side by side on one model, each as if it were alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "memcap/models/causal_lm.hpp"
#include "memcap/plan/trial.hpp"
#include "memcap/record/trial_record.hpp"

namespace memcap::memory {

/// The whole state of a trial in a slot: what a checkpoint holds and another slot, rank or launch can go on
/// from.
struct SlotState {
    std::vector<float> memory;         ///< [K, E], to be evaluated next
    std::vector<float> first_moment;   ///< [K, E]
    std::vector<float> second_moment;  ///< [K, E]
    std::vector<float> best_memory;    ///< [K, E], the one evaluated at best_evaluation
    std::int32_t evaluations = 0;      ///< made so far
    std::int32_t best_evaluation = 0;
    std::int32_t best_correct = -1;
    double best_loss_nats = 0.0;  ///< at best_evaluation
    double loss_min_nats = 0.0;   ///< over all evaluations so far
    double loss_nomem_nats = 0.0;
    double accuracy_nomem = 0.0;
    record::Curve curve;
    double elapsed_s = 0.0;  ///< in slots so far
};

struct SlotsOptions {
    std::int32_t slots = 1;            ///< trials side by side at most
    std::int64_t position_budget = 0;  ///< slots times positions of the longest trial at most; 0 = no limit
    bool keep_vectors = true;          ///< put the best vector into the record
    std::int32_t curve_every = 0;      ///< keep each n-th evaluation, the first and the last; 0 = no curve
};

/// Runs trials on a frozen model. Not thread-safe. Errors of the device come out of step() as exceptions and
/// leave the engine unusable; what is wrong with one trial (a loss that is not finite) is that trial's
/// record.
class SlotsEngine {
  public:
    /// `model` must outlive the engine.
    SlotsEngine(const models::CausalLM& model, SlotsOptions options);
    ~SlotsEngine();
    SlotsEngine(const SlotsEngine&) = delete;
    SlotsEngine& operator=(const SlotsEngine&) = delete;

    /// Whether a trial of so many positions may enter now; always true while nothing runs.
    bool has_room(std::int32_t positions) const;
    /// Puts a trial into a free slot: from its initial memory, or from where `resumed` left it.
    void enter(plan::Trial trial, std::optional<SlotState> resumed = std::nullopt);
    /// One evaluation of every trial in a slot, then one update of those that go on. Returns the records of
    /// those that ended; rank, host, device, attempt and finished_utc are the caller's to fill in.
    std::vector<record::TrialRecord> step();
    /// The state of a trial that is in a slot.
    SlotState export_state(const Id128& trial_id) const;
    /// Ids of the trials that are in slots.
    std::vector<Id128> running() const;

  private:
    class Engine;
    std::unique_ptr<Engine> engine_;
};

/// The memory that a trial starts from: [K, E] numbers of its own random stream, normal(0, 1) times
/// init_scale times `embedding_std`.
std::vector<float> initial_memory(const plan::Trial& trial, std::int32_t memory_width, double embedding_std);

}  // namespace memcap::memory
