// What a trial costs the manager: stub workers over MPI, results in a real run folder, synced before they are
// acknowledged.
//
//   mpirun -np 3 memcap_manager_cost NEW_FOLDER [TRIALS]
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <thread>

#include "app/journal_sink.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/mpi/session.hpp"
#include "memcap/record/run_tables.hpp"
#include "memcap/record/trial_record.hpp"
#include "memcap/sched/local_transport.hpp"
#include "memcap/sched/manager.hpp"
#include "memcap/sched/worker.hpp"
#include "memcap/store/run_store.hpp"

namespace memcap::benchmarks {
namespace {

namespace fs = std::filesystem;

constexpr std::int32_t kVectorWidth = 512;  ///< E

double thread_cpu_s() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// The sink of `memcap run`, with a clock.
class TimedSink final : public sched::ResultSink {
  public:
    explicit TimedSink(store::RunStore& store) : sink_(store, {}) {}

    void append(const sched::Task& task, const sched::TaskResult& result) override {
        const double start_s = thread_cpu_s();
        sink_.append(task, result);
        ++results;
        cpu_s += thread_cpu_s() - start_s;
    }
    void crashed(const sched::Task& task, const std::string& reason) override { sink_.crashed(task, reason); }
    void attempted(const sched::AttemptNote& note) override {
        const double start_s = thread_cpu_s();
        sink_.attempted(note);
        cpu_s += thread_cpu_s() - start_s;
    }
    void checkpoint(const sched::Task& task, std::span<const std::byte> state) override {
        sink_.checkpoint(task, state);
    }
    void sync() override {
        const double start_s = thread_cpu_s();
        const double wall_start_s = monotonic_s();
        sink_.sync();
        ++syncs;
        cpu_s += thread_cpu_s() - start_s;
        wall_s += monotonic_s() - wall_start_s;
    }

    std::uint64_t results = 0;
    std::uint64_t syncs = 0;
    double cpu_s = 0.0;
    double wall_s = 0.0;  ///< in sync()

  private:
    app::JournalSink sink_;
};

Id128 trial_id(std::uint32_t index) {
    return {1, index};
}

/// A result as a model of width 512 gives it for K = 1: its vector and a curve of 50 points.
record::TrialRecord sample_record(const Id128& id) {
    record::TrialRecord record;
    record.trial_id = id;
    record.scored_tokens = 63;
    record.evaluations = 1000;
    record.best_evaluation = 900;
    record.stop_reason = record::StopReason::patience;
    record.loss_nomem_nats = 3.5;
    record.accuracy_nomem = 0.25;
    record.loss_nats = 1.5;
    record.accuracy = 0.75;
    record.correct_tokens = 47;
    record.loss_min_nats = 1.25;
    record.host = "stub";
    record.device = "stub";
    record.finished_utc = utc_now();
    record.vector_width = kVectorWidth;
    record.vector.assign(kVectorWidth, 0.5F);
    for (std::int32_t point = 1; point <= 50; ++point) {
        record.curve.evaluation.push_back(20 * point);
        record.curve.loss_nats.push_back(3.0F / static_cast<float>(point));
        record.curve.accuracy.push_back(0.01F * static_cast<float>(point));
    }
    return record;
}

/// Answers at once.
class StubExecutor final : public sched::Executor {
  public:
    void run(sched::WorkPort& port) override {
        while (!port.closed()) {
            for (const sched::LeasedTask& leased : port.take(8, 0.1)) {
                port.finish({leased.task.id, leased.attempt, std::nullopt,
                             record::encode(sample_record(leased.task.key))});
            }
        }
    }
};

std::unique_ptr<sched::Executor> make_stub(std::span<const std::byte> /*setup*/) {
    return std::make_unique<StubExecutor>();
}

std::vector<sched::Task> make_tasks(std::uint32_t count) {
    std::vector<sched::Task> tasks;
    for (std::uint32_t i = 0; i < count; ++i) {
        sched::Task task;
        task.key = trial_id(i);
        task.affinity = i % 3;
        task.cost = 1.0 + i % 7;
        task.payload.resize(400);  // a trial of about 64 tokens
        tasks.push_back(std::move(task));
    }
    return tasks;
}

record::RunTables make_tables(std::uint32_t count) {
    record::RunTables tables;
    tables.experiment = "manager_cost";
    tables.created_utc = utc_now();
    tables.models.emplace_back().name = "stub";
    tables.models.back().memory_width = kVectorWidth;
    tables.corpora.emplace_back().name = "stub";
    tables.protocols.emplace_back().name = "paper";
    tables.launches.emplace_back().started_utc = utc_now();
    for (std::uint32_t i = 0; i < count; ++i) {
        record::PlannedRow row;
        row.axes.model = "stub";
        row.axes.corpus = "stub";
        row.axes.protocol = "paper";
        row.axes.sample = static_cast<std::int32_t>(i);
        row.axes.length = 64;
        row.trial_id = trial_id(i);
        row.scored_tokens = 63;
        tables.rows.push_back(row);
    }
    return tables;
}

int manage(mpi::Session& session, sched::Transport* transport, std::uint32_t tasks, const fs::path& folder) {
    store::RunStore store = store::RunStore::open(folder, {});
    store.begin_launch(make_tables(tasks));
    TimedSink sink(store);
    sched::ManagerSetup setup;
    setup.tasks = make_tasks(tasks);
    setup.sink = &sink;
    setup.transport = transport;
    const std::atomic<bool> never = false;
    const auto [manager_end, worker_end] = sched::make_local_transport();
    std::thread own_worker;
    // With other ranks the manager only manages, so that its thread's time is its own.
    if (session.size() == 1) {
        setup.local = manager_end.get();
        own_worker = std::thread([&never, &end = *worker_end] {
            sched::run_worker(end, {"here", "stub", 1.0, {}}, make_stub, never);
        });
    }
    const double wall_start_s = monotonic_s();
    const double cpu_start_s = thread_cpu_s();
    const sched::RunOutcome outcome = sched::run_manager(std::move(setup), never);
    const double cpu_s = thread_cpu_s() - cpu_start_s;
    const double wall_s = monotonic_s() - wall_start_s;
    if (own_worker.joinable()) own_worker.join();
    if (outcome.lost_workers > 0) session.rank_was_lost();
    store.close();
    const double per_task = 1e3 / tasks;
    std::array<double, 1> load{};
    getloadavg(load.data(), 1);
    fmt::print("trials {} done {} ranks {} syncs {} load {:.1f}\n", tasks, outcome.done, session.size(),
               sink.syncs, load[0]);
    fmt::print("manager_cpu_ms_per_trial {:.4f} of_that_record {:.4f}\n", cpu_s * per_task,
               sink.cpu_s * per_task);
    fmt::print("wall_ms_per_trial {:.4f} of_that_sync {:.4f} trials_per_s {:.0f}\n", wall_s * per_task,
               sink.wall_s * per_task, tasks / wall_s);
    return outcome.done == tasks && sink.results == tasks ? 0 : 1;
}

int run(int argc, char** argv) {
    if (argc < 2) {
        fmt::print(stderr, "usage: mpirun -np RANKS memcap_manager_cost NEW_FOLDER [TRIALS]\n");
        return 2;
    }
    const fs::path folder = argv[1];
    const auto tasks = static_cast<std::uint32_t>(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 20000);
    mpi::Session session;
    const std::unique_ptr<sched::Transport> transport =
        session.size() > 1 ? session.make_transport() : nullptr;
    if (session.rank() == 0) return session.leave(manage(session, transport.get(), tasks, folder));
    const std::atomic<bool> never = false;
    const sched::WorkerFacts facts{session.host(), "stub", 1.0, {}};
    sched::run_worker(*transport, facts, make_stub, never);
    return session.leave(0);
}

}  // namespace
}  // namespace memcap::benchmarks

int main(int argc, char** argv) {
    try {
        return memcap::benchmarks::run(argc, argv);
    } catch (const std::exception& problem) {
        fmt::print(stderr, "{}\n", problem.what());
        return 1;
    }
}
