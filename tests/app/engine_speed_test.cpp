// What a measurement takes and when it gives up, on models whose memory and time are known.
#include "app/engine_speed.hpp"

#include <gtest/gtest.h>

#include "app/preparation.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/models/shapes.hpp"
#include "memcap/plan/cost.hpp"

namespace memcap::app {
namespace {

TEST(NeededBytes, AreThoseOfTheWeightsAndTheSlots) {
    const plan::ValueWidths widths{.bfloat16_bytes = 2, .float16_bytes = 4};
    Workload workload;
    workload.precision = Precision::float16;
    workload.length = 100;
    workload.memory_vectors = 3;
    const auto pythia = models::describe(*models::shape_config("pythia-160m"));
    const std::int64_t weights = needed_bytes(pythia, workload, 0, widths);
    EXPECT_EQ(weights, 4 * pythia.parameters());
    plan::Trial trial;
    trial.text.resize(100);
    trial.memory_vectors = 3;
    const std::int64_t slot = plan::slot_bytes(facts_of(pythia), trial);
    EXPECT_EQ(needed_bytes(pythia, workload, 1, widths) - weights, slot);
    EXPECT_EQ(needed_bytes(pythia, workload, 65'536, widths) - weights, 65'536 * slot);
    // Its head is the embedding.
    workload.precision = Precision::bfloat16;
    const auto llama = models::describe(*models::shape_config("llama-3.2-1b"));
    EXPECT_TRUE(llama.tied_head);
    EXPECT_EQ(needed_bytes(llama, workload, 0, widths), 2 * llama.parameters());
}

}  // namespace
}  // namespace memcap::app
