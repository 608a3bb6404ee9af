// The file in which rank 0 tells of its workers, and what people read of it.
#include "app/worker_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/worker_lines.hpp"
#include "memcap/base/files.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::app {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr const char* kLaunch = "2026-03-01T12:00:00Z";

class WorkerFiles : public ::testing::Test {
  protected:
    WorkerFiles() : folder(place / "run") { folder.create(); }

    void write(const sched::Scheduler& scheduler) const { WorkerFile(folder, kLaunch).look(scheduler); }
    static sched::Scheduler scheduler_of(std::uint64_t tasks) {
        std::vector<sched::Task> list(tasks);
        for (std::uint64_t task = 0; task < tasks; ++task) list[task].key = {1, task};
        return sched::Scheduler(std::move(list), {0, 1}, {}, 0.0);
    }

    test::TemporaryFolder place;
    store::RunFolder folder;
};

TEST_F(WorkerFiles, WorkersAreReadBackByTheLaunchThatWroteThem) {
    auto scheduler = scheduler_of(4);
    scheduler.handle(sched::event::Received{0, sched::message::Join{{"n1", "cpu, 2 threads", 2.0, {}}}}, 1.0);
    scheduler.handle(sched::event::Received{0, sched::message::Status{{}, 1, 1, {}}}, 1.5);
    write(scheduler);
    const auto workers = read_workers(folder, kLaunch);
    ASSERT_EQ(workers.size(), 2U);
    EXPECT_EQ(workers[0].host, "n1");
    EXPECT_EQ(workers[0].device, "cpu, 2 threads");
    EXPECT_EQ(workers[0].state, "idle");
    EXPECT_EQ(workers[0].queued, 1U);
    EXPECT_THAT(workers[0].last_sign_utc, StartsWith("2"));
    EXPECT_EQ(workers[1].state, "starting");
    EXPECT_EQ(workers[1].last_sign_utc, "");
    EXPECT_THAT(read_workers(folder, "2026-03-01T13:00:00Z"), IsEmpty());
}

TEST_F(WorkerFiles, NothingIsReadOfAFileThatIsMissingOrDamaged) {
    EXPECT_THAT(read_workers(folder, kLaunch), IsEmpty());
    write(scheduler_of(1));
    const std::string whole = read_text_file(folder.workers_file());
    ASSERT_FALSE(read_workers(folder, kLaunch).empty());
    for (std::size_t size = 0; size < whole.size(); ++size) {
        write_file_atomically(folder.workers_file(), whole.substr(0, size));
        EXPECT_THAT(read_workers(folder, kLaunch), IsEmpty()) << size;
    }
    for (std::size_t at = 0; at < whole.size(); ++at) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        write_file_atomically(folder.workers_file(), damaged);
        EXPECT_THAT(read_workers(folder, kLaunch), IsEmpty()) << at;
    }
}

TEST_F(WorkerFiles, AWorkerInTroubleComesFirstAndSaysWhy) {
    std::vector<WorkerLine> workers(60);
    for (std::size_t rank = 0; rank < workers.size(); ++rank) {
        workers[rank].rank = static_cast<std::int32_t>(rank);
        workers[rank].state = "working";
        workers[rank].running = 1;
    }
    workers[50].state = "barred";
    workers[50].host = "n7";
    workers[50].running = 0;
    workers[50].why = "3 crashes in a row";
    const auto lines = worker_lines(workers);
    EXPECT_THAT(lines.front(), HasSubstr("rank 50 (n7): barred, 0 trials done; 3 crashes in a row"));
    EXPECT_EQ(lines.size(), 41U);
    EXPECT_EQ(lines.back(), "and 20 more workers: --json lists all");
    const auto idle = idle_lines(workers);
    ASSERT_EQ(idle.size(), 1U);
    EXPECT_EQ(idle[0], "rank 50 (n7): barred: 3 crashes in a row");
}

}  // namespace
}  // namespace memcap::app
