// The fuzz targets' seed corpus in an ordinary build: good files are read, bad ones refused in order.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "fuzz/readers.hpp"
#include "memcap/base/files.hpp"

namespace memcap::fuzz {
namespace {

namespace fs = std::filesystem;

using Reader = std::function<Outcome(std::span<const std::byte>)>;

const std::map<std::string, Reader>& readers() {
    static const std::map<std::string, Reader> all{
        {"safetensors_header", read_weights}, {"model_config", read_config}, {"shard_index", read_index}};
    return all;
}

std::vector<fs::path> seeds_of(const std::string& target) {
    std::vector<fs::path> files;
    for (const auto& entry :
         fs::directory_iterator(fs::path(MEMCAP_TEST_SOURCE_DIR) / "tests/fuzz/seeds" / target))
        files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
}

class Seeds : public ::testing::TestWithParam<std::string> {};

TEST_P(Seeds, AreReadWhereGoodAndRefusedWhereBad) {
    int good = 0;
    int bad = 0;
    for (const fs::path& seed : seeds_of(GetParam())) {
        const bool expected = seed.filename().string().starts_with("good-");
        ++(expected ? good : bad);
        const Outcome outcome = readers().at(GetParam())(as_bytes(read_text_file(seed)));
        EXPECT_EQ(outcome == Outcome::read, expected) << seed;
    }
    EXPECT_GE(good, 2);
    EXPECT_GE(bad, 8);
}

TEST_P(Seeds, CutOrChangedInOneByteAreReadOrRefusedButNoFault) {
    const Reader& reader = readers().at(GetParam());
    for (const fs::path& seed : seeds_of(GetParam())) {
        const std::string whole = read_text_file(seed);
        for (std::size_t i = 0; i < whole.size(); ++i) {
            // A copy that ends where the input ends, so that a sanitizer sees a byte read behind it.
            const std::string cut(whole, 0, i);
            EXPECT_NO_THROW(reader(as_bytes(cut))) << seed << " cut to " << i;
            for (const char other : {'\0', '"', '9', '[', '\xff'}) {
                std::string changed = whole;
                changed[i] = other;
                EXPECT_NO_THROW(reader(as_bytes(changed))) << seed << " changed at " << i;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Targets, Seeds,
                         ::testing::Values("safetensors_header", "model_config", "shard_index"),
                         [](const auto& target) { return target.param; });

}  // namespace
}  // namespace memcap::fuzz
