// The executor of memcap's trials: leased tasks in, slots engine, encoded records out.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "app/weight_loading.hpp"
#include "app/worker_setup.hpp"
#include "memcap/agent/compute_link.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/memory/slots.hpp"
#include "memcap/models/causal_lm.hpp"
#include "memcap/plan/trial.hpp"
#include "memcap/sched/executor.hpp"

namespace memcap::app {

/// Where this executor runs, for the records.
struct ExecutorPlace {
    std::int32_t rank = 0;
    std::string host;
    at::Device device = at::kCPU;
    std::int32_t threads = 1;
    std::int32_t sharers = 1;                     ///< ranks that compute on this device
    std::int32_t nodes = 1;                       ///< of the run
    weights::WeightExchange* exchange = nullptr;  ///< needed; outlives the executor
    agent::Life* life = nullptr;  ///< where signs of life go; null: nobody looks; outlives the executor
};

/// How many evaluations a trial had behind it at a checkpoint; throws TransportError if the bytes are
/// damaged.
std::int32_t evaluations_of_checkpoint(std::span<const std::byte> bytes);

/// Most trials side by side on a device when the experiment does not say.
std::int32_t most_slots(at::Device device);

/// Engine options for a setup on a device before anything was measured, as run and plan use them.
memory::SlotsOptions slots_options(const WorkerSetup& setup, at::Device device);
/// The same with the rows of a step that a short measurement finds fastest for trials of so many positions,
/// where the experiment leaves the slots to memcap: no more than fit a rank's share of what is free, where
/// `sharers` ranks compute on the device.
memory::SlotsOptions measured_slots_options(const WorkerSetup& setup, const models::CausalLM& model,
                                            std::int32_t positions, std::int32_t sharers = 1);

/// Runs trials of one model at a time; loads the next one when the tasks of the last are used up.
class TrialExecutor : public sched::Executor {
  public:
    TrialExecutor(WorkerSetup setup, ExecutorPlace place);
    ~TrialExecutor() override;
    void run(sched::WorkPort& port) override;

  private:
    struct Pending {
        sched::LeasedTask leased;
        plan::Trial trial;
        std::optional<memory::SlotState> state;  ///< of a trial that lost its slot to a shortage of memory
    };
    struct Running {
        sched::LeasedTask leased;
        std::int32_t positions = 0;
        double flops = 0.0;       ///< of a step
        std::uint64_t steps = 0;  ///< since it entered a slot here
    };

    void work(sched::WorkPort& port);
    [[noreturn]] void lose_device(const DeviceError& problem) const;
    void checkpoint_all(sched::WorkPort& port);
    void sign_of_life(double within_s) const;
    double flops_per_step(const plan::Trial& trial) const;
    double slowest_s(const plan::Trial& trial, std::int64_t rows) const;
    void fetch(sched::WorkPort& port);
    void fill_slots(sched::WorkPort& port);
    bool enter(sched::WorkPort& port, Pending& pending);
    void advance(sched::WorkPort& port);
    bool load_model_of(const plan::Trial& trial, const sched::WorkPort& port, std::string& problem);
    void forget_model();
    bool model_is_unchanged(sched::WorkPort& port);
    bool matches_loaded(const plan::Trial& trial) const;
    std::size_t wanted() const;
    memory::SlotsOptions options_of_loaded() const;
    void finish(sched::WorkPort& port, const sched::LeasedTask& leased, record::TrialRecord record) const;
    void fail(sched::WorkPort& port, const sched::LeasedTask& leased, const Id128& trial,
              record::FailureCategory category, const std::string& message) const;
    void fail_by_host(sched::WorkPort& port, const sched::LeasedTask& leased, const Id128& trial,
                      const std::string& message) const;

    WorkerSetup setup_;
    ExecutorPlace place_;
    WeightLoader loader_;
    std::deque<Pending> pending_;
    std::unordered_map<Id128, Running> running_;
    LoadedModel loaded_;
    std::int32_t model_index_ = -1;
    Precision precision_ = Precision::float32;
    std::unique_ptr<memory::SlotsEngine> engine_;
    double checkpointed_s_ = 0.0;   ///< when all trials in slots were checkpointed last
    double step_bound_s_ = 0.0;     ///< longer than a step of the loaded model takes
    bool has_stepped_ = false;      ///< the bound comes from steps, not from the slowest machine there may be
    bool short_of_memory_ = false;  ///< no further trial fits before one has ended
    /// Rows of a step by model and precision: measured, and less after a shortage of memory.
    std::map<std::pair<std::int32_t, Precision>, std::int64_t> budgets_;
};

}  // namespace memcap::app
