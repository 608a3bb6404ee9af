// What nodes of a launch may not differ in, by hand-made answers and folders.
#include "app/handshake.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <thread>

namespace memcap::app {
namespace {

namespace fs = std::filesystem;

TEST(Builds, OfOneKindGoTogether) {
    EXPECT_FALSE(different_builds({"n1", "n1", "n2"}, {own_build(), own_build(), own_build()}));
}

TEST(Builds, ThatDifferAreNamedWithTheirNodes) {
    const auto problem = different_builds({"n1", "n2", "n2", "n3"}, {"old", "new", "new", "old"});
    ASSERT_TRUE(problem);
    EXPECT_NE(problem->why.find("old on n1, n3"), std::string::npos) << problem->why;
    EXPECT_NE(problem->why.find("new on n2"), std::string::npos) << problem->why;
    EXPECT_FALSE(problem->advice.empty());
}

TEST(Builds, OnManyNodesMakeAShortMessage) {
    std::vector<std::string> nodes;
    std::vector<std::string> builds;
    for (int i = 0; i < 1000; ++i) {
        nodes.push_back("n" + std::to_string(i));
        builds.emplace_back(i == 500 ? "new" : "old");
    }
    const auto problem = different_builds(nodes, builds);
    ASSERT_TRUE(problem);
    EXPECT_NE(problem->why.find("new on n500"), std::string::npos) << problem->why;
    EXPECT_NE(problem->why.find("and 991 more"), std::string::npos) << problem->why;
}

TEST(Clocks, WithinAMinuteAreFine) {
    EXPECT_EQ(different_clocks({"n1", "n2", "n3"}, {1e9, 1e9 + 30.0, 1e9 - 29.0}), "");
}

TEST(Clocks, OfOtherNodesAreNamedWithTheirDifference) {
    const std::string warning = different_clocks({"n1", "n2", "n3"}, {1e9, 1e9 + 75.2, 1e9 + 1.0});
    EXPECT_NE(warning.find("that of n1"), std::string::npos) << warning;
    EXPECT_NE(warning.find("n2 +75 s"), std::string::npos) << warning;
    EXPECT_EQ(warning.find("n3"), std::string::npos) << warning;
}

TEST(Clocks, AreComparedWithEachOtherToo) {
    const std::string warning = different_clocks({"n1", "n2", "n3"}, {1e9, 1e9 + 40.0, 1e9 - 40.0});
    EXPECT_NE(warning.find("n2 +40 s"), std::string::npos) << warning;
    EXPECT_NE(warning.find("n3 -40 s"), std::string::npos) << warning;
}

class Token : public ::testing::Test {
  protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "memcap-token-XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        folder = name;
    }
    void TearDown() override { fs::remove_all(folder); }
    fs::path folder;
};

TEST_F(Token, LiesInTheFolderAndIsGoneAfterwards) {
    {
        const FolderToken token(folder);
        EXPECT_EQ(token.path().parent_path(), folder);
        EXPECT_TRUE(comes_into_sight(token.path(), 0.0));
    }
    EXPECT_TRUE(fs::is_empty(folder));
}

TEST_F(Token, LiesInTheNearestFolderThatIsThere) {
    const FolderToken token(folder / "runs" / "new");
    EXPECT_EQ(token.path().parent_path(), folder);
    EXPECT_FALSE(fs::exists(folder / "runs")) << "looking makes no folders";
}

TEST_F(Token, IsNoneWhereNothingCanBeWritten) {
    EXPECT_TRUE(FolderToken("/proc/run").path().empty());
}

TEST_F(Token, IsMissedAfterAWhile) {
    EXPECT_FALSE(comes_into_sight(folder / "none", 0.0));
}

TEST_F(Token, MayComeLate) {
    const fs::path late = folder / "late";
    bool seen = false;
    std::thread looker([&] { seen = comes_into_sight(late, 60.0); });
    std::ofstream{late};
    looker.join();
    EXPECT_TRUE(seen);
}

}  // namespace
}  // namespace memcap::app
