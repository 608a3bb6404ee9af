// The loop of a rank's compute thread.
#include "app/trial_executor.hpp"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/amounts.hpp"
#include "app/device_speed.hpp"
#include "app/lease_payload.hpp"
#include "app/machine.hpp"
#include "app/preparation.hpp"
#include "app/self_check.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "memcap/memory/row_budget.hpp"
#include "memcap/nn/head_loss.hpp"
#include "memcap/plan/cost.hpp"

namespace memcap::app {

namespace {

constexpr double kIdleWait_s = 0.2;
// A fault costs a minute of work at most, with the way to the disk.
constexpr double kCheckpointEvery_s = 55.0;
// A computing thread that is silent for longer than its work can take hangs.
constexpr double kPatience_s = 100.0;
constexpr double kSlowestReading = 5e6;     ///< bytes/s
constexpr double kSlowestArithmetic = 1e9;  ///< FLOP/s
constexpr double kStepsOfPatience = 10.0;
constexpr std::int64_t kMostRows = 65'536;  ///< of a step

sched::FailureCategory category_of(record::FailureCategory category) {
    switch (category) {
        case record::FailureCategory::retryable:
            return sched::FailureCategory::retryable;
        case record::FailureCategory::device_lost:
            return sched::FailureCategory::device_lost;
        case record::FailureCategory::permanent:
            break;
    }
    return sched::FailureCategory::permanent;
}

/// Rows of a step (positions of all slots) before anything was measured: enough for efficient matrix
/// products, on a CPU few enough to stay in its caches.
std::int64_t first_budget(at::Device device) {
    return device.is_cpu() ? 1'024 : 8'192;
}

/// Rows that a rank's share of a device's free memory holds, one trial's at least. A host would not refuse
/// more, but end the process.
std::int64_t rows_that_fit(const models::CausalLM& model, std::int32_t positions, std::int32_t sharers) {
    const at::Device device = model.device();
    plan::Trial trial;
    trial.memory_vectors = 1;
    trial.text.resize(static_cast<std::size_t>(positions));
    const std::int64_t logits = device.is_cpu() ? 0 : nn::kMostDeviceLogits;
    const std::int64_t slots =
        plan::slots_that_fit(free_memory_bytes(device) / sharers, plan::head_bytes(logits, sizeof(float)),
                             plan::slot_bytes(facts_of(model.description()), plan::shape_of(trial)));
    return std::max<std::int64_t>(slots, 1) * positions;
}

/// A trial's state, behind how often its curve has a point: a curve of both kinds would be none.
Bytes checkpoint_of(const memory::SlotState& state, std::int32_t curve_every) {
    ByteWriter out;
    out.number(curve_every);
    out.raw(memory::encode(state));
    return std::move(out).bytes();
}

/// Where a trial goes on; none if it starts anew.
std::optional<memory::SlotState> state_of(const LeasePayload& payload, std::int32_t curve_every) {
    if (!payload.checkpoint) return std::nullopt;
    try {
        const std::span<const std::byte> bytes(*payload.checkpoint);
        if (ByteReader(bytes).number<std::int32_t>() != curve_every) return std::nullopt;
        return memory::decode_slot_state(bytes.subspan(sizeof(curve_every)));
    } catch (const TransportError& problem) {
        log::warning(fmt::format("trial {} starts anew: {}", payload.trial.id.hex(), problem.what()));
        return std::nullopt;
    }
}

}  // namespace

std::int32_t evaluations_of_checkpoint(std::span<const std::byte> bytes) {
    return memory::decode_slot_state(bytes.subspan(std::min(bytes.size(), sizeof(std::int32_t)))).evaluations;
}

std::int32_t most_slots(at::Device device) {
    return device.is_cpu() ? 128 : 1'024;
}

memory::SlotsOptions slots_options(const WorkerSetup& setup, at::Device device) {
    return {.slots = setup.slots.value_or(most_slots(device)),
            .position_budget = setup.slots ? 0 : first_budget(device),
            .keep_vectors = setup.keep_vectors,
            .curve_every = setup.curve_every};
}

memory::SlotsOptions measured_slots_options(const WorkerSetup& setup, const models::CausalLM& model,
                                            std::int32_t positions, std::int32_t sharers) {
    memory::SlotsOptions options = slots_options(setup, model.device());
    if (setup.slots) return options;
    const double start_s = monotonic_s();
    const std::int64_t fitting = rows_that_fit(model, positions, sharers);
    const std::int64_t guess = std::max<std::int64_t>(first_budget(model.device()), positions);
    options.position_budget =
        memory::fastest_rows(model, positions, std::min(guess, fitting), std::min(kMostRows, fitting));
    log::info(fmt::format("steps of {} token positions (all slots together) are fastest, found in {:.2f} s",
                          options.position_budget, monotonic_s() - start_s));
    return options;
}

TrialExecutor::TrialExecutor(WorkerSetup setup, ExecutorPlace place)
    : setup_(std::move(setup)),
      place_(std::move(place)),
      loader_(setup_.weights, place_.nodes, *place_.exchange),
      checkpointed_s_(monotonic_s()) {}

TrialExecutor::~TrialExecutor() = default;

void TrialExecutor::run(sched::WorkPort& port) {
    place_.threads = set_threads(place_.threads);
    try {
        check_this_process(place_.device);
        log::info(fmt::format("the self-test has passed on {}; {} of its memory are free",
                              device_name(place_.device, place_.threads),
                              bytes_text(free_memory_bytes(place_.device))));
        work(port);
    } catch (const WrongNumbers&) {
        throw;
    } catch (const DeviceError& problem) {
        lose_device(problem);
    } catch (const c10::Error& problem) {
        lose_device(DeviceError({.what = problem.what_without_backtrace(),
                                 .where = place_.device.str(),
                                 .why = {},
                                 .advice = {}}));
    }
}

/// After an error of CUDA nothing works any more in a process, and everything may in the next one.
void TrialExecutor::lose_device(const DeviceError& problem) const {
    if (place_.device.is_cuda() && place_.life != nullptr) place_.life->end_process(problem.what());
    throw DeviceError(problem);
}

void TrialExecutor::work(sched::WorkPort& port) {
    while (!port.stop_requested()) {
        fetch(port);
        fill_slots(port);
        if (running_.empty()) {
            if (pending_.empty() && port.closed()) return;
            continue;
        }
        advance(port);
        if (monotonic_s() - checkpointed_s_ > kCheckpointEvery_s) checkpoint_all(port);
    }
    checkpoint_all(port);
}

/// Tells how far all trials are that have been in slots.
void TrialExecutor::checkpoint_all(sched::WorkPort& port) {
    for (const auto& [id, running] : running_)
        port.checkpoint(running.leased.task.id, checkpoint_of(engine_->export_state(id), setup_.curve_every));
    for (const Pending& pending : pending_) {
        if (pending.state)
            port.checkpoint(pending.leased.task.id, checkpoint_of(*pending.state, setup_.curve_every));
    }
    checkpointed_s_ = monotonic_s();
}

/// The next sign comes after work of so many seconds at most, or something hangs.
void TrialExecutor::sign_of_life(double within_s) const {
    if (place_.life != nullptr) place_.life->sign(kPatience_s + within_s);
}

double TrialExecutor::flops_per_step(const plan::Trial& trial) const {
    return plan::flops_per_step(facts_of(loaded_.model->description()), plan::shape_of(trial));
}

/// Seconds that a step of so many rows takes on the slowest machine.
double TrialExecutor::slowest_s(const plan::Trial& trial, std::int64_t rows) const {
    const double trials = static_cast<double>(rows) / static_cast<double>(trial.positions());
    return flops_per_step(trial) * trials / kSlowestArithmetic;
}

/// How many more trials fit beside those that run and wait here.
std::size_t TrialExecutor::wanted() const {
    const auto options = options_of_loaded();
    std::int64_t positions = 0;
    for (const auto& pending : pending_) positions += pending.trial.positions();
    for (const auto& [id, running] : running_) positions += running.positions;
    const auto held = static_cast<std::int64_t>(running_.size() + pending_.size());
    std::int64_t slots = options.slots;
    if (held == 0) {
        // The first trial's length is unknown: a few come first, the next call asks for the rest.
        constexpr std::int64_t kFirst = 8;
        slots = std::min(slots, kFirst);
    } else if (options.position_budget > 0) {
        // As many as fit if the others are as long as these on average.
        slots = std::clamp<std::int64_t>(options.position_budget * held / positions, 1, slots);
    }
    return static_cast<std::size_t>(std::max<std::int64_t>(0, slots - held));
}

memory::SlotsOptions TrialExecutor::options_of_loaded() const {
    auto options = slots_options(setup_, place_.device);
    if (const auto found = budgets_.find({model_index_, precision_}); found != budgets_.end())
        options.position_budget = found->second;
    return options;
}

void TrialExecutor::fetch(sched::WorkPort& port) {
    // Trials of another model wait here until the running ones have ended.
    if (!pending_.empty() && engine_ && !matches_loaded(pending_.front().trial)) return;
    const std::size_t most = wanted();
    if (most == 0) return;
    const bool idle = running_.empty() && pending_.empty();
    if (idle && place_.life != nullptr) place_.life->rest();
    for (auto& leased : port.take(most, idle ? kIdleWait_s : 0.0)) {
        try {
            LeasePayload payload = decode_lease_payload(leased.task.payload);
            auto state = state_of(payload, setup_.curve_every);
            pending_.push_back({std::move(leased), std::move(payload.trial), std::move(state)});
        } catch (const Error& problem) {
            fail(port, leased, leased.task.key, record::FailureCategory::permanent, problem.what());
        }
    }
}

bool TrialExecutor::matches_loaded(const plan::Trial& trial) const {
    return loaded_.model && trial.model == model_index_ && trial.precision == precision_;
}

void TrialExecutor::forget_model() {
    engine_.reset();
    loaded_ = {};
    release_cached_memory(place_.device);
}

bool TrialExecutor::load_model_of(const plan::Trial& trial, const sched::WorkPort& port,
                                  std::string& problem) {
    forget_model();
    const ModelSource& source = setup_.models.at(static_cast<std::size_t>(trial.model));
    sign_of_life(static_cast<double>(weights_bytes(source.folder)) / kSlowestReading);
    try {
        loaded_ =
            loader_.load(source, trial.precision, place_.device, [&port] { return port.stop_requested(); });
        choose_float32_products(trial.precision);
    } catch (const DataError& error) {
        problem = error.what();
        return false;
    } catch (const std::exception& error) {
        if (!memory::is_out_of_memory(error)) throw;
        forget_model();
        problem = fmt::format("out of memory while {} was loaded", source.folder);
        return false;
    }
    model_index_ = trial.model;
    precision_ = trial.precision;
    step_bound_s_ = slowest_s(trial, kMostRows);
    has_stepped_ = false;
    sign_of_life(step_bound_s_);
    if (!setup_.slots && !budgets_.contains({model_index_, precision_})) {
        budgets_[{model_index_, precision_}] =
            measured_slots_options(setup_, *loaded_.model, trial.positions(), place_.sharers).position_budget;
    }
    engine_ = std::make_unique<memory::SlotsEngine>(*loaded_.model, options_of_loaded());
    return true;
}

void TrialExecutor::fill_slots(sched::WorkPort& port) {
    while (!pending_.empty() && !matches_loaded(pending_.front().trial)) {
        if (!running_.empty()) return;
        const Pending& next = pending_.front();
        std::string problem;
        if (load_model_of(next.trial, port, problem)) break;
        fail_by_host(port, next.leased, next.trial.id, problem);
        pending_.pop_front();
    }
    std::vector<const plan::Trial*> waiting;
    for (const Pending& pending : pending_) {
        if (matches_loaded(pending.trial)) waiting.push_back(&pending.trial);
    }
    if (waiting.empty() || short_of_memory_) return;
    engine_->expect(waiting);
    // One that has no room does not keep those of other shapes from theirs.
    for (auto next = pending_.begin(); next != pending_.end() && !short_of_memory_;) {
        const bool leaves =
            matches_loaded(next->trial) && engine_->has_room(next->trial) && enter(port, *next);
        next = leaves ? pending_.erase(next) : std::next(next);
    }
}

/// Puts a trial into its slot; true unless it has to wait.
bool TrialExecutor::enter(sched::WorkPort& port, Pending& pending) {
    const Id128 id = pending.trial.id;
    const std::int32_t positions = pending.trial.positions();
    try {
        engine_->enter(pending.trial, pending.state);
    } catch (const std::exception& problem) {
        if (!memory::is_out_of_memory(problem)) throw;
        if (!running_.empty()) {
            // There may be room when one of them has ended.
            short_of_memory_ = true;
            return false;
        }
        fail(port, pending.leased, id, record::FailureCategory::retryable,
             fmt::format("out of memory before the first evaluation of {} positions", positions));
        return true;
    }
    running_.emplace(id, Running{std::move(pending.leased), positions, flops_per_step(pending.trial)});
    return true;
}

/// Whether the weights still are those that were loaded. If not, nothing that was computed with them counts:
/// all running trials fail, and the next one loads the model anew.
bool TrialExecutor::model_is_unchanged(sched::WorkPort& port) {
    try {
        loader_.require_unchanged(loaded_, setup_.models.at(static_cast<std::size_t>(model_index_)));
        return true;
    } catch (const DataError& problem) {
        for (auto& [id, running] : running_) {
            fail(port, running.leased, id, record::FailureCategory::retryable, problem.what());
        }
    }
    running_.clear();
    short_of_memory_ = false;
    for (auto& pending : pending_) pending.state.reset();
    forget_model();
    return false;
}

void TrialExecutor::advance(sched::WorkPort& port) {
    sign_of_life(step_bound_s_);
    const auto evaluations = static_cast<std::uint64_t>(engine_->evaluations_a_step());
    double flops = 0.0;
    sched::UnfinishedWork unfinished;
    for (auto& [id, running] : running_) {
        running.steps += evaluations;
        flops += running.flops * static_cast<double>(evaluations);
        unfinished.work += running.flops * static_cast<double>(running.steps);
        unfinished.steps += running.steps;
    }
    const std::uint64_t affinity = running_.begin()->second.leased.task.affinity;
    const double start_s = monotonic_s();
    auto records = engine_->step();
    const double elapsed_s = monotonic_s() - start_s;
    port.computed(affinity, flops, elapsed_s, unfinished);
    const double bound_s = kStepsOfPatience * elapsed_s;
    step_bound_s_ = std::exchange(has_stepped_, true) ? std::max(step_bound_s_, bound_s) : bound_s;
    if (!records.empty() && !model_is_unchanged(port)) return;
    for (auto& record : records) {
        const auto found = running_.find(record.trial_id);
        const Running running = std::move(found->second);
        running_.erase(found);
        finish(port, running.leased, std::move(record));
        short_of_memory_ = false;
    }
    for (auto& [trial, state] : engine_->take_displaced()) {
        const auto found = running_.find(trial.id);
        pending_.push_front({std::move(found->second.leased), std::move(trial), std::move(state)});
        running_.erase(found);
    }
    if (const std::int64_t budget = engine_->reduced_budget(); budget > 0)
        budgets_[{model_index_, precision_}] = budget;
}

void TrialExecutor::finish(sched::WorkPort& port, const sched::LeasedTask& leased,
                           record::TrialRecord record) const {
    record.rank = place_.rank;
    record.host = place_.host;
    record.device = device_name(place_.device, place_.threads);
    record.attempt = static_cast<std::int32_t>(leased.attempt);
    record.finished_utc = utc_now();
    sched::TaskResult result{
        .task = leased.task.id, .attempt = leased.attempt, .failure = {}, .payload = record::encode(record)};
    if (record.status == record::TrialStatus::failed) {
        result.failure = sched::TaskFailure{category_of(record.failure.category), record.failure.message};
    }
    port.finish(std::move(result));
}

/// A trial that this rank cannot run, and another one perhaps can.
void TrialExecutor::fail_by_host(sched::WorkPort& port, const sched::LeasedTask& leased, const Id128& trial,
                                 const std::string& message) const {
    record::TrialRecord record;
    record.trial_id = trial;
    record.status = record::TrialStatus::failed;
    record.failure = {record::FailureCategory::retryable, message};
    port.finish({.task = leased.task.id,
                 .attempt = leased.attempt,
                 .failure = sched::TaskFailure{sched::FailureCategory::host, message},
                 .payload = record::encode(record)});
}

void TrialExecutor::fail(sched::WorkPort& port, const sched::LeasedTask& leased, const Id128& trial,
                         record::FailureCategory category, const std::string& message) const {
    record::TrialRecord record;
    record.trial_id = trial;
    record.status = record::TrialStatus::failed;
    record.failure = {category, message};
    finish(port, leased, std::move(record));
}

}  // namespace memcap::app
