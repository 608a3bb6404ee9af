// Two processes and one run folder: kill -9, a writer that sleeps through its own succession, many newcomers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/store/journal/folder_lock.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/journal/run_status.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

using ::testing::HasSubstr;
using testing::sample_record;
using testing::sample_tables;
using testing::TemporaryFolder;

constexpr int kLostTheFolder = 7;

/// Times at which a test does not wait for minutes.
LockRequest quick(double silence_s = 0.3) {
    LockRequest request;
    request.times = {
        .beat_every_s = 0.02, .check_every_s = 0.0, .silence_s = silence_s, .look_every_s = 0.02};
    request.ask_job = [](const std::string&) { return JobSight::unknown; };
    return request;
}

/// The same on a host that is not this one.
LockRequest elsewhere() {
    LockRequest request = quick();
    request.self.host = "n2";
    request.self.boot_id = "another boot";
    return request;
}

/// A process that does something, and can be talked to.
class Child {
  public:
    explicit Child(const std::function<void(Child&)>& work) {
        EXPECT_EQ(::pipe(to_parent_), 0);
        EXPECT_EQ(::pipe(to_child_), 0);
        pid_ = ::fork();
        if (pid_ != 0) return;
        try {
            work(*this);
        } catch (const StoreError& error) {
            const bool lost = std::string(error.what()).find("taken over the folder") != std::string::npos;
            std::_Exit(lost ? kLostTheFolder : 1);
        }
        std::_Exit(0);
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        end();
        for (const int end : {to_parent_[0], to_parent_[1], to_child_[0], to_child_[1]}) ::close(end);
    }

    /// In the child: says that it is so far, and waits until it may go on.
    void arrive() {
        if (::write(to_parent_[1], "x", 1) != 1) std::_Exit(2);
    }
    void await_leave() {
        char byte = 0;
        if (::read(to_child_[0], &byte, 1) != 1) std::_Exit(3);
    }
    /// In the parent.
    void await_arrival() {
        char byte = 0;
        EXPECT_EQ(::read(to_parent_[0], &byte, 1), 1);
    }
    void leave() { EXPECT_EQ(::write(to_child_[1], "x", 1), 1); }
    void signal(int number) { ::kill(pid_, number); }
    /// Its exit status; -1 if a signal ended it.
    int wait() {
        int status = 0;
        ::waitpid(std::exchange(pid_, 0), &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    void end() {
        if (pid_ <= 0) return;
        signal(SIGKILL);
        wait();
    }

  private:
    int to_parent_[2];
    int to_child_[2];
    pid_t pid_ = 0;
};

class Takeover : public ::testing::Test {
  protected:
    Takeover() { folder.create(); }
    /// Leaves the lock of a process that was killed.
    void leave_lock(const LockRequest& request) const {
        Child child([&](Child& self) {
            LockRequest mine = request;
            mine.self.pid = ::getpid();
            mine.self.process_start = this_process().process_start;
            const auto lock = FolderLock::acquire(file, mine);
            self.arrive();
            self.await_leave();
        });
        child.await_arrival();
        child.end();
    }
    std::string refusal(const LockRequest& request) const {
        try {
            FolderLock::acquire(file, request);
        } catch (const StoreError& error) {
            return error.what();
        }
        return {};
    }

    TemporaryFolder place;
    RunFolder folder{place / "run"};
    std::filesystem::path file = folder.lock_file();
    std::filesystem::path claim = file.string() + ".next";
};

TEST_F(Takeover, FromAKilledProcessOfThisKernelIsImmediate) {
    leave_lock(quick());
    for (const auto use : {KernelLocks::use, KernelLocks::leave}) {
        LockRequest request = quick(1e9);
        request.kernel_locks = use;
        EXPECT_EQ(FolderLock::acquire(file, request).self().generation, use == KernelLocks::use ? 2U : 1U);
    }
}

TEST_F(Takeover, FromAKilledProcessOfAnotherHostComesAfterSilence) {
    leave_lock(elsewhere());
    const double start_s = monotonic_s();
    const auto lock = FolderLock::acquire(file, quick(0.3));
    EXPECT_GE(monotonic_s() - start_s, 0.3);
    EXPECT_EQ(lock.self().generation, 2U);
    EXPECT_EQ(read_lock(file)->token, lock.self().token);
    EXPECT_FALSE(std::filesystem::exists(claim));
}

TEST_F(Takeover, FromALivingProcessOfAnotherHostIsRefused) {
    Child child([&](Child& self) {
        auto lock = FolderLock::acquire(file, elsewhere());
        self.arrive();
        for (;;) {
            lock.beat(monotonic_s());
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    });
    child.await_arrival();
    const std::string text = refusal(quick(30));
    EXPECT_THAT(text, HasSubstr("written by somebody else"));
    EXPECT_THAT(text, HasSubstr("on host n2 has held it since"));
    EXPECT_THAT(text, HasSubstr("its heartbeat goes on"));
    EXPECT_THAT(text, HasSubstr("after 30 s without a sign of life"));
}

TEST_F(Takeover, FromALivingProcessInAnotherContainerIsRefusedAtOnceByTheKernelLock) {
    LockRequest container = quick();
    container.self.host = "container-1";
    container.self.pid_namespace = 5;
    const auto lock = FolderLock::acquire(file, container);
    if (!lock.self().kernel_lock) GTEST_SKIP() << "no kernel locks on this file system";
    EXPECT_THAT(refusal(quick(1e9)), HasSubstr("it holds a lock of this kernel"));
}

TEST_F(Takeover, OfAProcessThatCannotBeSeenIsNotDecidedByItsNumber) {
    // Number 1 lives in each namespace, and a number beyond the greatest one in none.
    for (const std::int64_t pid : {std::int64_t{1}, std::int64_t{1} << 30}) {
        LockRequest container = quick();
        container.self.pid = pid;
        container.self.process_start = 0;
        container.self.pid_namespace = 5;
        container.kernel_locks = KernelLocks::leave;
        auto theirs = FolderLock::acquire(file, container);
        LockRequest newcomer = quick(1e9);
        newcomer.kernel_locks = KernelLocks::leave;
        int looks = 0;
        newcomer.while_waiting = [&] {
            if (++looks == 5) throw std::runtime_error("enough");
        };
        EXPECT_THROW(FolderLock::acquire(file, newcomer), std::runtime_error);
        EXPECT_EQ(read_lock(file)->token, theirs.self().token);
        EXPECT_FALSE(std::filesystem::exists(claim));
    }
}

TEST_F(Takeover, FromAJobThatSlurmDoesNotKnowIsImmediate) {
    LockRequest former = elsewhere();
    former.self.job_id = "77";
    former.self.cluster = "big";
    leave_lock(former);
    LockRequest request = quick(1e9);
    request.self.cluster = "big";
    std::string asked;
    request.ask_job = [&](const std::string& job) {
        asked = job;
        return JobSight::gone;
    };
    EXPECT_EQ(FolderLock::acquire(file, request).self().generation, 2U);
    EXPECT_EQ(asked, "77");
}

TEST_F(Takeover, DoesNotCountTimeInWhichTheNewcomerDidNotLook) {
    leave_lock(elsewhere());
    LockRequest request = quick(0.4);
    int looks = 0;
    request.while_waiting = [&] {
        // As if this process or the file system had been stopped.
        if (++looks <= 3) std::this_thread::sleep_for(std::chrono::milliseconds(400));
    };
    FolderLock::acquire(file, request);
    EXPECT_GE(looks, 10);
}

TEST_F(Takeover, IsWonByOneOfMany) {
    leave_lock(quick());
    std::vector<std::unique_ptr<Child>> children;
    for (int i = 0; i < 8; ++i) {
        children.push_back(std::make_unique<Child>([&](Child& self) {
            self.await_leave();
            LockRequest request = quick();
            request.kernel_locks = KernelLocks::leave;
            std::optional<FolderLock> lock;
            try {
                lock = FolderLock::acquire(file, request);
            } catch (const StoreError&) {
            }
            // Nobody gives the folder back before everybody has asked for it.
            self.arrive();
            self.await_leave();
            if (!lock) std::_Exit(1);
            lock->expect_held();
        }));
    }
    for (auto& child : children) child->leave();
    for (auto& child : children) child->await_arrival();
    for (auto& child : children) child->leave();
    int winners = 0;
    for (auto& child : children) winners += child->wait() == 0 ? 1 : 0;
    EXPECT_EQ(winners, 1);
}

TEST_F(Takeover, GoesPastAClaimWhoseOwnerDied) {
    leave_lock(quick());
    std::filesystem::rename(file, claim);
    EXPECT_EQ(refusal(quick(1e9)), "");
    { std::ofstream(claim) << "cut"; }
    EXPECT_EQ(refusal(quick(0.1)), "");
    EXPECT_FALSE(std::filesystem::exists(claim));
}

TEST_F(Takeover, IsNoticedByTheOwnerThatLost) {
    auto lock = FolderLock::acquire(file, elsewhere());
    EXPECT_NO_THROW(lock.expect_held());
    const auto other = FolderLock::acquire(file, quick(0.05));
    const auto lost = [&](auto act) -> std::string {
        try {
            act();
        } catch (const StoreError& error) {
            return error.what();
        }
        return {};
    };
    EXPECT_THAT(lost([&] { lock.expect_held(monotonic_s()); }), HasSubstr("another run has taken over"));
    EXPECT_THAT(lost([&] { lock.beat(monotonic_s() + 1); }),
                HasSubstr("process " + std::to_string(::getpid())));
    lock.release();
    EXPECT_EQ(read_lock(file)->token, other.self().token);
    std::filesystem::remove(file);
    auto third = FolderLock::acquire(file, quick());
    std::filesystem::remove(file);
    EXPECT_THAT(lost([&] { third.expect_held(); }), HasSubstr("removed or damaged the lock file"));
}

TEST_F(Takeover, IsLookedForOnlyNowAndThen) {
    LockRequest request = quick();
    request.times.check_every_s = 10;
    auto lock = FolderLock::acquire(file, request);
    std::filesystem::remove(file);
    const double now_s = monotonic_s();
    EXPECT_NO_THROW(lock.expect_held(now_s));
    EXPECT_NO_THROW(lock.beat(now_s - 1));
    EXPECT_THROW(lock.expect_held(now_s + 11), StoreError);
}

TEST_F(Takeover, TheHeartbeatChangesOneLineInPlace) {
    auto lock = FolderLock::acquire(file, quick());
    const std::string before = read_text_file(file);
    struct stat first {};
    ASSERT_EQ(::stat(file.c_str(), &first), 0);
    lock.beat(monotonic_s() + 1);
    const std::string after = read_text_file(file);
    struct stat second {};
    ASSERT_EQ(::stat(file.c_str(), &second), 0);
    EXPECT_EQ(first.st_ino, second.st_ino);
    const auto at = before.find("beat=");
    EXPECT_EQ(after.substr(0, at), before.substr(0, at));
    EXPECT_EQ(after.size(), before.size());
    EXPECT_EQ(read_lock(file)->beats, 2U);
}

/// A writer of another host, which appends a record, and appends two more when it wakes up.
void write_and_sleep(const RunFolder& folder, Child& child) {
    const auto tables = sample_tables();
    auto lock = FolderLock::acquire(folder.lock_file(), elsewhere());
    auto writer = JournalWriter::create(folder, {1, 2}, {});
    writer.append(tables);
    writer.append(sample_record(tables.rows[0]));
    writer.sync();
    child.arrive();
    child.await_leave();
    // It had looked just before it was stopped.
    auto other = sample_record(tables.rows[1]);
    other.attempt = 9;
    writer.append(other);
    auto alone = sample_record(tables.rows[2]);
    alone.vector.clear();
    alone.curve = {};
    writer.append(alone);
    writer.sync();
    lock.expect_held(monotonic_s());
}

TEST_F(Takeover, AWriterThatSleptThroughItChangesNothingAndStops) {
    const auto tables = sample_tables();
    Child child([&](Child& self) { write_and_sleep(folder, self); });
    child.await_arrival();
    child.signal(SIGSTOP);
    const auto lock = FolderLock::acquire(file, quick());
    RunState state = replay(folder, bulk_files_check(folder), TornTails::cut);
    EXPECT_EQ(state.records().size(), 1U);
    auto writer = JournalWriter::create(folder, state.run_id(),
                                        {.next_bulk = state.last_bulk() + 1, .ends = state.segment_ends()});
    auto record = sample_record(tables.rows[1]);
    record.attempt = 2;
    writer.append(record);
    writer.sync();
    child.signal(SIGCONT);
    child.leave();
    EXPECT_EQ(child.wait(), kLostTheFolder);
    state = replay(folder, bulk_files_check(folder), TornTails::cut);
    EXPECT_GT(state.report().late_bytes, 0U);
    EXPECT_EQ(state.report().damaged_bytes + state.report().torn_bytes, 0U);
    EXPECT_EQ(state.find(tables.rows[1].trial_id)->record.attempt, 2);
    EXPECT_TRUE(state.find(tables.rows[2].trial_id)->final());
    EXPECT_EQ(state.records().size(), 3U);
}

TEST_F(Takeover, StatusSaysThatAKilledRunIsDeadAndSinceWhen) {
    Child child([&](Child& self) {
        const auto lock = FolderLock::acquire(file, quick());
        auto writer = JournalWriter::create(folder, {1, 2}, {});
        writer.append(sample_tables());
        self.arrive();
        self.await_leave();
    });
    child.await_arrival();
    EXPECT_EQ(activity(read_status(folder)), RunActivity::running);
    EXPECT_EQ(death_text(read_status(folder)), "");
    child.end();
    const RunStatus status = read_status(folder);
    EXPECT_EQ(to_string(activity(status)), "dead");
    EXPECT_THAT(death_text(status), HasSubstr("last sign of life " + status.owner->beat_utc));
    const auto lock = FolderLock::acquire(file, quick());
    EXPECT_EQ(activity(read_status(folder)), RunActivity::running);
}

TEST_F(Takeover, StatusElsewhereGoesByTheHeartbeat) {
    JournalWriter::create(folder, {1, 2}, {}).append(sample_tables());
    const auto at = [&](const std::string& beat_utc) {
        LockOwner owner = elsewhere().self;
        owner.generation = 1;
        owner.beat_utc = beat_utc;
        write_file_atomically(file, to_text(owner));
        return read_status(folder, quick(300));
    };
    EXPECT_EQ(activity(at(utc_now())), RunActivity::running);
    // A clock that goes ahead of this one.
    EXPECT_EQ(activity(at("2999-01-01T00:00:00Z")), RunActivity::running);
    const RunStatus status = at("2026-03-01T12:00:00Z");
    EXPECT_EQ(activity(status), RunActivity::dead);
    EXPECT_THAT(death_text(status),
                HasSubstr("on host n2 has given no sign of life since 2026-03-01T12:00:00Z"));
}

TEST_F(Takeover, StatusTellsARunThatEndedFromOneThatStopped) {
    const auto tables = sample_tables();
    auto writer = JournalWriter::create(folder, {1, 2}, {});
    writer.append(tables);
    EXPECT_EQ(activity(read_status(folder)), RunActivity::dead) << "its launch has no end";
    {
        const auto lock = FolderLock::acquire(file, quick());
        EXPECT_EQ(activity(read_status(folder)), RunActivity::running);
    }
    auto launch = tables.launches.front();
    launch.ended_utc = "2026-03-01T14:00:00Z";
    writer.append(launch);
    EXPECT_EQ(activity(read_status(folder)), RunActivity::stopped);
    for (const auto& row : tables.rows) writer.append(sample_record(row));
    EXPECT_EQ(activity(read_status(folder)), RunActivity::done);
    const auto lock = FolderLock::acquire(file, quick());
    EXPECT_EQ(activity(read_status(folder)), RunActivity::running) << "the next launch prepares itself";
}

/// A folder with a program named squeue, which is found first.
class Squeue : public ::testing::Test {
  protected:
    void install(const std::string& script) const {
        const auto program = place / "squeue";
        { std::ofstream(program) << "#!/bin/sh\n" << script << "\n"; }
        std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    }
    void SetUp() override {
        former_ = std::getenv("PATH");
        ::setenv("PATH", (place.path().string() + ":" + former_).c_str(), 1);
    }
    void TearDown() override { ::setenv("PATH", former_.c_str(), 1); }

    TemporaryFolder place;
    std::string former_;
};

TEST_F(Squeue, IsAskedForTheStateOfTheJob) {
    install("[ \"$*\" = '-h -j 77 -o %T' ] && echo RUNNING");
    EXPECT_EQ(ask_slurm("77"), JobSight::alive);
    install("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
    EXPECT_EQ(ask_slurm("77"), JobSight::gone);
    install("exit 1");
    EXPECT_EQ(ask_slurm("77"), JobSight::unknown);
}

TEST_F(Squeue, ThatHangsIsNotWaitedFor) {
    install("exec sleep 60");
    const double start_s = monotonic_s();
    EXPECT_EQ(ask_slurm("77", 0.2), JobSight::unknown);
    EXPECT_LT(monotonic_s() - start_s, 10.0);
}

TEST_F(Squeue, ThatIsNotThereSaysNothing) {
    ::setenv("PATH", place.path().c_str(), 1);
    EXPECT_EQ(ask_slurm("77"), JobSight::unknown);
    install("echo RUNNING");
    EXPECT_EQ(ask_slurm("no number; true"), JobSight::unknown);
}

}  // namespace
}  // namespace memcap::store
