// Shared arenas: one maker, the same sealed pages for all, and nothing left when all are gone.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <new>
#include <string>
#include <thread>

#include "memcap/base/shared_arena.hpp"
#include "support/temporary_folder.hpp"

namespace memcap {
namespace {

constexpr std::size_t kMost = std::size_t{8} << 20U;

class SharedArenaTest : public ::testing::Test {
  protected:
    SharedArenaTest() { ::setenv("TMPDIR", folder_.path().c_str(), 1); }
    ~SharedArenaTest() override { ::unsetenv("TMPDIR"); }

    bool nothing_is_left() const { return std::filesystem::is_empty(folder_.path()); }

    /// A process that does this and ends, without destructors, with 0 if it returned true.
    static pid_t start(const std::function<bool()>& body) {
        const pid_t child = ::fork();
        if (child == 0) ::_exit(body() ? 0 : 1);
        return child;
    }
    static bool succeeded(pid_t child) {
        int status = 0;
        return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    static void pause() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }

    static std::shared_ptr<SharedArena> made(const std::string& key, const std::string& content) {
        auto arena = SharedArena::open(key, kMost);
        if (arena->is_maker()) {
            const auto region = arena->add("text", content.size());
            std::memcpy(region.data(), content.data(), content.size());
            arena->publish();
        }
        return arena;
    }
    static std::string text_of(const SharedArena& arena) {
        const auto region = arena.find("text");
        if (!region) return "none";
        return {reinterpret_cast<const char*>(region->data()), region->size()};
    }

    test::TemporaryFolder folder_;
};

TEST_F(SharedArenaTest, GivesAnotherProcessWhatTheMakerWrote) {
    const auto arena = made("weights", "made here");
    ASSERT_EQ(arena->why_alone(), "");
    EXPECT_TRUE(succeeded(start([] {
        const auto joined = SharedArena::open("weights", kMost);
        return !joined->is_maker() && text_of(*joined) == "made here" && !joined->find("other");
    })));
    EXPECT_TRUE(
        succeeded(start([] { return made("other weights", "elsewhere")->find("text")->size() == 9; })));
}

TEST_F(SharedArenaTest, RegionsAreAlignedZerosAndDoNotOverlap) {
    const auto arena = SharedArena::open("weights", kMost);
    const auto first = arena->add("first", 5);
    const auto second = arena->add("second", 200'000);
    const auto none = arena->add("none", 0);
    for (const auto& region : {first, second, none}) {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(region.data()) % 64, 0U);
    }
    EXPECT_GE(second.data(), first.data() + first.size());
    EXPECT_GE(none.data(), second.data() + second.size());
    for (const std::byte value : second) ASSERT_EQ(value, std::byte{0});
    EXPECT_THROW(arena->add("too much", kMost * 4), std::bad_alloc);
}

TEST_F(SharedArenaTest, OthersWaitForTheMaker) {
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t maker = start([&ready] {
        const auto arena = SharedArena::open("weights", kMost);
        if (!arena->is_maker() || ::write(ready[1], "x", 1) != 1) return false;
        pause();
        arena->add("text", 4)[0] = std::byte{'s'};
        arena->publish();
        pause();
        return true;
    });
    char signal = 0;
    ASSERT_EQ(::read(ready[0], &signal, 1), 1);
    const auto arena = SharedArena::open("weights", kMost);
    EXPECT_FALSE(arena->is_maker());
    EXPECT_EQ(text_of(*arena), std::string("s\0\0\0", 4));
    EXPECT_TRUE(succeeded(maker));
    ::close(ready[0]);
    ::close(ready[1]);
    EXPECT_EQ(text_of(*arena), std::string("s\0\0\0", 4)) << "the memory outlives its maker";
    EXPECT_TRUE(succeeded(start([] { return text_of(*SharedArena::open("weights", kMost))[0] == 's'; })))
        << "whoever comes after the maker's end joins those that are left";
}

TEST_F(SharedArenaTest, AMakerThatDiesBeforeItPublishesIsSucceeded) {
    EXPECT_TRUE(succeeded(start([] {
        const auto arena = SharedArena::open("weights", kMost);
        arena->add("text", 4)[0] = std::byte{'h'};
        ::_exit(0);
        return false;
    })));
    EXPECT_EQ(text_of(*made("weights", "whole")), "whole");
}

TEST_F(SharedArenaTest, PublishedMemoryCannotBeChanged) {
    const auto arena = made("weights", "sealed");
    EXPECT_DEATH(arena->find("text")->front() = std::byte{0}, "");
    EXPECT_EQ(text_of(*arena), "sealed");
    // Nor by another who opens the same memory for writing.
    bool tried = false;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code problem;
        const auto target = std::filesystem::read_symlink(entry.path(), problem).string();
        if (target.find("memfd:memcap") == std::string::npos) continue;
        const int writable = ::open(entry.path().c_str(), O_RDWR | O_CLOEXEC);
        ASSERT_GE(writable, 0);
        EXPECT_EQ(::pwrite(writable, "x", 1, 0), -1);
        EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writable, 0), MAP_FAILED);
        EXPECT_NE(::ftruncate(writable, 0), 0);
        ::close(writable);
        tried = true;
    }
    EXPECT_TRUE(tried);
}

TEST_F(SharedArenaTest, TheLastOneToGoLeavesNothing) {
    auto first = made("weights", "once");
    auto second = SharedArena::open("weights", kMost);
    first.reset();
    EXPECT_EQ(text_of(*second), "once");
    EXPECT_FALSE(nothing_is_left());
    second.reset();
    EXPECT_TRUE(nothing_is_left());
    EXPECT_EQ(text_of(*made("weights", "again")), "again");
}

TEST_F(SharedArenaTest, ARegisterOfTheDeadIsNoHindrance) {
    EXPECT_TRUE(succeeded(start([] {
        const auto arena = made("weights", "of a process that was killed");
        ::_exit(0);
        return false;
    })));
    EXPECT_FALSE(nothing_is_left());
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
        std::ofstream(entry.path(), std::ios::app) << "1 0 5 5\nthis is no line of a register\n";
    }
    const auto arena = made("weights", "new");
    EXPECT_EQ(text_of(*arena), "new");
    EXPECT_EQ(arena->why_alone(), "");
}

TEST_F(SharedArenaTest, WithoutAFolderForTheRegisterAProcessHasMemoryOfItsOwn) {
    ::setenv("TMPDIR", "/proc", 1);
    const auto arena = made("weights", "mine");
    EXPECT_EQ(text_of(*arena), "mine");
    EXPECT_NE(arena->why_alone().find("/proc/memcap-"), std::string::npos) << arena->why_alone();
    EXPECT_FALSE(arena->is_maker());
    EXPECT_DEATH(arena->find("text")->front() = std::byte{0}, "");
}

}  // namespace
}  // namespace memcap
