// The slots engine: many trials side by side on one model, each as if it were alone.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "memcap/base/bytes.hpp"
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
    // Of a trial that SOAP optimises, whose memory and moments are in the basis; empty for others.
    std::vector<float> basis;    ///< [E, E]
    std::vector<float> scatter;  ///< [E, E]
    std::int32_t renewed = 0;    ///< evaluations when the basis was renewed last
};

Bytes encode(const SlotState& state);
/// Throws TransportError if the bytes are cut, or of another version.
SlotState decode_slot_state(std::span<const std::byte> bytes);

/// How the rows of a batch are laid out: exactly those of the trials (best for a CPU), or in buckets of slots
/// that have the same number of rows, at most a tenth of them pads (for a GPU, whose graphs know one shape).
enum class RowLayout : std::uint8_t { automatic, exact, fixed };

struct SlotsOptions {
    std::int32_t slots = 1;            ///< trials side by side at most
    std::int64_t position_budget = 0;  ///< rows of all slots together at most; 0 = no limit
    bool keep_vectors = true;          ///< put the best vector into the record
    std::int32_t curve_every = 0;      ///< keep each n-th evaluation, the first and the last; 0 = no curve
    RowLayout layout = RowLayout::automatic;
    /// Evaluations between two looks at the slots; 0: each one on a CPU, every 16th on a GPU, whose steps are
    /// not held up so.
    std::int32_t look_every = 0;
};

/// A trial that had to leave its slot, and how far it was.
struct DisplacedTrial {
    plan::Trial trial;
    SlotState state;
};

/// Runs trials on a frozen model. Not thread-safe. Where the device runs out of memory, the engine halves the
/// rows that it computes at once and goes on; other errors of the device come out of step() as exceptions and
/// leave the engine unusable. What is wrong with one trial (a loss that is not finite) is that trial's
/// record.
class SlotsEngine {
  public:
    /// `model` must outlive the engine.
    SlotsEngine(const models::CausalLM& model, SlotsOptions options);
    ~SlotsEngine();
    SlotsEngine(const SlotsEngine&) = delete;
    SlotsEngine& operator=(const SlotsEngine&) = delete;

    /// Trials that will be offered until the next call: a fixed layout makes room for those of one shape at
    /// once.
    void expect(const std::vector<const plan::Trial*>& waiting);
    /// Whether a trial of this shape may enter now; always true while nothing runs.
    bool has_room(const plan::Trial& trial) const;
    /// Puts a trial into a free slot: from its initial memory, or from where `resumed` left it.
    void enter(plan::Trial trial, std::optional<SlotState> resumed = std::nullopt);
    /// look_every evaluations of every trial in a slot, each followed by an update of those that go on.
    /// Returns the records of those that ended; rank, host, device, attempt and finished_utc are the caller's
    /// to fill in. What is computed for a trial behind its end does not count.
    std::vector<record::TrialRecord> step();
    /// SlotsOptions::look_every, as it was decided.
    std::int32_t evaluations_a_step() const;
    /// Trials that lost their slots to a shortage of memory, to enter again when there is room; each is given
    /// out once. A single trial that does not fit is a retryable failure instead.
    std::vector<DisplacedTrial> take_displaced();
    /// The budget that the last shortage of memory left, in rows; 0 if there was none.
    std::int64_t reduced_budget() const;
    /// The state of a trial that is in a slot.
    SlotState export_state(const Id128& trial_id) const;
    /// Ids of the trials that are in slots.
    std::vector<Id128> running() const;

  private:
    class Engine;
    std::unique_ptr<Engine> engine_;
};

/// Whether an exception says that the device, or the host, has no memory left.
bool is_out_of_memory(const std::exception& problem);

/// The memory that a trial starts from: [K, E] numbers of its own random stream, normal(0, 1) times
/// init_scale times `embedding_std`.
std::vector<float> initial_memory(const plan::Trial& trial, std::int32_t memory_width, double embedding_std);

}  // namespace memcap::memory
