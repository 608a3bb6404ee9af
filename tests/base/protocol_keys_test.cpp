// The table of protocol keys: nothing is lost on the way to bytes and back, and the documentation has it
// whole.
#include "memcap/base/protocol_keys.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <set>
#include <span>

#include "memcap/base/files.hpp"

namespace memcap {
namespace {

/// Each member has a value of its own that is not the default.
Protocol unusual() {
    return {.learning_rate = 0.5,
            .beta1 = 0.25,
            .beta2 = 0.75,
            .weight_decay = 0.125,
            .epsilon = 1e-6,
            .max_steps = 77,
            .patience = 33,
            .stop_accuracy = 0.875,
            .schedule = Schedule::linear,
            .warmup_steps = 11,
            .target = Target::all,
            .init_scale = 0.375,
            .rate_unit = RateUnit::embedding_std,
            .loss_temperature = 0.625};
}

Protocol sent(const Protocol& protocol) {
    ByteWriter writer;
    write(writer, protocol);
    ByteReader reader(writer.bytes());
    Protocol copy;
    read(reader, copy);
    reader.expect_end();
    return copy;
}

TEST(ProtocolKeys, CarryEachMemberOfAProtocol) {
    EXPECT_EQ(sent(Protocol{}), Protocol{});
    EXPECT_EQ(sent(unusual()), unusual());
}

TEST(ProtocolKeys, TellProtocolsApartByEachValue) {
    std::set<std::string_view> different;
    for (const ProtocolKey& key : protocol_keys()) {
        EXPECT_TRUE(is_equal(key, unusual(), unusual()));
        if (!is_equal(key, unusual(), Protocol{})) different.insert(key.name);
    }
    // Of these two there is one choice only, and of init a scale beside it.
    EXPECT_EQ(different.size() + 1, protocol_keys().size());
    EXPECT_FALSE(different.contains("optimiser"));
}

TEST(ProtocolKeys, RefuseBytesThatAreNoProtocol) {
    ByteWriter writer;
    write(writer, unusual());
    const Bytes whole = writer.bytes();
    for (std::size_t size = 0; size < whole.size(); ++size) {
        ByteReader reader{std::span<const std::byte>(whole).first(size)};
        Protocol copy;
        EXPECT_THROW(read(reader, copy), TransportError) << size;
    }
    for (const Protocol& wrong :
         {Protocol{.learning_rate = -1.0}, Protocol{.beta1 = 1.0}, Protocol{.max_steps = 0},
          Protocol{.warmup_steps = 5000}, Protocol{.schedule = static_cast<Schedule>(3)},
          Protocol{.stop_accuracy = std::numeric_limits<double>::quiet_NaN()}}) {
        EXPECT_THROW(sent(wrong), TransportError);
    }
}

TEST(ProtocolKeys, AreDescribedOnThePageOfTheExperimentFileAsTheyAre) {
    const auto page =
        read_text_file(std::filesystem::path(MEMCAP_TEST_SOURCE_DIR) / "docs/experiment-file.md");
    const Protocol paper;
    for (const ProtocolKey& key : protocol_keys()) {
        std::vector<std::string> values;
        for (const ProtocolField& field : key.fields) {
            for (const auto& text : texts_of(field, paper)) values.push_back(text);
        }
        const std::string value =
            values.size() == 1 ? values.front() : fmt::format("[{}]", fmt::join(values, ", "));
        const std::string row = fmt::format("| `{}` | `{}` | {} |\n", key.name, value, key.meaning);
        EXPECT_NE(page.find(row), std::string::npos) << "docs/experiment-file.md lacks the line\n" << row;
    }
}

}  // namespace
}  // namespace memcap
