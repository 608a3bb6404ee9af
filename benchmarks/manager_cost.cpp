// What a task costs the manager: stub workers over MPI, results appended to a file that is synced before they
// are acknowledged.
//
//   mpirun -np 3 memcap_manager_cost [tasks] [payload bytes] [file]
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <optional>
#include <string>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/mpi/session.hpp"
#include "memcap/sched/manager.hpp"
#include "memcap/sched/worker.hpp"

namespace memcap::benchmarks {
namespace {

double thread_cpu_s() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Length, checksum and payload of each result in one file; one write and one fdatasync a batch.
class FileSink final : public sched::ResultSink {
  public:
    explicit FileSink(std::string path) : path_(std::move(path)) {
        file_ = open(path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
        if (file_ < 0) fail("cannot be opened");
    }
    ~FileSink() override { close(file_); }
    FileSink(const FileSink&) = delete;
    FileSink& operator=(const FileSink&) = delete;

    void append(const sched::Task& task, const sched::TaskResult& result) override {
        const double start_s = thread_cpu_s();
        batch_.id(task.key);
        batch_.number(hash64(result.payload));
        batch_.text({reinterpret_cast<const char*>(result.payload.data()), result.payload.size()});
        ++results;
        cpu_s += thread_cpu_s() - start_s;
    }
    void sync() override {
        const double start_s = thread_cpu_s();
        const double wall_start_s = monotonic_s();
        const Bytes& bytes = batch_.bytes();
        if (write(file_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
            fail("cannot be written");
        if (fdatasync(file_) != 0) fail("cannot be synced");
        batch_ = {};
        ++syncs;
        cpu_s += thread_cpu_s() - start_s;
        wall_s += monotonic_s() - wall_start_s;
    }

    std::uint64_t results = 0;
    std::uint64_t syncs = 0;
    double cpu_s = 0.0;
    double wall_s = 0.0;  ///< in sync()

  private:
    [[noreturn]] void fail(const char* what) {
        throw StoreError(path_, {.what = what, .where = {}, .why = std::strerror(errno), .advice = {}});
    }

    std::string path_;
    int file_ = -1;
    ByteWriter batch_;
};

/// Answers at once, with as many bytes as a record with its vector has.
class StubExecutor final : public sched::Executor {
  public:
    explicit StubExecutor(std::size_t payload_bytes) : payload_bytes_(payload_bytes) {}

    void run(sched::WorkPort& port) override {
        while (!port.closed()) {
            for (const sched::LeasedTask& leased : port.take(8, 0.1)) {
                port.finish(
                    {leased.task.id, leased.attempt, std::nullopt, Bytes(payload_bytes_, std::byte{1})});
            }
        }
    }

  private:
    std::size_t payload_bytes_;
};

std::vector<sched::Task> make_tasks(std::uint32_t count) {
    std::vector<sched::Task> tasks;
    for (std::uint32_t i = 0; i < count; ++i) {
        sched::Task task;
        task.key = Id128{1, i};
        task.affinity = i % 3;
        task.cost = 1.0 + i % 7;
        task.payload.resize(400);  // a trial of about 64 tokens
        tasks.push_back(std::move(task));
    }
    return tasks;
}

int manage(mpi::Session& session, sched::Transport& transport, std::uint32_t tasks, std::size_t payload_bytes,
           const std::string& path) {
    FileSink sink(path);
    sched::ManagerSetup setup;
    setup.tasks = make_tasks(tasks);
    setup.sink = &sink;
    setup.transport = &transport;
    // With other ranks the manager only manages, so that its thread's time is its own.
    if (session.size() == 1)
        setup.local_executor = [=](auto) { return std::make_unique<StubExecutor>(payload_bytes); };
    const std::atomic<bool> never = false;
    const double wall_start_s = monotonic_s();
    const double cpu_start_s = thread_cpu_s();
    const sched::RunOutcome outcome = sched::run_manager(std::move(setup), never);
    const double cpu_s = thread_cpu_s() - cpu_start_s;
    const double wall_s = monotonic_s() - wall_start_s;
    if (outcome.lost_workers > 0) session.rank_was_lost();
    const double per_task = 1e3 / tasks;
    double load[1] = {0.0};
    getloadavg(load, 1);
    fmt::print("tasks {} done {} payload_bytes {} ranks {} syncs {} load {:.1f}\n", tasks, outcome.done,
               payload_bytes, session.size(), sink.syncs, load[0]);
    fmt::print("manager_cpu_ms_per_task {:.4f} of_that_sink {:.4f}\n", cpu_s * per_task,
               sink.cpu_s * per_task);
    fmt::print("wall_ms_per_task {:.4f} of_that_sync {:.4f} tasks_per_s {:.0f}\n", wall_s * per_task,
               sink.wall_s * per_task, tasks / wall_s);
    unlink(path.c_str());
    return outcome.done == tasks && sink.results == tasks ? 0 : 1;
}

int run(int argc, char** argv) {
    const auto tasks = static_cast<std::uint32_t>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 20000);
    const std::size_t payload_bytes = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 2048;
    const std::string path = argc > 3 ? argv[3] : "manager_cost.log";
    mpi::Session session;
    const std::unique_ptr<sched::Transport> transport = session.make_transport();
    if (session.rank() == 0) return session.leave(manage(session, *transport, tasks, payload_bytes, path));
    const std::atomic<bool> never = false;
    const sched::WorkerFacts facts{session.host(), "stub", 1.0};
    sched::run_worker(
        *transport, facts, [=](auto) { return std::make_unique<StubExecutor>(payload_bytes); }, never);
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
