// Model folders as versions of transformers wrote them (tests/golden/written_by.py), with all that their
// configurations hold: what memcap makes of them against the loss that the writer computed.
#include <gtest/gtest.h>

#include <algorithm>

#include "memcap/memory/evaluation.hpp"
#include "memcap/memory/objective.hpp"
#include "memcap/models/registry.hpp"
#include "support/golden_case.hpp"

namespace memcap::memory {
namespace {

namespace fs = std::filesystem;
using test::json;

fs::path written_folder() {
    return test::source_folder() / "tests" / "golden" / "written";
}

std::vector<std::string> written_names() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(written_folder()))
        names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

class WrittenBy : public ::testing::TestWithParam<std::string> {
  protected:
    fs::path folder() const { return written_folder() / GetParam(); }
};

TEST_P(WrittenBy, IsReadWithTheWritersLoss) {
    const auto model = models::load(folder(), Precision::float32, at::kCPU);
    const json expected = json::parse(read_text_file(folder() / "expected.json"));
    const auto tokens = expected["tokens"].get<std::vector<std::int32_t>>();
    const auto found = evaluate(*model, objective_without_memory({}, tokens), {});
    EXPECT_NEAR(found.loss_nats, expected["loss_nomem_nats"].get<double>(), 1e-5);
}

TEST_P(WrittenBy, HoldsNoKeyThatMeansNothing) {
    EXPECT_EQ(models::describe(folder()).ignored_config_keys, std::vector<std::string>{});
}

std::string written_test_name(const ::testing::TestParamInfo<std::string>& info) {
    std::string name = info.param;
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '-' || c == '.'; }, '_');
    return name;
}

INSTANTIATE_TEST_SUITE_P(Folders, WrittenBy, ::testing::ValuesIn(written_names()), written_test_name);

}  // namespace
}  // namespace memcap::memory
