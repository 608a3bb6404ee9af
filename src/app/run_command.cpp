// memcap run: the manager on rank 0, a worker on every rank.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <unordered_map>

#include "app/amounts.hpp"
#include "app/capacity_table.hpp"
#include "app/control_groups.hpp"
#include "app/disk_space.hpp"
#include "app/journal_sink.hpp"
#include "app/live_line.hpp"
#include "app/machine.hpp"
#include "app/options.hpp"
#include "app/preparation.hpp"
#include "app/preparation_watch.hpp"
#include "app/signals.hpp"
#include "app/trial_executor.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/build_info.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/host.hpp"
#include "memcap/base/log.hpp"
#include "memcap/config/load.hpp"
#include "memcap/mpi/session.hpp"
#include "memcap/plan/codec.hpp"
#include "memcap/plan/cost.hpp"
#include "memcap/plan/order.hpp"
#include "memcap/sched/worker.hpp"
#include "memcap/store/run_store.hpp"

namespace memcap::app {

namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

// How long what was sent last may take to leave.
constexpr double kCloseExchange_s = 1.0;

/// What the user asked for.
struct RunRequest {
    fs::path file;
    std::optional<fs::path> folder;
    std::vector<std::string> overrides;
    std::optional<std::uint64_t> limit;
    bool retry_failed = false;
    std::string argv;
};

/// This rank among the others; a plain start is a run of one without MPI.
struct Rank {
    std::unique_ptr<mpi::Session> session;
    std::unique_ptr<sched::Transport> transport;
    std::unique_ptr<weights::WeightExchange> exchange = weights::make_local_exchange();
    std::int32_t rank = 0;
    std::int32_t ranks = 1;
    std::int32_t local_rank = 0;
    std::int32_t ranks_of_host = 1;
    std::int32_t threads = 1;  ///< its share of the host's CPUs
    std::string host;
    std::vector<std::string> hosts;  ///< of all ranks
    std::int32_t nodes = 1;
};

std::optional<RunRequest> read_request(const Arguments& arguments) {
    CommandSyntax syntax{
        .usage = "memcap run FILE.yaml [--out DIR] [--set key.path=value]... [--limit N] [--retry-failed]",
        .purpose =
            "Runs what is not done yet of an experiment. The same folder goes on where it was, with "
            "any number of ranks.",
        .options = po::options_description(),
        .fewest_files = 1,
        .most_files = 1};
    syntax.options.add_options()("out", po::value<std::string>(), "run folder (default: runs/<experiment>)")(
        "set", po::value<std::vector<std::string>>()->composing(),
        "change a value of the file, e.g. store.curve_every=0")(
        "limit", po::value<std::int64_t>(), "run so many trials and exit with 75 if more remain")(
        "retry-failed", "also run trials again that failed for good");
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return std::nullopt;
    RunRequest request;
    request.file = parsed->files.front();
    if (parsed->has("out")) request.folder = parsed->text("out");
    if (parsed->has("set")) request.overrides = parsed->values["set"].as<std::vector<std::string>>();
    request.limit = parsed->count("limit");
    request.retry_failed = parsed->has("retry-failed");
    request.argv = "memcap run";
    for (const auto& argument : arguments) request.argv += " " + argument;
    return request;
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

/// This rank's share of the CPUs of its host. Collective, as Session::gather().
std::int32_t share_of_host(mpi::Session& session, const std::vector<std::string>& hosts) {
    const CpuSet own = usable_cpus();
    const auto all = session.gather(to_text(own));
    std::vector<CpuSet> of_host;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (hosts[i] == session.host()) of_host.push_back(cpus_of_text(all[i]));
    }
    return fair_threads(own, of_host, cpu_quota());
}

Rank join_ranks() {
    Rank self;
    self.host = host_name();
    if (mpi::Session::launched_by_mpi()) {
        self.session = std::make_unique<mpi::Session>();
        self.rank = self.session->rank();
        self.ranks = self.session->size();
        self.local_rank = self.session->local_rank();
        self.hosts = self.session->gather(self.host);
        self.ranks_of_host = static_cast<std::int32_t>(std::ranges::count(self.hosts, self.host));
        self.threads = share_of_host(*self.session, self.hosts);
        const std::string node = node_name();
        const auto nodes = self.session->gather(node);
        self.nodes = static_cast<std::int32_t>(std::set(nodes.begin(), nodes.end()).size());
        if (self.ranks > 1) self.transport = self.session->make_transport();
        self.exchange = self.session->make_weight_exchange(node);
    } else {
        self.hosts = {self.host};
        self.threads = usable_cores();
    }
    log::set_rank(self.rank, self.ranks);
    return self;
}

std::int32_t restart_count() {
    const std::string text = environment("SLURM_RESTART_COUNT");
    return text.empty() ? 0 : std::atoi(text.c_str());
}

record::LaunchRow launch_row(const RunRequest& request, const Rank& self, const Preparation& preparation) {
    const std::int32_t threads = preparation.experiment.run.threads.value_or(self.threads);
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
    for (const auto& host : self.hosts) launch.hosts += (launch.hosts.empty() ? "" : ",") + host;
    launch.devices =
        device_name(device_of_rank(device_kind(preparation.experiment.run.device), self.local_rank), threads);
    launch.ranks = self.ranks;
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

Remaining remaining_trials(const Preparation& preparation, const store::RunStore& store, bool retry_failed) {
    Remaining remaining;
    const plan::Plan& plan = preparation.plan;
    for (const std::uint32_t place : plan::lease_order(plan, preparation.models)) {
        const plan::PlannedTrial& trial = plan.trials[place];
        if (const auto known = store.known(trial.id)) {
            if (known->status == record::TrialStatus::done) {
                ++remaining.done;
                continue;
            }
            if (known->category == record::FailureCategory::permanent && !retry_failed) {
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
std::vector<sched::Task> tasks_of(const Preparation& preparation, const std::vector<std::uint32_t>& trials) {
    std::vector<sched::Task> tasks;
    tasks.reserve(trials.size());
    for (const std::uint32_t place : trials) {
        const plan::PlannedTrial& trial = preparation.plan.trials[place];
        const auto& model = preparation.models[preparation.plan.model_of(trial)];
        tasks.push_back({.id = {},
                         .key = trial.id,
                         .affinity = plan::affinity_key(model, trial.precision),
                         .cost = plan::max_flops(model, preparation.plan.shape_of(trial)),
                         .payload = {}});
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
    setup.device = device_kind(preparation.experiment.run.device);
    setup.slots = preparation.experiment.run.slots;
    setup.threads = preparation.experiment.run.threads;
    setup.weights = preparation.experiment.run.weights;
    return setup;
}

/// Opens the log file of a rank other than 0; where the run folder cannot be written from here, its lines go
/// to stderr alone.
void open_log(const WorkerSetup& setup, std::int32_t rank) {
    try {
        log::open_file(store::RunFolder(setup.run_folder).log_file(rank));
    } catch (const StoreError& problem) {
        log::warning(problem.what());
    }
}

/// Makes this rank's executor from the setup that the manager sends.
sched::ExecutorFactory executor_factory(const Rank& self) {
    return [rank = self.rank, host = self.host, local_rank = self.local_rank, share = self.threads,
            ranks_of_host = self.ranks_of_host, nodes = self.nodes,
            exchange = self.exchange.get()](std::span<const std::byte> bytes) {
        WorkerSetup setup = decode_setup(bytes);
        if (rank != 0) open_log(setup, rank);
        const std::int32_t threads = setup.threads.value_or(share);
        const at::Device device = device_of_rank(setup.device, local_rank);
        const std::int32_t sharers = sharers_of_device(device, ranks_of_host);
        return std::make_unique<TrialExecutor>(std::move(setup), ExecutorPlace{.rank = rank,
                                                                               .host = host,
                                                                               .device = device,
                                                                               .threads = threads,
                                                                               .sharers = sharers,
                                                                               .nodes = nodes,
                                                                               .exchange = exchange});
    };
}

sched::WorkerFacts worker_facts(const Rank& self) {
    return {
        .host = self.host, .device = cpu_device(self.threads), .speed = static_cast<double>(self.threads)};
}

void tell_outcome(const sched::RunOutcome& outcome, const Remaining& before) {
    for (const auto& error : outcome.worker_errors) log::error(error);
    if (!outcome.store_error.empty()) log::error(outcome.store_error);
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
    if (outcome.remaining > 0) {
        const bool unusable = !outcome.worker_errors.empty() && outcome.done == 0;
        return unusable ? kDefect : kWorkRemains;
    }
    return outcome.failed + failed_before > 0 ? kTrialsFailed : kDone;
}

void print_results(const store::RunStore& store) {
    // Does not throw where stdout takes nothing: the ranks have to part in order, and the end of the program
    // sees it.
    std::string text = capacity_table(store.statistics());
    if (const auto progress = store.progress(); progress.open() > 0) {
        text += fmt::format(
            "not finished: {} of {} trials are open; the capacity of a row is known when none of its are\n",
            progress.open(), progress.planned);
    }
    text += fmt::format("results: {}\n", store.folder().results_file().string());
    std::fputs(text.c_str(), stdout);
}

void send_workers_home(Rank& self) {
    if (self.transport && !sched::dismiss_workers(*self.transport, {})) self.session->rank_was_lost();
}

/// The end of a launch that finds everything done and shown.
int leave_as_it_is(store::RunStore& store, Rank& self, const Remaining& before, PreparationWatch& watch) {
    watch.finish();
    send_workers_home(self);
    log::info(fmt::format("nothing to do: {} done before, {} failed for good; the run folder stays as it is",
                          count_text(before.done, "trial"), before.failed));
    print_results(store);
    store.close();
    return before.failed > 0 ? kTrialsFailed : kDone;
}

/// Runs the trials to the end of this launch; a sink that outlives the call takes their results.
sched::RunOutcome run_trials(const std::vector<std::uint32_t>& trials, JournalSink& sink,
                             const RunRequest& request, Rank& self, const Preparation& preparation,
                             const std::atomic<bool>& stop) {
    LiveLine line;
    sched::ManagerSetup setup;
    setup.tasks = tasks_of(preparation, trials);
    setup.payload_of = [&preparation, &trials](const sched::Task& task) {
        const plan::Plan& plan = preparation.plan;
        return plan::encode(plan.whole(plan.trials[trials[task.id.value]], preparation.tokens));
    };
    setup.sink = &sink;
    setup.options.limit = request.limit;
    setup.worker_setup = encode(worker_setup(preparation, sink.folder()));
    setup.transport = self.transport.get();
    setup.local_executor = executor_factory(self);
    setup.local_facts = worker_facts(self);
    setup.on_progress = [&](const sched::Progress& progress) { line.show(progress, sink.steps()); };
    setup.poll_hook = [&] { return self.exchange->step(); };
    sched::RunOutcome outcome = sched::run_manager(std::move(setup), stop);
    line.finish();
    self.exchange->close(kCloseExchange_s);
    if (outcome.lost_workers > 0 && self.session) self.session->rank_was_lost();
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

int manage(const RunRequest& request, Rank& self, const std::atomic<bool>& stop) {
    // The folder's name may come from the experiment, and its token cache is needed to prepare it.
    const config::Experiment experiment = config::load(request.file, request.overrides);
    device_of_rank(device_kind(experiment.run.device), self.local_rank);
    const store::RunFolder folder(request.folder.value_or(default_folder(experiment)));
    folder.expect_run_or_free();
    std::optional<store::TokenCache> cache;
    if (folder.exists()) cache.emplace(folder.tokens());
    hub::HashCache hashes(folder.hashes());
    PreparationWatch watch(stop, "before the first trial; nothing is lost: the same command goes on");
    Preparation preparation =
        prepare(request.file, request.overrides, ModelCheck::weights, cache, hashes, watch);
    require_trials(preparation, request.file);

    watch.writes_files();
    watch.at("reading the journal");
    auto store = store::RunStore::open(
        folder.root(), {.job_id = environment("SLURM_JOB_ID"), .restart_count = restart_count()});
    record::LaunchRow launch = launch_row(request, self, preparation);
    record::RunTables tables = run_tables(preparation, launch);
    std::vector<plan::Row>().swap(preparation.plan.rows);  // the tables have them
    Remaining remaining = remaining_trials(preparation, store, request.retry_failed);
    if (remaining.trials.empty() && store.is_shown(tables))
        return leave_as_it_is(store, self, remaining, watch);
    log::open_file(folder.log_file(self.rank));
    save_tokens(preparation, store.tokens());
    hashes.save();
    watch.at("recording the plan");
    store.begin_launch(std::move(tables));
    watch.finish();
    warn_of_full_disk(folder.root(), disk_bytes(preparation, remaining.trials.size()));
    tell_left_out_variables();
    log::info(fmt::format("{}: {}, {} done before, {} to run, {} skipped, {}", experiment.name,
                          count_text(preparation.plan.trials.size(), "trial"), remaining.done,
                          remaining.trials.size(), preparation.plan.skipped.size(),
                          count_text(self.ranks, "rank")));

    JournalSink sink(store, std::move(remaining.former_attempts));
    const sched::RunOutcome outcome = run_trials(remaining.trials, sink, request, self, preparation, stop);

    launch.ended_utc = utc_now();
    launch.weights = weights_json(self.exchange->reports());
    store.update_launch(launch);
    store.snapshot();
    tell_outcome(outcome, remaining);
    print_results(store);
    store.close();
    return exit_status(outcome, remaining.failed);
}

int run_rank_0(const RunRequest& request, Rank& self, const std::atomic<bool>& stop) {
    try {
        return manage(request, self, stop);
    } catch (const PreparationStopped& stopped) {
        send_workers_home(self);
        log::warning(stopped.what());
        return kWorkRemains;
    } catch (...) {
        // The others wait for work: send them home, then let the error go its way.
        send_workers_home(self);
        throw;
    }
}

int run_other_rank(Rank& self, const std::atomic<bool>& stop) {
    const auto outcome = sched::run_worker(*self.transport, worker_facts(self), executor_factory(self), stop,
                                           [&self] { return self.exchange->step(); });
    if (!outcome.manager_lost) self.exchange->close(kCloseExchange_s);
    if (outcome.manager_lost) {
        log::error("the manager (rank 0) is gone: this worker leaves; run again to go on");
        self.session->rank_was_lost();
        return kDefect;
    }
    // mpirun takes any status but 0 for a crash of the whole run, so only rank 0's counts.
    return kDone;
}

}  // namespace

int run_experiment(const Arguments& arguments) {
    const auto request = read_request(arguments);
    if (!request) return kDone;
    const auto& stop = install_stop_signals();
    Rank self = join_ranks();
    int status = kDefect;
    try {
        status = self.rank == 0 ? run_rank_0(*request, self, stop) : run_other_rank(self, stop);
    } catch (const Error& problem) {
        if (!self.session) throw;
        log::error(problem.what());
        const bool machine =
            dynamic_cast<const StoreError*>(&problem) || dynamic_cast<const TransportError*>(&problem);
        status = machine ? kDefect : kUsage;
    }
    self.transport.reset();
    self.exchange.reset();
    return self.session ? self.session->leave(status) : status;
}

}  // namespace memcap::app
