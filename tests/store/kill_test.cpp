// kill -9 at any moment: what was acknowledged is there afterwards, numbers and vectors alike.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <random>
#include <set>
#include <thread>

#include "memcap/store/result_file.hpp"
#include "memcap/store/run_store.hpp"
#include "store/export_all.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

using testing::sample_record;
using testing::sample_tables;
using testing::snapshot;
using testing::TemporaryFolder;

/// Runs what is left, two trials a sync, a snapshot now and then; tells `pipe` the row of each acknowledged
/// trial.
[[noreturn]] void run_until_killed(const std::filesystem::path& root, int pipe) {
    const auto tables = sample_tables();
    auto store = RunStore::open(root, {});
    store.begin_launch(tables);
    std::vector<std::uint32_t> batch;
    for (std::uint32_t row = 0;; ++row) {
        // A second round over all rows makes duplicates, which must change nothing.
        const auto& planned = tables.rows[row % tables.rows.size()];
        if (row < tables.rows.size() && store.known(planned.trial_id)) continue;
        store.append(sample_record(planned));
        batch.push_back(row % static_cast<std::uint32_t>(tables.rows.size()));
        if (batch.size() < 2) continue;
        store.sync();
        const auto size = static_cast<ssize_t>(batch.size() * sizeof(batch[0]));
        if (::write(pipe, batch.data(), static_cast<std::size_t>(size)) != size) std::_Exit(1);
        batch.clear();
        if (row % 16 == 15) snapshot(store);
    }
}

/// When to kill: after so many acknowledgements, since a busy machine makes times meaningless, and a little
/// later.
struct Moment {
    std::size_t acknowledgements;
    std::chrono::microseconds later;
};

/// Starts a writer, kills it, and returns what it had acknowledged.
std::set<std::uint32_t> killed_run(const std::filesystem::path& root, const Moment& moment) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        try {
            run_until_killed(root, ends[1]);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
            std::_Exit(1);
        }
    }
    ::close(ends[1]);
    std::set<std::uint32_t> acknowledged;
    const auto read_one = [&] {
        std::uint32_t row = 0;
        if (::read(ends[0], &row, sizeof(row)) != sizeof(row)) return false;
        acknowledged.insert(row);
        return true;
    };
    for (std::size_t count = 0; count < moment.acknowledgements && read_one(); ++count) {
    }
    std::this_thread::sleep_for(moment.later);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself";
    while (read_one()) {
    }
    ::close(ends[0]);
    return acknowledged;
}

TEST(Kill, NothingAcknowledgedIsLost) {
    // MEMCAP_KILL_ROUNDS lengthens it; the suite's few rounds take some seconds.
    const char* wished = std::getenv("MEMCAP_KILL_ROUNDS");
    const int rounds = wished != nullptr ? std::atoi(wished) : 25;
    const auto tables = sample_tables();
    std::mt19937 random(11);
    std::optional<TemporaryFolder> place;
    std::set<std::uint32_t> acknowledged;
    std::size_t checked = 0;
    for (int round = 0; round < rounds; ++round) {
        if (round % 8 == 0) {
            place.emplace();
            acknowledged.clear();
            RunFolder(*place / "run").create();
            TokenCache(RunFolder(*place / "run").tokens())
                .save(testing::id_of("tokens"), testing::sample_tokens());
        }
        const auto root = *place / "run";
        acknowledged.merge(killed_run(root, {random() % 40, std::chrono::microseconds(random() % 5000)}));
        if (std::filesystem::exists(root / "results.h5")) {
            EXPECT_NO_THROW(ResultFile::open(root));
        }
        auto store = RunStore::open(root, {});
        EXPECT_EQ(store.report().damaged_bytes, 0U);
        store.begin_launch(tables);
        snapshot(store);
        const auto file = ResultFile::open(root);
        for (const std::uint32_t row : acknowledged) {
            ASSERT_TRUE(store.known(tables.rows[row].trial_id)) << "round " << round << ", row " << row;
            std::vector<std::size_t> places;
            for (std::size_t at = 0; at < file.rows(); ++at) {
                if (file.numbers(at).trial_id == tables.rows[row].trial_id) places.push_back(at);
            }
            ASSERT_EQ(places.size(), 1U);
            EXPECT_EQ(file.read(places[0]).record.vector, sample_record(tables.rows[row]).vector);
            ++checked;
        }
    }
    std::printf("%d kills, %zu acknowledged results checked\n", rounds, checked);
    EXPECT_GT(checked, 0U);
}

}  // namespace
}  // namespace memcap::store
