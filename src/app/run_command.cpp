// memcap run: what remains of an experiment, from the plan to the last line.
#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <unordered_map>

#include "app/amounts.hpp"
#include "app/device_shares.hpp"
#include "app/disk_space.hpp"
#include "app/exporter.hpp"
#include "app/job_end.hpp"
#include "app/journal_sink.hpp"
#include "app/launch.hpp"
#include "app/lease_payload.hpp"
#include "app/live_line.hpp"
#include "app/machine.hpp"
#include "app/options.hpp"
#include "app/preparation.hpp"
#include "app/preparation_watch.hpp"
#include "app/shards.hpp"
#include "app/signals.hpp"
#include "app/weight_loading.hpp"
#include "app/worker_file.hpp"
#include "app/worker_note.hpp"
#include "app/worker_setup.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/build_info.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "memcap/config/load.hpp"
#include "memcap/nn/cuda.hpp"
#include "memcap/plan/cost.hpp"
#include "memcap/plan/order.hpp"
#include "memcap/sched/manager.hpp"
#include "memcap/store/journal/shards.hpp"
#include "memcap/store/run_store.hpp"

namespace memcap::app {

namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

/// What the user asked for.
struct RunRequest {
    fs::path file;
    std::optional<fs::path> folder;
    std::vector<std::string> overrides;
    std::optional<std::uint64_t> limit;
    std::optional<Shard> shard;
    bool retry_failed = false;
    std::optional<double> time_limit_s;
    double started_utc_s = 0.0;
    std::string argv;
};

std::optional<RunRequest> read_request(const Arguments& arguments) {
    CommandSyntax syntax{
        .usage =
            "memcap run FILE.yaml [--out DIR] [--shard I/N] [--set key.path=value]... [--limit N] "
            "[--time-limit DURATION] [--retry-failed]",
        .purpose =
            "Runs what is not done yet of an experiment. The same folder goes on where it was, with "
            "any number of ranks.",
        .options = po::options_description(),
        .fewest_files = 1,
        .most_files = 1};
    syntax.options.add_options()("out", po::value<std::string>(), "run folder (default: runs/<experiment>)")(
        "set", po::value<std::vector<std::string>>()->composing(),
        "change a value of the file, e.g. store.curve_every=0")(
        "shard", po::value<std::string>(),
        "run the I-th of N disjoint parts, 0 <= I < N, into DIR/shard-I: parts may run at the same time")(
        "limit", po::value<std::int64_t>(), "run so many trials and exit with 75 if more remain")(
        "time-limit", po::value<std::string>(),
        "save the work and exit with 75 before so much time is over, e.g. 90m or 1d12h; a Slurm job's end "
        "counts by itself")("retry-failed", "also run trials again that failed for good");
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return std::nullopt;
    RunRequest request;
    request.file = parsed->files.front();
    if (parsed->has("out")) request.folder = parsed->text("out");
    if (parsed->has("set")) request.overrides = parsed->values["set"].as<std::vector<std::string>>();
    if (parsed->has("shard")) request.shard = shard_of_option(parsed->text("shard"));
    request.limit = parsed->count("limit");
    request.started_utc_s = utc_s();
    if (parsed->has("time-limit")) request.time_limit_s = duration_s(parsed->text("time-limit"));
    request.retry_failed = parsed->has("retry-failed");
    request.argv = "memcap run";
    for (const auto& argument : arguments) request.argv += " " + argument;
    return request;
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::int32_t restart_count() {
    const std::string text = environment("SLURM_RESTART_COUNT");
    return text.empty() ? 0 : std::atoi(text.c_str());
}

/// The device of rank 0 where that is known before its compute process tells; no driver is called here.
std::string expected_device(const Preparation& preparation, std::int32_t threads) {
    const bool is_cpu = device_kind(preparation.experiment.run.device) == DeviceKind::cpu || !nn::has_cuda();
    return is_cpu ? cpu_device(threads) : "";
}

record::LaunchRow launch_row(const RunRequest& request, const Launch& self, const Preparation& preparation) {
    const std::int32_t threads = preparation.experiment.run.threads.value_or(self.place().threads);
    record::LaunchRow launch;
    launch.started_utc = utc_now();
    launch.argv = request.argv;
    launch.memcap_version = kVersion;
    launch.git_revision = kGitRevision;
    launch.versions = nlohmann::json{{"compiler", kCompiler},
                                     {"build_type", kBuildType},
                                     {"python", preparation.helper.python},
                                     {"transformers", preparation.helper.transformers},
                                     {"tokenizers", preparation.helper.tokenizers},
                                     {"sentencepiece", preparation.helper.sentencepiece},
                                     {"token_ids_by", preparation.tokenizers}}
                          .dump();
    for (const auto& host : self.hosts()) launch.hosts += (launch.hosts.empty() ? "" : ",") + host;
    launch.devices = expected_device(preparation, threads);
    launch.ranks = self.place().ranks;
    launch.job_id = environment("SLURM_JOB_ID");
    launch.restart_count = restart_count();
    return launch;
}

/// What remains of a plan, and what the journal already says.
struct Remaining {
    std::vector<std::uint32_t> trials;  ///< places in the plan, in the order to hand them out
    std::unordered_map<Id128, std::int32_t> former_attempts;
    std::uint64_t done = 0;
    std::uint64_t failed = 0;  ///< for good, and not to be retried
};

Remaining remaining_trials(const Preparation& preparation, const store::RunStore& store,
                           const RunRequest& request) {
    Remaining remaining;
    const plan::Plan& plan = preparation.plan;
    for (const std::uint32_t place : plan::lease_order(plan, preparation.models)) {
        const plan::PlannedTrial& trial = plan.trials[place];
        if (request.shard && !request.shard->holds(trial.id)) continue;
        if (const auto known = store.known(trial.id)) {
            if (known->status == record::TrialStatus::done) {
                ++remaining.done;
                continue;
            }
            if (known->category == record::FailureCategory::permanent && !request.retry_failed) {
                ++remaining.failed;
                continue;
            }
            remaining.former_attempts[trial.id] = known->attempts;
        }
        remaining.trials.push_back(place);
    }
    return remaining;
}

/// Tasks without payloads, which are made when they are leased: all together they may be larger than memory.
std::vector<sched::Task> tasks_of(const Preparation& preparation, const std::vector<std::uint32_t>& trials,
                                  const JournalSink& sink, bool retry_failed) {
    std::vector<sched::Task> tasks;
    tasks.reserve(trials.size());
    for (const std::uint32_t place : trials) {
        const plan::PlannedTrial& trial = preparation.plan.trials[place];
        const auto& model = preparation.models[preparation.plan.model_of(trial)];
        tasks.push_back({.id = {},
                         .key = trial.id,
                         .affinity = plan::affinity_key(model, trial.precision),
                         .cost = plan::max_flops(model, preparation.plan.shape_of(trial)),
                         .payload = {},
                         .strikes = retry_failed ? 0 : sink.crashes(trial.id)});
    }
    return tasks;
}

WorkerSetup worker_setup(const Preparation& preparation, const store::RunFolder& folder) {
    WorkerSetup setup;
    setup.run_folder = fs::absolute(folder.root()).string();
    for (std::size_t i = 0; i < preparation.models.size(); ++i)
        setup.models.push_back({preparation.models[i].path, preparation.identities[i]});
    setup.keep_vectors = preparation.experiment.store.vectors;
    setup.curve_every = preparation.experiment.store.curve_every;
    setup.slots = preparation.experiment.run.slots;
    setup.threads = preparation.experiment.run.threads;
    setup.weights = preparation.experiment.run.weights;
    return setup;
}

void tell_outcome(const sched::RunOutcome& outcome, const Remaining& before) {
    for (const auto& error : outcome.worker_errors) log::error(error);
    if (!outcome.store_error.empty()) log::error(outcome.store_error);
    for (const auto& worker : outcome.barred_workers)
        log::warning(fmt::format("got no more trials: {}", worker));
    if (!outcome.alike_failure.empty()) {
        log::error(fmt::format("the run has stopped: {}. Mend that and give the same command again",
                               outcome.alike_failure));
    } else if (outcome.out_of_time) {
        log::info(
            fmt::format("{}: what ran is saved, and the same command goes on there", outcome.stop_reason));
    } else if (!outcome.stop_reason.empty() && outcome.store_error.empty()) {
        log::error(fmt::format("the run has stopped: {}", outcome.stop_reason));
    }
    if (outcome.lost_workers > 0) {
        log::warning(fmt::format("{} {} lost", count_text(outcome.lost_workers, "worker"),
                                 outcome.lost_workers == 1 ? "was" : "were"));
    }
    log::info(fmt::format("{} done ({} of them before), {} failed, {} remain",
                          count_text(before.done + outcome.done, "trial"), before.done,
                          before.failed + outcome.failed, outcome.remaining));
    const std::string signal = stop_signal_name();
    if (outcome.remaining > 0 && !signal.empty())
        log::info(fmt::format("stopped by {}: the same command goes on where it was", signal));
}

int exit_status(const sched::RunOutcome& outcome, std::uint64_t failed_before) {
    if (!outcome.alike_failure.empty()) return kDefect;
    if (outcome.remaining > 0) {
        const bool troubled = !outcome.worker_errors.empty() || !outcome.barred_workers.empty();
        const bool unusable = troubled && outcome.done == 0;
        return unusable ? kDefect : kWorkRemains;
    }
    return outcome.failed + failed_before > 0 ? kTrialsFailed : kDone;
}

void print_results(const std::string& text) {
    // Does not throw where stdout takes nothing: the ranks have to part in order, and the end of the program
    // sees it.
    std::fputs(text.c_str(), stdout);
}

/// The end of a launch that finds everything done and shown.
int leave_as_it_is(store::RunStore& store, Launch& self, const Remaining& before, PreparationWatch& watch,
                   Standby& standby) {
    watch.finish();
    self.dismiss();
    log::info(fmt::format("nothing to do: {} done before, {} failed for good; the run folder stays as it is",
                          count_text(before.done, "trial"), before.failed));
    print_results(shown_results(store, standby));
    store.close();
    return before.failed > 0 ? kTrialsFailed : kDone;
}

/// What `memcap stop` leaves for a run. One of before this launch means another.
class StopFile {
  public:
    explicit StopFile(const store::RunFolder& folder) : file_(folder.stop_file()) { remove(); }
    void look() {
        constexpr double kEvery_s = 1.0;
        if (monotonic_s() - looked_s_ < kEvery_s) return;
        looked_s_ = monotonic_s();
        if (remove()) request_stop_by_command();
    }

  private:
    bool remove() const {
        std::error_code ignored;
        return fs::remove(file_, ignored);
    }

    fs::path file_;
    double looked_s_ = 0.0;
};

/// What the workers of a launch have told beside results.
struct Told {
    std::vector<weights::WeightTimes> weights;
    std::string device;  ///< of rank 0
};

void take_note(Told& told, std::int32_t from, std::span<const std::byte> bytes) {
    WorkerNote note = decode_note(bytes);
    if (auto* times = std::get_if<weights::WeightTimes>(&note)) {
        told.weights.push_back(std::move(*times));
    } else if (from == 0) {
        told.device = std::get<DeviceNote>(note).device;
    }
}

/// Runs the trials to the end of this launch; a sink that outlives the call takes their results.
sched::RunOutcome run_trials(const std::vector<std::uint32_t>& trials, JournalSink& sink,
                             const RunRequest& request, Launch& self, const Preparation& preparation,
                             const std::atomic<bool>& stop, StopFile& stop_file, WorkerFile& worker_file,
                             Told& told) {
    LiveLine line;
    sched::ManagerSetup setup;
    setup.tasks = tasks_of(preparation, trials, sink, request.retry_failed);
    setup.payload_of = [&preparation, &trials, &sink](const sched::Task& task) {
        const plan::Plan& plan = preparation.plan;
        return encode(LeasePayload{plan.whole(plan.trials[trials[task.id.value]], preparation.tokens),
                                   sink.checkpoint_for(task)});
    };
    setup.sink = &sink;
    setup.options.limit = request.limit;
    // A small run may show all its failures; a large one need not repeat the first ones thousands of times.
    constexpr std::size_t kLargeRun = 100;
    if (trials.size() < kLargeRun) setup.options.alike_failures = 0;
    if (const auto end_s = job_end_utc_s(request.started_utc_s, request.time_limit_s))
        setup.options.end_s = monotonic_s() + *end_s - utc_s() - wind_up_s(preparation.plan.trials.size());
    DeviceShares shares(self.hosts());
    setup.setup_of = [&shares, common = worker_setup(preparation, sink.folder())](
                         sched::Rank rank, const sched::WorkerFacts& facts) mutable -> std::optional<Bytes> {
        const auto sharers = shares.sharers(rank, facts, monotonic_s());
        for (const auto& warning : shares.take_warnings()) log::warning(warning);
        if (!sharers) return std::nullopt;
        common.sharers = *sharers;
        return encode(common);
    };
    setup.on_progress = [&](const sched::Progress& progress) {
        line.show(progress, sink.steps() + static_cast<std::int64_t>(progress.unfinished_steps));
        stop_file.look();
        sink.beat();
    };
    setup.on_look = [&worker_file](const sched::Scheduler& scheduler) { worker_file.look(scheduler); };
    setup.on_note = [&told](std::int32_t from, std::span<const std::byte> note) {
        take_note(told, from, note);
    };
    sched::RunOutcome outcome = self.manage(std::move(setup), stop);
    line.finish();
    return outcome;
}

/// Throws DataError for an experiment of which every trial is skipped: there is nothing that could be done.
void require_trials(const Preparation& preparation, const fs::path& file) {
    if (!preparation.plan.trials.empty()) return;
    std::map<std::string_view, std::size_t> counts;
    for (const auto& skipped : preparation.plan.skipped) ++counts[to_string(skipped.reason)];
    std::string reasons;
    for (const auto& [reason, count] : counts)
        reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : ", ", reason, count);
    throw DataError(file, {.what = fmt::format("nothing to run: all {} trials are skipped",
                                               preparation.plan.skipped.size()),
                           .where = {},
                           .why = reasons,
                           .advice = "Change lengths, memory vectors, prefixes or texts; `memcap plan` shows "
                                     "what is skipped"});
}

/// Where the run goes. Throws DataError if it must not begin or go on there.
store::RunFolder folder_of(const RunRequest& request, const config::Experiment& experiment) {
    const fs::path whole = request.folder.value_or(default_folder(experiment));
    store::expect_sharding(whole, request.shard);
    const store::RunFolder folder =
        request.shard ? store::shard_folder(whole, request.shard->index) : store::RunFolder(whole);
    folder.expect_run_or_free();
    return folder;
}

int manage(const RunRequest& request, Launch& self, const std::atomic<bool>& stop, Standby& standby) {
    // The folder's name may come from the experiment, and its token cache is needed to prepare it.
    const config::Experiment experiment = config::load(request.file, request.overrides);
    require_device(device_kind(experiment.run.device));
    const store::RunFolder folder = folder_of(request, experiment);
    self.begin(folder.root(), device_kind(experiment.run.device));
    std::optional<store::TokenCache> cache;
    if (folder.exists()) cache.emplace(folder.tokens());
    hub::HashCache hashes(folder.hashes());
    PreparationWatch watch(stop, "before the first trial; nothing is lost: the same command goes on");
    Preparation preparation =
        prepare(request.file, request.overrides, ModelCheck::weights, cache, hashes, watch);
    require_trials(preparation, request.file);

    watch.writes_files();
    watch.at("reading the journal");
    auto store = store::RunStore::open(folder.root(), {.job_id = environment("SLURM_JOB_ID"),
                                                       .restart_count = restart_count(),
                                                       .while_waiting = [&watch] { watch.check(); },
                                                       .make_index =
                                                           [&](const auto& keep_folder) {
                                                               make_index(folder.root(), [&] {
                                                                   keep_folder();
                                                                   watch.check();
                                                               });
                                                           }});
    if (request.shard) store::record_shard(folder, *request.shard);
    StopFile stop_file(folder);
    record::LaunchRow launch = launch_row(request, self, preparation);
    record::RunTables tables = run_tables(preparation, launch);
    std::vector<plan::Row>().swap(preparation.plan.rows);  // the tables have them
    Remaining remaining = remaining_trials(preparation, store, request);
    if (remaining.trials.empty() && store.is_shown(tables))
        return leave_as_it_is(store, self, remaining, watch, standby);
    log::open_file(folder.log_file(self.place().rank));
    save_tokens(preparation, store.tokens());
    hashes.save();
    watch.at("recording the plan");
    store.begin_launch(std::move(tables));
    watch.finish();
    warn_of_full_disk(folder.root(), disk_bytes(preparation, remaining.trials.size()));
    tell_left_out_variables();
    const std::string part = request.shard ? fmt::format(", shard {} of them", request.shard->text()) : "";
    log::info(fmt::format("{}: {}{}, {} done before, {} to run, {} skipped, {}", experiment.name,
                          count_text(preparation.plan.trials.size(), "trial"), part, remaining.done,
                          remaining.trials.size(), preparation.plan.skipped.size(),
                          count_text(self.place().ranks, "rank")));

    JournalSink sink(store, std::move(remaining.former_attempts));
    Told told;
    WorkerFile worker_file(folder, launch.started_utc);
    const sched::RunOutcome outcome =
        run_trials(remaining.trials, sink, request, self, preparation, stop, stop_file, worker_file, told);

    sink.finish();
    launch.ended_utc = utc_now();
    launch.weights = weights_json(told.weights);
    if (!told.device.empty()) launch.devices = told.device;
    store.update_launch(launch);
    const std::string results = export_all(store, standby);
    tell_outcome(outcome, remaining);
    print_results(results);
    store.close();
    return exit_status(outcome, remaining.failed);
}

int run_rank_0(const RunRequest& request, Launch& self, const std::atomic<bool>& stop, Standby& standby) {
    if (const auto& conflict = self.conflict()) throw UsageError(*conflict);
    try {
        return manage(request, self, stop, standby);
    } catch (const PreparationStopped& stopped) {
        self.dismiss();
        log::warning(stopped.what());
        return kWorkRemains;
    } catch (...) {
        // The others wait for work: send them home, then let the error go its way.
        self.dismiss();
        throw;
    }
}

}  // namespace

int run_experiment(const Arguments& arguments) {
    const auto request = read_request(arguments);
    if (!request) return kDone;
    Standby standby;
    const auto& stop = install_stop_signals();
    Launch self;
    if (self.place().rank != 0) standby.take();
    int status = kDefect;
    try {
        if (self.place().rank == 0) {
            status = run_rank_0(*request, self, stop, standby);
        } else {
            status = self.conflict() ? kDone : self.compute(stop);
        }
    } catch (const Error& problem) {
        if (!self.uses_mpi()) throw;
        log::error(problem.what());
        const bool machine =
            dynamic_cast<const StoreError*>(&problem) || dynamic_cast<const TransportError*>(&problem);
        status = machine ? kDefect : kUsage;
    }
    return self.leave(status);
}

}  // namespace memcap::app
