// What a batch leaves in memory between forward and backward pass, against the families' own count.
#include <ATen/ATen.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "memcap/models/registry.hpp"
#include "support/held_bytes.hpp"

namespace memcap::models {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = MEMCAP_TEST_SOURCE_DIR;

/// Bytes that a forward pass over so many slots holds, its result included.
std::int64_t held_after_forward(const CausalLM& model, std::int64_t slots) {
    constexpr std::int64_t kPositions = 16;
    const at::Tensor input =
        at::randn({slots * kPositions, model.description().memory_width}).requires_grad_(true);
    const auto segments = nn::Segments::uniform(slots, kPositions, at::kCPU);
    // Tables that grow on demand are made before anything is counted.
    model.hidden(input, segments);
    const auto counter = std::make_shared<test::HeldBytes>();
    const c10::DebugInfoGuard counting(c10::DebugInfoKind::PROFILER_STATE, counter);
    const at::Tensor hidden = model.hidden(input, segments);
    return counter->held();
}

TEST(KeptMemory, OfARowIsWhatEachFamilySays) {
    int models = 0;
    for (const auto& entry : fs::directory_iterator(kSource / "tests" / "golden")) {
        const fs::path folder = entry.path() / "model";
        if (!fs::exists(folder / "config.json")) continue;
        const auto model = load(folder, Precision::float32, at::kCPU);
        const Description& about = model->description();
        const std::int64_t result_floats = about.head_parameters / about.vocabulary_size;
        // Numbers of rows that products take as they are.
        const double slope =
            static_cast<double>(held_after_forward(*model, 18) - held_after_forward(*model, 9)) / (9 * 16) /
            4;
        // Allocations are rounded up to nothing here: each is counted as asked for.
        EXPECT_DOUBLE_EQ(slope, static_cast<double>(about.kept_floats + result_floats)) << folder;
        ++models;
    }
    EXPECT_GE(models, 36);
}

}  // namespace
}  // namespace memcap::models
