// Engines full of trials without end.
#include "app/engine_speed.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "app/device_speed.hpp"
#include "app/preparation.hpp"
#include "app/trial_executor.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/random.hpp"
#include "memcap/memory/slots.hpp"
#include "memcap/plan/cost.hpp"

namespace memcap::app {

namespace {

constexpr int kWarmUpSteps = 2;

using TrialMaker = std::function<plan::Trial(std::uint64_t index)>;

/// A slots engine whose trials never end.
class FullEngine {
  public:
    FullEngine(const models::CausalLM& model, const memory::SlotsOptions& options,
               const TrialMaker& make_trial)
        : model_(model), engine_(model, options) {
        plan::Trial trial = endless(make_trial(0), 0);
        engine_.expect(std::vector<const plan::Trial*>(static_cast<std::size_t>(options.slots), &trial));
        while (engine_.has_room(trial) && slots_ < options.slots) {
            engine_.enter(std::move(trial));
            ++slots_;
            trial = endless(make_trial(static_cast<std::uint64_t>(slots_)), slots_);
        }
    }

    std::int32_t slots() const { return slots_; }

    void step(int times) {
        for (int i = 0; i < times; ++i) step();
    }

    /// Steps for this long, at least once.
    TimedSteps step_for(double seconds) {
        wait_for(model_.device());
        const double before = evaluations();
        const double start_s = monotonic_s();
        do {
            step();
        } while (monotonic_s() - start_s < seconds);
        wait_for(model_.device());
        const double elapsed_s = monotonic_s() - start_s;
        return {.trial_steps = evaluations() - before, .elapsed_s = elapsed_s, .slots = slots_};
    }

  private:
    static plan::Trial endless(plan::Trial trial, std::int32_t slot) {
        trial.id = hash128(as_bytes(fmt::format("endless trial {}", slot)));
        trial.protocol.max_steps = INT32_MAX;
        trial.protocol.patience = INT32_MAX;
        trial.protocol.stop_accuracy = 2.0;
        return trial;
    }

    /// Of all trials so far, by their own count.
    double evaluations() const {
        double sum = 0.0;
        for (const Id128& id : engine_.running()) sum += engine_.export_state(id).evaluations;
        return sum;
    }

    void step() {
        const auto ended = engine_.step();
        const bool fails_alone =
            !ended.empty() && ended.front().failure.category == record::FailureCategory::retryable;
        // The engine goes on with fewer trials, or none, but then these are not the slots to be measured.
        if (engine_.reduced_budget() > 0 || fails_alone) throw std::bad_alloc();
        if (ended.empty()) return;
        throw DataError({}, {.what = "a trial of the measurement ended",
                             .where = {},
                             .why = ended.front().failure.message,
                             .advice = "Measure another model or precision"});
    }

    const models::CausalLM& model_;
    memory::SlotsEngine engine_;
    std::int32_t slots_ = 0;
};

TrialMaker random_trials(const models::Description& description, const Workload& workload) {
    return [vocabulary = static_cast<std::uint64_t>(description.vocabulary_size),
            workload](std::uint64_t index) {
        RandomStream stream = RandomStream::of_sample(0, index, "bench");
        plan::Trial trial;
        trial.text.resize(static_cast<std::size_t>(workload.length));
        for (std::int32_t& token : trial.text) token = static_cast<std::int32_t>(stream.below(vocabulary));
        trial.memory_vectors = workload.memory_vectors;
        trial.seed = index;
        trial.precision = workload.precision;
        return trial;
    };
}

/// What is known of a measurement before it begins.
plan::EngineSpeed described(const models::Description& description, const Workload& workload,
                            const plan::Trial& trial) {
    plan::EngineSpeed speed;
    speed.name = workload.name;
    speed.family = description.family;
    speed.scans = description.scan_states > 0;
    speed.precision = workload.precision;
    speed.length = workload.length;
    speed.memory_vectors = workload.memory_vectors;
    speed.flops_per_step = plan::flops_per_step(facts_of(description), plan::shape_of(trial));
    return speed;
}

/// Steps and products in turns, until the steps have taken as long as they should.
void step_in_turns(FullEngine& engine, at::Device device, double measured_s, plan::EngineSpeed& speed) {
    constexpr std::size_t kMostTurns = 5;
    constexpr std::size_t kFewestTurns = 2;
    constexpr double kProducts_s = 0.2;
    MatrixProduct product(speed.precision, device);
    while (speed.turns.size() < kFewestTurns ||
           (speed.turns.size() < kMostTurns && speed.elapsed_s < measured_s)) {
        const double peak = product.run(kProducts_s);
        const TimedSteps steps = engine.step_for(measured_s / kMostTurns);
        speed.trial_steps += steps.trial_steps;
        speed.elapsed_s += steps.elapsed_s;
        speed.turns.push_back({.peak_flops_per_s = peak,
                               .flops_per_s = speed.flops_per_step * steps.trial_steps / steps.elapsed_s});
    }
    speed.peak = product.peak();
}

}  // namespace

TimedSteps time_trial(const models::CausalLM& model, const plan::Trial& trial, const WorkerSetup& setup,
                      double measured_s) {
    FullEngine engine(model, measured_slots_options(setup, model, trial.positions()),
                      [&](std::uint64_t) { return trial; });
    engine.step(kWarmUpSteps);
    return engine.step_for(measured_s);
}

std::int64_t needed_bytes(const models::Description& description, const Workload& workload,
                          std::int32_t slots, const plan::ValueWidths& widths) {
    plan::ModelFacts facts = facts_of(description);
    if (description.tied_head) facts.head_parameters = 0;
    const plan::Trial trial = random_trials(description, workload)(0);
    return plan::weight_bytes(facts, widths.bytes(workload.precision)) +
           plan::slot_bytes(facts, plan::shape_of(trial)) * slots;
}

plan::EngineSpeed measure_engine(const models::CausalLM& model, const Workload& workload,
                                 const WorkerSetup& setup) {
    const TrialMaker make_trial = random_trials(model.description(), workload);
    choose_float32_products(workload.precision);
    memory::SlotsOptions options = measured_slots_options(setup, model, make_trial(0).positions());
    // Held memory is read from the allocator's peak while an engine is filled and warmed up.
    std::unique_ptr<FullEngine> engine;
    const auto peak_bytes = [&] {
        return peak_bytes_of(model.device(), [&] {
            engine = std::make_unique<FullEngine>(model, options, make_trial);
            engine->step(kWarmUpSteps);
        });
    };
    plan::EngineSpeed speed = described(model.description(), workload, make_trial(0));
    const std::int64_t full_bytes = peak_bytes();
    speed.slots = engine->slots();
    speed.slots_given = setup.slots.has_value();
    step_in_turns(*engine, model.device(), workload.measured_s, speed);
    engine.reset();
    options.slots = speed.slots > 1 ? speed.slots / 2 : 2;
    options.position_budget = 0;
    try {
        speed.slot_bytes = std::max(0.0, static_cast<double>(full_bytes - peak_bytes()) /
                                             static_cast<double>(speed.slots - options.slots));
    } catch (const std::exception& problem) {
        if (options.slots < speed.slots || !memory::is_out_of_memory(problem)) throw;
    }
    speed.measured_utc = utc_now();
    return speed;
}

void within_memory(const std::string& model, const std::function<void()>& work) {
    try {
        work();
    } catch (const std::exception& problem) {
        if (!memory::is_out_of_memory(problem)) throw;
        throw DeviceError({.what = "the device has too little memory",
                           .where = model,
                           .why = {},
                           .advice = "Give fewer --slots or a smaller --length, or measure a smaller model"});
    }
}

}  // namespace memcap::app
