// Folders of shards: what is found, and what must not be mixed.
#include "memcap/store/journal/shards.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_status.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TemporaryFolder;

class ShardFolders : public ::testing::Test {
  protected:
    /// A run with a plan and, with `results`, the records of the trials that are its own.
    void begin(const fs::path& root, const std::optional<Shard>& shard, bool results = false) const {
        const RunFolder folder(root);
        folder.create();
        if (shard) record_shard(folder, *shard);
        auto journal = JournalWriter::create(folder, testing::id_of(root.string()), {});
        const auto tables = testing::sample_tables();
        journal.append(tables);
        for (const auto& row : tables.rows) {
            if (results && shard && shard->holds(row.trial_id)) journal.append(testing::sample_record(row));
        }
        journal.sync();
    }
    void begin_shard(std::uint32_t index, std::uint32_t count, bool results = false) const {
        begin(shard_folder(whole, index).root(), Shard{.index = index, .count = count}, results);
    }
    static std::string refusal(const std::function<void()>& action) {
        try {
            action();
        } catch (const DataError& error) {
            return error.what();
        }
        return "nothing was refused";
    }
    std::string refusal_of(const fs::path& folder, const std::optional<Shard>& shard) const {
        return refusal([&] { expect_sharding(folder, shard); });
    }

    TemporaryFolder place;
    fs::path whole = place / "run";
};

TEST_F(ShardFolders, ShardsThatHaveBegunAndThoseThatHaveNot) {
    EXPECT_FALSE(find_shards(whole).has_value());
    begin_shard(0, 4);
    begin_shard(2, 4);
    fs::create_directories(whole / "shard-1");   // made by hand
    fs::create_directories(whole / "shard-03");  // no name of a shard
    const auto shards = find_shards(whole);
    ASSERT_TRUE(shards.has_value());
    EXPECT_EQ(shards->count, 4U);
    EXPECT_EQ(shards->begun.size(), 2U);
    EXPECT_EQ(shards->begun.at(2).root(), whole / "shard-2");
    EXPECT_THAT(shards->missing(), ElementsAre(1, 3));
    EXPECT_EQ(read_shard(shards->begun.at(2)), (Shard{.index = 2, .count = 4}));
}

TEST_F(ShardFolders, AShardGoesOnAsItself) {
    expect_sharding(whole, Shard{.index = 0, .count = 3});
    begin_shard(0, 3);
    expect_sharding(whole, Shard{.index = 0, .count = 3});
    expect_sharding(whole, Shard{.index = 2, .count = 3});
    // A start that was killed before it recorded anything.
    shard_folder(whole, 1).create();
    expect_sharding(whole, Shard{.index = 1, .count = 3});
}

TEST_F(ShardFolders, AnotherNumberOfShardsIsRefused) {
    begin_shard(1, 3);
    for (const std::uint32_t index : {0U, 1U}) {
        EXPECT_THAT(refusal_of(whole, Shard{.index = index, .count = 4}),
                    HasSubstr("has 3 shards, and --shard " + std::to_string(index) +
                              "/4 asks for 4. Give --shard I/3 with I from 0 to 2"));
    }
}

TEST_F(ShardFolders, ShardsAndAWholeRunDoNotMix) {
    begin_shard(1, 3);
    EXPECT_THAT(refusal_of(whole, std::nullopt),
                HasSubstr("holds a run in 3 shards. Go on with a shard by --shard"));
    const auto own = refusal_of(whole / "shard-1", std::nullopt);
    EXPECT_THAT(own,
                HasSubstr("holds shard 1/3 of a run. Go on with it by --shard 1/3 --out " + whole.string()));
    EXPECT_EQ(refusal_of(whole / "shard-1", Shard{.index = 0, .count = 3}), own);
    begin(place / "plain", std::nullopt);
    EXPECT_THAT(refusal_of(place / "plain", Shard{.index = 1, .count = 3}),
                HasSubstr("holds a run that is not sharded. Leave out --shard"));
    expect_sharding(place / "plain", std::nullopt);
    begin(whole / "shard-2", std::nullopt);
    EXPECT_THAT(refusal_of(whole, Shard{.index = 2, .count = 3}), HasSubstr("holds a run that is no shard"));
}

TEST_F(ShardFolders, ShardsThatDoNotBelongTogetherAreNamed) {
    begin_shard(0, 3);
    begin_shard(1, 4);
    EXPECT_THAT(refusal([&] { find_shards(whole); }), HasSubstr("shards of different numbers"));
    fs::rename(whole / "shard-1", whole / "shard-5");
    EXPECT_THAT(refusal([&] { find_shards(whole); }), HasSubstr("holds shard 1/4 of a run. Name it shard-1"));
    write_file_atomically(whole / "shard-5/shard", "six\n");
    EXPECT_THAT(refusal([&] { find_shards(whole); }), HasSubstr("does not say which shard"));
}

TEST_F(ShardFolders, StatusCountsTheTrialsOfAShardAndThoseOfTheOthers) {
    begin_shard(1, 3, true);
    const RunStatus status = read_status(shard_folder(whole, 1));
    const auto tables = testing::sample_tables();
    std::set<Id128> trials;
    for (const auto& row : tables.rows) trials.insert(row.trial_id);
    ASSERT_EQ(status.planned_by_shard.size(), 3U);
    EXPECT_EQ(status.planned_by_shard[0] + status.planned_by_shard[1] + status.planned_by_shard[2],
              trials.size());
    EXPECT_EQ(status.planned, status.planned_by_shard[1]);
    EXPECT_GT(status.planned, 0U);
    EXPECT_EQ(status.done, status.planned);
    EXPECT_EQ(status.open(), 0U);
    begin(place / "plain", std::nullopt);
    EXPECT_EQ(read_status(RunFolder(place / "plain")).planned, trials.size());
    EXPECT_THAT(read_status(RunFolder(place / "plain")).planned_by_shard, IsEmpty());
}

}  // namespace
}  // namespace memcap::store
