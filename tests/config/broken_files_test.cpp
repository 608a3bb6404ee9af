// Broken experiment files: each of tests/config/broken/*.yaml names in its first lines the messages it must
// give.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "memcap/base/files.hpp"
#include "memcap/config/load.hpp"

namespace memcap::config {
namespace {

const std::filesystem::path kFolder = std::filesystem::path(MEMCAP_TEST_SOURCE_DIR) / "tests/config/broken";

std::vector<std::filesystem::path> broken_files() {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
        if (entry.path().extension() == ".yaml") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
}

/// What the file's first lines ask for: options (`# set: `) and messages (`# expect: `).
struct Case {
    std::vector<std::string> overrides;
    std::vector<std::string> messages;
};

std::string with_folder(std::string text) {
    const std::string mark = "{FOLDER}";
    for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark)) {
        text.replace(at, mark.size(), kFolder.string());
    }
    return text;
}

Case read_case(const std::filesystem::path& file) {
    const std::string set = "# set: ";
    const std::string expect = "# expect: ";
    Case result;
    std::istringstream lines(read_text_file(file));
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(set)) result.overrides.push_back(line.substr(set.size()));
        if (!line.starts_with(expect)) continue;
        const std::string message = with_folder(line.substr(expect.size()));
        const bool is_placed = std::isdigit(static_cast<unsigned char>(message.front())) != 0;
        result.messages.push_back(is_placed ? file.string() + ":" + message : message);
    }
    return result;
}

std::string test_name(const testing::TestParamInfo<std::filesystem::path>& info) {
    std::string name = info.param.stem().string();
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

class BrokenFile : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(BrokenFile, GivesExactlyTheMessagesItNames) {
    const Case expected = read_case(GetParam());
    ASSERT_FALSE(expected.messages.empty());
    std::vector<std::string> messages;
    std::string what;
    try {
        load(GetParam(), expected.overrides);
    } catch (const ConfigError& error) {
        what = error.what();
        for (const Diagnostic& diagnostic : error.diagnostics()) messages.push_back(diagnostic.text());
    }
    EXPECT_THAT(messages, testing::ElementsAreArray(expected.messages));
    std::string joined;
    for (const std::string& message : expected.messages) joined += (joined.empty() ? "" : "\n") + message;
    EXPECT_EQ(what, joined);
}

INSTANTIATE_TEST_SUITE_P(Files, BrokenFile, testing::ValuesIn(broken_files()), test_name);

TEST(BrokenFiles, AreAtLeastForty) {
    EXPECT_GE(broken_files().size(), 40U);
}

}  // namespace
}  // namespace memcap::config
