// What comes before the first trial can be ended, and is shown.
#include "app/preparation_watch.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace memcap::app {
namespace {

TEST(PreparationWatch, EndsTheNextStepOnceASignalCame) {
    std::atomic<bool> stop = false;
    PreparationWatch watch(stop, "the sentence");
    watch.at("reading");
    watch.at("listing", 1, 2);
    stop = true;
    EXPECT_THROW(watch.check(), PreparationStopped);
    try {
        watch.at("listing", 2, 2);
        FAIL() << "it went on";
    } catch (const PreparationStopped& stopped) {
        EXPECT_STREQ(stopped.what(), "stopped by a signal the sentence");
    }
}

/// A step that sees no signal: it lasts longer than the watch's patience.
void hang() {
    std::this_thread::sleep_for(std::chrono::seconds(20));
}

TEST(PreparationWatchDeathTest, EndsAStepThatSeesNoSignalWithTheProcess) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    std::atomic<bool> stop = false;
    EXPECT_EXIT(
        {
            PreparationWatch watch(stop, "the sentence");
            watch.at("hanging");
            stop = true;
            hang();
        },
        testing::ExitedWithCode(75), "the sentence");
}

TEST(PreparationWatch, LeavesAStepAloneThatWritesFiles) {
    std::atomic<bool> stop = false;
    PreparationWatch watch(stop, "the sentence");
    watch.writes_files();
    stop = true;
    std::this_thread::sleep_for(std::chrono::seconds(1));
    EXPECT_THROW(watch.check(), PreparationStopped);
}

}  // namespace
}  // namespace memcap::app
