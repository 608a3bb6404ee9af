// What the slots engine reaches on a model, by synthetic trials that never end.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "app/worker_setup.hpp"
#include "memcap/models/causal_lm.hpp"
#include "memcap/plan/speed.hpp"
#include "memcap/plan/trial.hpp"

namespace memcap::app {

/// Steps of the slots engine, counted and timed. The engine is warm by then.
struct TimedSteps {
    double trial_steps = 0.0;  ///< evaluations of all trials together
    double elapsed_s = 0.0;
    std::int32_t slots = 0;
};

/// Fills the slots with copies of a trial that last as long as is wanted, and steps for `measured_s`; the
/// engine's options are those of `setup`. Throws what memory::is_out_of_memory() knows where a run would go
/// on with fewer slots.
TimedSteps time_trial(const models::CausalLM& model, const plan::Trial& trial, const WorkerSetup& setup,
                      double measured_s);

/// The trials of a measurement: random token ids under the paper's protocol.
struct Workload {
    std::string name;  ///< of the model
    Precision precision = Precision::float32;
    std::int32_t length = 128;  ///< N
    std::int32_t memory_vectors = 1;
    double measured_s = 5.0;  ///< of steps in all
};

/// Bytes that a measurement with so many slots needs, as memcap plan counts them: weights and slots.
std::int64_t needed_bytes(const models::Description& description, const Workload& workload,
                          std::int32_t slots, const plan::ValueWidths& widths);

/// Steps in turns with matrix products, so that both see the same moods of the machine; all slots are full
/// all the time. Throws DataError if the loss of a trial does not stay finite, and what
/// memory::is_out_of_memory() knows where a run would go on with fewer slots.
plan::EngineSpeed measure_engine(const models::CausalLM& model, const Workload& workload,
                                 const WorkerSetup& setup);

/// Does `work` on a model. A shortage of memory becomes a DeviceError that says what to do.
void within_memory(const std::string& model, const std::function<void()>& work);

}  // namespace memcap::app
