// A store whose folder another run has taken over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <thread>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/store/run_store.hpp"
#include "store/export_all.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

namespace fs = std::filesystem;
using testing::sample_record;
using testing::sample_tables;
using testing::snapshot;
using testing::TemporaryFolder;

class LostFolder : public ::testing::Test {
  protected:
    RunStore begin() const {
        auto store = RunStore::open(root, {});
        store.begin_launch(tables);
        return store;
    }

    TemporaryFolder place;
    fs::path root = place / "run";
    record::RunTables tables = sample_tables();
};

/// Another run's lock in place of the store's.
LockOwner take_over(const fs::path& root) {
    LockOwner other = this_process();
    other.host = "n2";
    other.generation = 2;
    write_file_atomically(RunFolder(root).lock_file(), to_text(other));
    return other;
}

TEST_F(LostFolder, LeavesWhatTheNewOwnerHasAlone) {
    auto store = begin();
    store.append(sample_record(tables.rows[0]));
    store.sync();
    const LockOwner other = take_over(root);
    const auto theirs = RunFolder(root).bulk_file(99);
    write_file_atomically(theirs, "in use");
    EXPECT_THROW(snapshot(store), StoreError);
    EXPECT_THROW(store.close(), StoreError);
    EXPECT_THROW(store.beat(monotonic_s() + 60), StoreError);
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    EXPECT_THROW(store.append(sample_record(tables.rows[1])), StoreError);
    try {
        store.sync();
        FAIL() << "nothing was thrown";
    } catch (const StoreError& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr("on host n2 has held it since"));
    }
    EXPECT_TRUE(fs::exists(theirs));
    EXPECT_FALSE(fs::exists(root / "results.h5"));
    { const auto gone = std::move(store); }
    EXPECT_EQ(read_lock(RunFolder(root).lock_file())->token, other.token);
}

TEST_F(LostFolder, WhatIsAppendedToItAllTheSameChangesNoRow) {
    std::optional<RunStore> sleeper = begin();
    sleeper->append(sample_record(tables.rows[0]));
    sleeper->sync();
    fs::remove(RunFolder(root).lock_file());
    auto store = RunStore::open(root, {});
    store.begin_launch(tables);
    store.append(sample_record(tables.rows[1]));
    // Within the second in which the sleeper does not look again.
    auto late = sample_record(tables.rows[1]);
    late.attempt = 9;
    try {
        sleeper->append(late);
    } catch (const StoreError&) {
    }
    store.sync();
    sleeper.reset();
    store.close();
    auto again = RunStore::open(root, {});
    EXPECT_EQ(again.known(tables.rows[1].trial_id)->attempts, 1);
    EXPECT_EQ(again.report().damaged_bytes, 0U);
}

}  // namespace
}  // namespace memcap::store
