// The newest checkpoint of each trial comes back: from this process, another one, or damaged files.
#include "memcap/store/journal/checkpoints.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>

#include "memcap/store/journal/run_state.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::store {
namespace {

Bytes state(const std::string& text, std::size_t repeats = 1) {
    std::string all;
    for (std::size_t i = 0; i < repeats; ++i) all += text;
    const auto* bytes = reinterpret_cast<const std::byte*>(all.data());
    return Bytes(bytes, bytes + all.size());
}

bool all(const Id128&) {
    return true;
}

std::uintmax_t bytes_in(const std::filesystem::path& folder) {
    std::uintmax_t total = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) total += entry.file_size();
    return total;
}

constexpr Id128 kOne{1, 1};
constexpr Id128 kTwo{2, 2};

TEST(Checkpoints, TheNewestOfATrialCounts) {
    const test::TemporaryFolder folder;
    auto checkpoints = Checkpoints::open(folder.path(), all);
    EXPECT_FALSE(checkpoints.get(kOne).has_value());
    checkpoints.put(kOne, state("early"));
    checkpoints.put(kTwo, state("other"));
    checkpoints.put(kOne, state("late"));
    EXPECT_EQ(checkpoints.get(kOne), state("late"));
    EXPECT_EQ(checkpoints.get(kTwo), state("other"));
    checkpoints.sync();
    const auto again = Checkpoints::open(folder.path(), all);
    EXPECT_EQ(again.get(kOne), state("late"));
    EXPECT_EQ(again.get(kTwo), state("other"));
}

TEST(Checkpoints, OfALaterLaunchReplaceThoseOfAnEarlierOne) {
    const test::TemporaryFolder folder;
    {
        auto first = Checkpoints::open(folder.path(), all);
        first.put(kOne, state("first launch"));
        first.put(kTwo, state("first launch, too"));
        first.close();
    }
    {
        auto second = Checkpoints::open(folder.path(), all);
        second.put(kOne, state("second launch"));
        second.close();
    }
    const auto third = Checkpoints::open(folder.path(), all);
    EXPECT_EQ(third.get(kOne), state("second launch"));
    EXPECT_EQ(third.get(kTwo), state("first launch, too"));
}

TEST(Checkpoints, OfTrialsThatHaveEndedAreGone) {
    const test::TemporaryFolder folder;
    {
        auto checkpoints = Checkpoints::open(folder.path(), all);
        checkpoints.put(kOne, state("one"));
        checkpoints.put(kTwo, state("two"));
        checkpoints.drop(kOne);
        EXPECT_FALSE(checkpoints.get(kOne).has_value());
        checkpoints.close();
    }
    {
        // The drop was not written down: whoever opens knows which trials have ended.
        auto again = Checkpoints::open(folder.path(), [](const Id128& trial) { return trial != kOne; });
        EXPECT_EQ(again.size(), 1U);
        EXPECT_FALSE(again.get(kOne).has_value());
        again.drop(kTwo);
        again.close();
    }
    EXPECT_EQ(bytes_in(folder.path()), 0U) << "nothing is left, but files are";
}

TEST(Checkpoints, TakeNoMoreThanTwiceTheRoomOfWhatCounts) {
    const test::TemporaryFolder folder;
    const std::size_t million = 1'000'000;
    auto checkpoints = Checkpoints::open(folder.path(), all);
    checkpoints.put(kTwo, state("y", million));
    for (int round = 0; round < 300; ++round)
        checkpoints.put(kOne, state(std::string(1, static_cast<char>('a' + round % 26)), million));
    EXPECT_LT(bytes_in(folder.path()), 80 * million);
    EXPECT_EQ(checkpoints.get(kTwo), state("y", million));
    EXPECT_EQ(checkpoints.get(kOne), state(std::string(1, static_cast<char>('a' + 299 % 26)), million));
    checkpoints.close();
    const auto again = Checkpoints::open(folder.path(), all);
    EXPECT_EQ(again.get(kTwo), state("y", million));
}

TEST(Checkpoints, CutAnywhereGiveAnOlderStateOrNone) {
    const test::TemporaryFolder folder;
    auto checkpoints = Checkpoints::open(folder.path(), all);
    checkpoints.put(kOne, state("early"));
    checkpoints.put(kOne, state("late"));
    checkpoints.sync();
    const auto file = folder / "000001.log";
    std::string whole;
    {
        std::ifstream in(file, std::ios::binary);
        whole.assign(std::istreambuf_iterator<char>(in), {});
    }
    std::set<std::string> seen;
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        std::ofstream(file, std::ios::binary | std::ios::trunc) << whole.substr(0, size);
        const auto found = Checkpoints::open(folder.path(), all).get(kOne);
        seen.insert(found ? std::string(reinterpret_cast<const char*>(found->data()), found->size())
                          : "none");
    }
    EXPECT_EQ(seen, (std::set<std::string>{"none", "early", "late"}));
}

TEST(Checkpoints, WithADamagedByteAreNotTaken) {
    const test::TemporaryFolder folder;
    {
        auto checkpoints = Checkpoints::open(folder.path(), all);
        checkpoints.put(kOne, state("early"));
        checkpoints.put(kOne, state("late"));
        checkpoints.close();
    }
    std::fstream file(folder / "000001.log", std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(-1, std::ios::end);
    file.put('E');
    file.close();
    EXPECT_EQ(Checkpoints::open(folder.path(), all).get(kOne), state("early"));
}

}  // namespace
}  // namespace memcap::store
