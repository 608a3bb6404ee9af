// The build ID of this program against what is written in its file.
#include "memcap/base/build_id.hpp"

#include <gtest/gtest.h>

#include "memcap/base/files.hpp"

namespace memcap {
namespace {

TEST(BuildId, IsTheNoteInTheFile) {
    const std::string digits = build_id();
    ASSERT_FALSE(digits.empty()) << "the linker left none";
    std::string bytes;
    for (std::size_t i = 0; i < digits.size(); i += 2)
        bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    EXPECT_GE(bytes.size(), 16u);
    const std::string note = std::string("GNU") + '\0' + bytes;
    EXPECT_NE(read_text_file("/proc/self/exe").find(note), std::string::npos);
}

}  // namespace
}  // namespace memcap
