// What a measurement takes and when it gives up, on models whose memory and time are known.
#include "app/engine_speed.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "app/preparation.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/models/shapes.hpp"
#include "memcap/plan/cost.hpp"
#include "support/golden_case.hpp"

namespace memcap::app {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// A model that tells of each forward pass before it makes it.
class WatchedModel final : public models::CausalLM {
  public:
    explicit WatchedModel(std::function<void(std::int64_t rows)> watch) : watch_(std::move(watch)) {}
    const models::Description& description() const override { return model_->description(); }
    at::Tensor embed(const at::Tensor& tokens) const override { return model_->embed(tokens); }
    std::vector<at::Tensor> row_parts(const at::Tensor& input_RE,
                                      const at::Tensor& position_R) const override {
        return model_->row_parts(input_RE, position_R);
    }
    at::Tensor hidden(const at::Tensor& input_RE, const std::vector<at::Tensor>& row_parts,
                      const nn::Segments& segments) const override {
        watch_(segments.rows());
        return model_->hidden(input_RE, row_parts, segments);
    }
    const nn::Head& head() const override { return model_->head(); }
    double embedding_std() const override { return model_->embedding_std(); }
    at::Device device() const override { return model_->device(); }

  private:
    const std::unique_ptr<models::CausalLM> model_ =
        models::load(test::source_folder() / "tests/golden/llama-plain/model", Precision::float32, at::kCPU);
    std::function<void(std::int64_t)> watch_;
};

/// A moment of steps.
Workload brief_workload() {
    Workload workload;
    workload.name = "llama-plain";
    workload.length = 8;
    workload.measured_s = 0.01;
    return workload;
}

WorkerSetup setup_with(std::int32_t slots) {
    WorkerSetup setup;
    setup.slots = slots;
    setup.curve_every = 0;
    return setup;
}

/// How a measurement ends on a device that has memory for so many rows.
std::string ending(std::int32_t slots, std::int64_t most_rows, plan::EngineSpeed& speed) {
    bool runs = false;
    const WatchedModel model([&](std::int64_t rows) {
        // What is evaluated before the first step takes little.
        runs = runs || rows >= 8;
        if (runs && rows > most_rows) throw std::bad_alloc();
    });
    try {
        within_memory("llama-plain",
                      [&] { speed = measure_engine(model, brief_workload(), setup_with(slots)); });
    } catch (const DeviceError& error) {
        return error.what();
    }
    return "measured";
}

TEST(MeasuredEngine, OfMoreSlotsThanMemoryHasRoomForIsAnErrorThatSaysWhatToDo) {
    plan::EngineSpeed speed;
    EXPECT_EQ(ending(4, 32, speed), "measured");
    EXPECT_EQ(speed.slots, 4);
    for (const auto& [slots, most_rows] :
         {std::pair{4, 31}, std::pair{4, 8}, std::pair{4, 7}, std::pair{1, 7}}) {
        EXPECT_THAT(ending(slots, most_rows, speed),
                    AllOf(HasSubstr("llama-plain"), HasSubstr("too little memory"), HasSubstr("--slots")));
    }
}

TEST(MeasuredEngine, OfTheOnlySlotThatFitsTellsAllButTheMemoryOfASlot) {
    plan::EngineSpeed speed;
    EXPECT_EQ(ending(1, 8, speed), "measured");
    EXPECT_EQ(speed.slots, 1);
    EXPECT_GT(speed.trial_steps, 0.0);
    EXPECT_EQ(speed.slot_bytes, 0.0);
    EXPECT_EQ(ending(1, 16, speed), "measured");
    EXPECT_GT(speed.slot_bytes, 0.0);
}

TEST(TimedTrial, OfMoreSlotsThanMemoryHasRoomForIsNoTime) {
    const WatchedModel model([](std::int64_t rows) {
        if (rows > 8) throw std::bad_alloc();
    });
    plan::Trial trial;
    trial.text.assign(8, 1);
    EXPECT_EQ(time_trial(model, trial, setup_with(1), 0.01).slots, 1);
    EXPECT_THROW(time_trial(model, trial, setup_with(2), 0.01), std::bad_alloc);
}

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
    const std::int64_t slot = plan::slot_bytes(facts_of(pythia), plan::shape_of(trial));
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
