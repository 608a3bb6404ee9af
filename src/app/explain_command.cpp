// memcap explain: what happened to a trial, or why workers wait, from what the run has written down.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "app/amounts.hpp"
#include "app/options.hpp"
#include "app/run_overview.hpp"
#include "app/shards.hpp"
#include "app/trial_executor.hpp"
#include "app/trial_lookup.hpp"
#include "app/worker_lines.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/record/agreement.hpp"
#include "memcap/store/journal/checkpoints.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/journal/shards.hpp"
#include "memcap/store/journal/trial_history.hpp"

namespace memcap::app {

namespace {

using store::AttemptEvent;

std::string words_of(AttemptEvent event) {
    switch (event) {
        case AttemptEvent::started:
            return "started";
        case AttemptEvent::resumed:
            return "went on from its checkpoint";
        case AttemptEvent::failed:
            return "failed, to be tried again";
        case AttemptEvent::crashed:
            return "crashed";
        case AttemptEvent::lost:
            return "was lost with its worker";
        case AttemptEvent::given_back:
            break;
    }
    return "was given back unfinished";
}

std::string words_of(const record::TrialRecord& record) {
    if (record.status == record::TrialStatus::failed)
        return "failed for good: " + record::failure_text(record.failure);
    return fmt::format("done after {} and {:.3g} s: loss {:.6g}, {} of {} tokens right",
                       count_text(record.evaluations, "evaluation"), record.elapsed_s, record.loss_nats,
                       record.correct_tokens, record.scored_tokens);
}

void print_event(const store::TrialEvent& event) {
    std::string line = event.utc.empty() ? "at an unknown time" : event.utc;
    if (event.attempt > 0) line += fmt::format("  attempt {}", event.attempt);
    if (event.rank >= 0) line += fmt::format(" on {}", place_text(event.rank, event.host, event.device));
    line += ": " + (event.result ? words_of(*event.result) : words_of(*event.event));
    if (!event.reason.empty()) line += " (" + event.reason + ")";
    fmt::print("  {}\n", line);
}

void print_launch(const record::LaunchRow& launch, std::size_t number) {
    fmt::print("launch {}, began {}{}{}\n", number, launch.started_utc,
               launch.job_id.empty() ? "" : ", job " + launch.job_id,
               launch.ended_utc.empty() ? "" : ", ended " + launch.ended_utc);
}

/// What the trial is now, in one clause.
std::string state_text(const store::RunState& state, const Id128& trial, bool is_running) {
    const store::StoredRecord* stored = state.find(trial);
    if (stored != nullptr && stored->final()) return "done";
    if (stored != nullptr && stored->failed_for_good()) return "failed for good";
    return is_running ? "open: the run goes on" : "open: the next launch runs it";
}

/// What a next attempt would go on from.
void print_checkpoint(const store::RunFolder& folder, const store::RunState& state, const Id128& trial) {
    if (const auto* stored = state.find(trial); stored != nullptr && stored->final()) return;
    const auto wanted = [&trial](const Id128& id) { return id == trial; };
    const auto kept = store::Checkpoints::open(folder.checkpoints(), wanted).get(trial);
    if (!kept) return;
    try {
        fmt::print("its checkpoint is of evaluation {}: the next attempt goes on from there\n",
                   evaluations_of_checkpoint(*kept));
    } catch (const TransportError& problem) {
        fmt::print("its checkpoint cannot be used: {}\n", problem.what());
    }
}

/// The trial as one folder has it; false if it is in no plan of that.
bool explain_trial_in(const store::RunFolder& folder, const std::string& beginning) {
    const store::RunState state = store::replay(
        folder, [](const store::BulkPlace&) { return store::ArraysState::whole; }, store::TornTails::keep);
    const auto shard = store::read_shard(folder);
    std::vector<Id128> ids;
    for (const auto& row : state.tables().rows) {
        if (!shard || shard->holds(row.trial_id)) ids.push_back(row.trial_id);
    }
    const auto trial = find_trial(ids, beginning);
    if (!trial) return false;
    const auto row = std::ranges::find(state.tables().rows, *trial, &record::PlannedRow::trial_id);
    const Axes& axes = row->axes;
    const bool is_running = store::activity(store::read_status(folder)) == store::RunActivity::running;
    fmt::print("{}: {}, {} {}, seed {}, K = {}, N = {}, prefix {}, protocol {}, {}\n", trial->hex(),
               axes.model, axes.corpus, axes.sample, axes.seed, axes.memory_vectors, axes.length, axes.prefix,
               axes.protocol, to_string(axes.precision));
    fmt::print("{}{}\n", shard ? fmt::format("shard {}; ", shard->text()) : "",
               state_text(state, *trial, is_running));
    const auto history = store::read_history(folder, *trial);
    std::size_t launch = 0;
    for (const auto& event : history.events) {
        if (event.launch != launch) print_launch(history.launches.at(event.launch - 1), event.launch);
        launch = event.launch;
        print_event(event);
    }
    if (history.events.empty()) fmt::print("no attempt is on record\n");
    print_checkpoint(folder, state, *trial);
    return true;
}

int explain_trial(const std::string& folder, const std::string& beginning) {
    bool is_known = false;
    for (const auto& run : runs_of(folder).runs) is_known |= explain_trial_in(run, beginning);
    if (is_known) return kDone;
    throw DataError(folder,
                    {.what = fmt::format("no planned trial's id begins with '{}'", beginning),
                     .where = {},
                     .why = {},
                     .advice = "Copy one from the column trial_id of results.h5, or from `memcap status`"});
}

/// Why workers of one folder wait; nothing is said of those that have all they can take.
void explain_idle(const RunPart& part) {
    if (part.activity != store::RunActivity::running) {
        const std::string death = death_text(part.status);
        fmt::print(
            "nobody waits: {}\n",
            death.empty() ? fmt::format("the run is not going on ({})", to_string(part.activity)) : death);
        return;
    }
    if (part.workers.empty()) {
        fmt::print("rank 0 has not told of its workers yet: it prepares the run, or has just begun\n");
        return;
    }
    const auto lines = idle_lines(part.workers);
    for (const auto& line : lines) fmt::print("{}\n", line);
    const auto busy =
        std::ranges::count_if(part.workers, [](const WorkerLine& worker) { return !worker.is_idle(); });
    if (busy > 0) fmt::print("fully at work: {}\n", count_text(busy, "worker"));
}

}  // namespace

int explain_run(const Arguments& arguments) {
    CommandSyntax syntax{
        .usage = "memcap explain DIR --trial ID | --why-idle",
        .purpose =
            "Says what happened to a trial, attempt by attempt, or why workers wait: from any host, without "
            "locks, also while the run goes on.",
        .options = boost::program_options::options_description(),
        .fewest_files = 1,
        .most_files = 1};
    syntax.options.add_options()("trial", boost::program_options::value<std::string>(),
                                 "trial_id, or so many digits of it that no other begins so")(
        "why-idle", "which workers compute nothing, or less than they could, and why");
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    if (parsed->has("trial") == parsed->has("why-idle")) {
        throw UsageError({.what = "give either --trial ID or --why-idle",
                          .where = {},
                          .why = {},
                          .advice = fmt::format("Usage: {}; more with --help", syntax.usage)});
    }
    const std::string& folder = parsed->files.front();
    if (parsed->has("trial")) return explain_trial(folder, parsed->text("trial"));
    const RunOverview overview = overview_of(folder);
    for (const RunPart& part : overview.parts) {
        if (overview.are_shards) fmt::print("shard {}:\n", part.status.shard->text());
        explain_idle(part);
    }
    return kDone;
}

}  // namespace memcap::app
