// The lock of a run folder: one holder, stale ones are taken over, others are named.
#include "memcap/store/journal/folder_lock.hpp"
#include "memcap/base/host.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

class Lock : public ::testing::Test {
  protected:
    /// Leaves a lock file as another process would.
    void leave(const std::string& host, std::int64_t pid, const std::string& job, int restarts) const {
        write_file_atomically(file, "host=" + host + "\npid=" + std::to_string(pid) + "\njob=" + job +
                                        "\nrestarts=" + std::to_string(restarts) +
                                        "\nstarted=2026-03-01T12:00:00Z\nend\n");
    }
    static LockRequest request(const std::string& job = "", int restarts = 0) {
        LockRequest request;
        request.self.job_id = job;
        request.self.restart_count = restarts;
        return request;
    }
    std::string refusal(const std::string& job = "", int restarts = 0) const {
        try {
            FolderLock::acquire(file, request(job, restarts));
        } catch (const StoreError& error) {
            return error.what();
        }
        return {};
    }

    TemporaryFolder place;
    std::filesystem::path file = place / "lock";
};

TEST_F(Lock, ExcludesASecondHolderUntilItIsReleased) {
    auto lock = FolderLock::acquire(file, request("12", 3));
    EXPECT_THAT(refusal(), HasSubstr("written by somebody else"));
    EXPECT_THAT(refusal(),
                HasSubstr("process " + std::to_string(::getpid()) + " on host " + host_name() + " (job 12)"));
    EXPECT_THAT(refusal(), HasSubstr("to end it: `memcap stop`, or scancel 12"));
    const auto owner = read_lock(file);
    ASSERT_TRUE(owner);
    EXPECT_EQ(owner->pid, ::getpid());
    EXPECT_EQ(owner->job_id, "12");
    EXPECT_EQ(owner->restart_count, 3);
    lock.release();
    EXPECT_FALSE(std::filesystem::exists(file));
    EXPECT_EQ(refusal(), "");
}

TEST_F(Lock, OfAKilledProcessOfThisHostIsTakenOver) {
    const pid_t child = ::fork();
    if (child == 0) {
        const auto lock = FolderLock::acquire(file);
        ::kill(::getpid(), SIGKILL);
    }
    ::waitpid(child, nullptr, 0);
    ASSERT_TRUE(std::filesystem::exists(file));
    EXPECT_EQ(refusal(), "");
}

TEST_F(Lock, OfAnotherHostIsRespected) {
    leave("some-other-host", 1, "", 0);
    EXPECT_THAT(refusal(),
                HasSubstr("process 1 on host some-other-host has held it since 2026-03-01T12:00:00Z"));
    EXPECT_TRUE(std::filesystem::exists(file));
}

TEST_F(Lock, OfAnEarlierStartOfTheSameJobIsTakenOver) {
    leave("some-other-host", 1, "77", 0);
    EXPECT_THAT(refusal("78", 1), HasSubstr("job 77"));
    EXPECT_THAT(refusal("77", 0), HasSubstr("job 77"));
    EXPECT_EQ(refusal("77", 1), "");
}

TEST_F(Lock, ThatWasRemovedAndTakenBySomebodyElseIsNotRemovedAgain) {
    auto first = FolderLock::acquire(file);
    std::filesystem::remove(file);
    const auto second = FolderLock::acquire(file);
    first.release();
    EXPECT_TRUE(std::filesystem::exists(file));
}

TEST_F(Lock, InAFolderThatIsNotThereIsAnError) {
    EXPECT_THROW(FolderLock::acquire(place / "nothing/lock"), StoreError);
}

}  // namespace
}  // namespace memcap::store
