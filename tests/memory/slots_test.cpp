// Trials side by side: the same results as alone, whoever the neighbours are and whenever they enter.
#include "memcap/memory/slots.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "memcap/hub/model_config.hpp"
#include "memcap/memory/evaluation.hpp"
#include "memcap/models/registry.hpp"
#include "memory/mixed_trials.hpp"
#include "memory/small_device.hpp"
#include "support/golden_case.hpp"

namespace memcap::memory {
namespace {

using test::expect_consistent;
using test::expect_same;
using test::options;
using test::SmallDevice;

class Slots : public ::testing::Test {
  protected:
    static std::unique_ptr<models::CausalLM> load_model() {
        return models::load(test::source_folder() / "tests/golden/llama-plain/model", Precision::float32,
                            at::kCPU);
    }

    static plan::Trial trial(std::uint64_t index) {
        return test::mixed_trial(model_->description().vocabulary_size, index);
    }

    static record::TrialRecord alone(const plan::Trial& trial) { return test::alone(*model_, trial); }

    static std::map<Id128, record::TrialRecord> together(const std::vector<plan::Trial>& trials,
                                                         SlotsOptions options, const std::vector<int>& start,
                                                         const models::CausalLM& model = *model_) {
        return test::together(trials, options, start, model);
    }

    inline static const std::unique_ptr<models::CausalLM> model_ = load_model();
};

TEST_F(Slots, TrialAmongFifteenOthersIsTheTrialAlone) {
    std::vector<plan::Trial> trials;
    std::vector<int> start;
    for (std::uint64_t i = 0; i < 16; ++i) {
        trials.push_back(trial(i));
        start.push_back(static_cast<int>(i) * 3);
    }
    const auto records = together(trials, options(16), start);
    for (const auto& each : trials) {
        SCOPED_TRACE(each.id.hex());
        expect_same(records.at(each.id), alone(each));
        expect_consistent(*model_, each, records.at(each.id));
    }
}

TEST_F(Slots, FewSlotsThatAreUsedAgainGiveTheSameTrials) {
    std::vector<plan::Trial> trials;
    for (std::uint64_t i = 0; i < 12; ++i) trials.push_back(trial(i));
    const auto records = together(trials, options(3), std::vector<int>(trials.size(), 0));
    for (const auto& each : trials) {
        SCOPED_TRACE(each.id.hex());
        expect_same(records.at(each.id), alone(each));
        expect_consistent(*model_, each, records.at(each.id));
    }
}

TEST_F(Slots, BucketsOfOneShapeGiveTheSameTrials) {
    std::vector<plan::Trial> trials;
    std::vector<int> start;
    for (std::uint64_t i = 0; i < 16; ++i) {
        trials.push_back(trial(i));
        start.push_back(static_cast<int>(i) * 2);
    }
    const auto records = together(trials, options(6, RowLayout::fixed, 120), start);
    for (const auto& each : trials) {
        SCOPED_TRACE(each.id.hex());
        expect_same(records.at(each.id), alone(each));
        expect_consistent(*model_, each, records.at(each.id));
    }
}

TEST_F(Slots, ExactRowsWasteNothingAndBucketsATenthAtMost) {
    for (const std::size_t length : {2U, 9U, 10U, 19U, 21U, 33U, 60U}) {
        auto each = trial(1);
        each.prefix.clear();
        each.text = std::vector<std::int32_t>(length, 3);
        for (const auto layout : {RowLayout::exact, RowLayout::fixed}) {
            const SmallDevice counted(*model_, 100000);
            SlotsEngine engine(counted, options(1, layout));
            SlotState state;
            state.memory = initial_memory(each, model_->description().memory_width, model_->embedding_std());
            state.first_moment.assign(state.memory.size(), 0.0F);
            state.second_moment.assign(state.memory.size(), 0.0F);
            engine.enter(each, state);
            engine.step();
            const auto useful = static_cast<std::int64_t>(each.positions());
            if (layout == RowLayout::exact) {
                EXPECT_EQ(counted.largest_rows(), useful);
            } else {
                EXPECT_GE(counted.largest_rows(), useful);
                EXPECT_LE(static_cast<double>(counted.largest_rows() - useful),
                          0.1 * static_cast<double>(useful));
            }
        }
    }
}

TEST_F(Slots, AMixedSweepIsPackedWithATenthOfWasteAtMost) {
    // A grid as sweeps have it: eight trials of each of six shapes, which end one by one.
    std::vector<plan::Trial> trials;
    for (std::uint64_t i = 0; i < 48; ++i) {
        auto each = trial(1);
        each.id = {3, i};
        each.text.assign(std::array{60U, 42U, 24U}[i / 16], static_cast<std::int32_t>(i));
        each.memory_vectors = i / 8 % 2 == 0 ? 1 : 4;
        each.protocol.max_steps = 60 + static_cast<std::int32_t>(i * 13 % 48);
        each.protocol.patience = 1000;
        each.protocol.stop_accuracy = 2.0;
        trials.push_back(std::move(each));
    }
    for (const auto layout : {RowLayout::exact, RowLayout::fixed}) {
        for (const std::int32_t slots : {10, 48}) {
            const SmallDevice counted(*model_, 100000);
            const auto records =
                together(trials, options(slots, layout, 600), std::vector<int>(trials.size(), 0), counted);
            double useful = 0;
            double without_memory = 0;
            for (const auto& each : trials) {
                useful += static_cast<double>(records.at(each.id).evaluations) * each.positions();
                without_memory += static_cast<double>(each.text.size());
            }
            const double computed = static_cast<double>(counted.computed_rows()) - without_memory;
            const double waste = 1.0 - useful / computed;
            RecordProperty("waste", std::to_string(waste));
            EXPECT_LE(waste, layout == RowLayout::exact ? 1e-3 : 0.1) << slots << " slots";
        }
    }
}

TEST_F(Slots, RareLooksChangeNoTrialAndKeepThePointsThatWereAskedFor) {
    std::vector<plan::Trial> trials;
    for (std::uint64_t i = 0; i < 12; ++i) trials.push_back(trial(i));
    for (const auto layout : {RowLayout::exact, RowLayout::fixed}) {
        auto rare = options(5, layout);
        rare.look_every = 16;
        rare.curve_every = 10;
        const auto records = together(trials, rare, std::vector<int>(trials.size(), 0));
        for (const auto& each : trials) {
            SCOPED_TRACE(each.id.hex());
            const auto& record = records.at(each.id);
            const auto whole = alone(each);
            const auto& kept = record.curve.evaluation;
            for (std::size_t i = 0; i < kept.size(); ++i) {
                const bool is_last = i + 1 == kept.size();
                EXPECT_EQ(kept[i], is_last ? record.evaluations : static_cast<std::int32_t>(10 * i + 1));
                EXPECT_EQ(record.curve.loss_nats[i],
                          whole.curve.loss_nats[static_cast<std::size_t>(kept[i] - 1)]);
            }
            EXPECT_EQ(record.evaluations, whole.evaluations);
            EXPECT_EQ(record.best_evaluation, whole.best_evaluation);
            EXPECT_EQ(record.vector, whole.vector);
        }
    }
}

// The mean over the text divides each gradient by its length: most of what is left of those of a long text is
// below the smallest number of float16.
TEST_F(Slots, GradientsOfALongTextDoNotVanishInFloat16) {
    const auto config = hub::ModelConfig::parse("config.json", R"({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "vocab_size": 2048, "max_position_embeddings": 4096})");
    const auto first_gradient = [&config](Precision precision) {
        const auto model = models::make_random(config, precision, at::kCPU);
        auto longest = trial(1);
        longest.prefix.clear();
        longest.memory_vectors = 1;
        longest.text.resize(4096);
        for (std::size_t i = 0; i < longest.text.size(); ++i)
            longest.text[i] = static_cast<std::int32_t>(i * i % 2048);
        SlotsEngine engine(*model, options(1));
        engine.enter(longest);
        engine.step();
        return engine.export_state(longest.id).first_moment;
    };
    const auto in_float32 = first_gradient(Precision::float32);
    const auto in_float16 = first_gradient(Precision::float16);
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < in_float32.size(); ++i) {
        difference += std::pow(static_cast<double>(in_float16[i]) - in_float32[i], 2);
        size += std::pow(static_cast<double>(in_float32[i]), 2);
    }
    EXPECT_GT(size, 0.0);
    EXPECT_LT(std::sqrt(difference / size), 2e-3);
}

// The classic defect, planted: a trial that begins with the moments of another one must be told from a clean
// one.
TEST_F(Slots, StaleMomentsWouldBeSeen) {
    const auto clean = alone(trial(1));
    SlotState stale;
    stale.memory = initial_memory(trial(1), model_->description().memory_width, model_->embedding_std());
    stale.first_moment.assign(stale.memory.size(), 1e-3F);
    stale.second_moment.assign(stale.memory.size(), 1e-6F);
    SlotsEngine engine(*model_, options(1));
    engine.enter(trial(1), stale);
    std::vector<record::TrialRecord> ended;
    while (ended.empty()) ended = engine.step();
    EXPECT_NE(ended[0].curve.loss_nats[1], clean.curve.loss_nats[1]);
}

TEST_F(Slots, ExportedStateGoesOnElsewhereAsIfNothingHadHappened) {
    const auto whole = alone(trial(5));
    SlotsEngine first(*model_, options(2));
    first.enter(trial(5));
    first.enter(trial(6));
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(first.step().empty());
    const SlotState state = first.export_state(trial(5).id);
    EXPECT_EQ(state.evaluations, 20);
    SlotsEngine second(*model_, options(1));
    second.enter(trial(5), state);
    std::vector<record::TrialRecord> ended;
    while (ended.empty()) ended = second.step();
    expect_same(ended[0], whole);
    EXPECT_EQ(ended[0].curve.evaluation, whole.curve.evaluation);
}

TEST_F(Slots, StopsFollowTheProtocol) {
    auto limited = trial(1);
    limited.protocol.max_steps = 7;
    limited.protocol.patience = 1000;
    auto record = alone(limited);
    EXPECT_EQ(record.stop_reason, record::StopReason::max_steps);
    EXPECT_EQ(record.evaluations, 7);

    auto impatient = trial(1);
    impatient.protocol.learning_rate = 0.0;  // nothing ever improves: evaluation 1 stays the best
    impatient.protocol.patience = 5;
    record = alone(impatient);
    EXPECT_EQ(record.stop_reason, record::StopReason::patience);
    EXPECT_EQ(record.best_evaluation, 1);
    EXPECT_EQ(record.evaluations, 6);

    auto easy = trial(1);
    easy.protocol.stop_accuracy = 0.0;
    record = alone(easy);
    EXPECT_EQ(record.stop_reason, record::StopReason::solved);
    EXPECT_EQ(record.evaluations, 1);
}

TEST_F(Slots, RecordDescribesTheVectorThatItHolds) {
    for (std::uint64_t i = 0; i < 8; ++i) {
        const auto each = trial(i);
        const auto record = alone(each);
        const auto now = evaluate(*model_, objective_of(each), record.vector);
        EXPECT_DOUBLE_EQ(now.loss_nats, record.loss_nats);
        EXPECT_EQ(now.correct_tokens, record.correct_tokens);
        EXPECT_EQ(record.exact, record.correct_tokens == record.scored_tokens);
        EXPECT_DOUBLE_EQ(record.accuracy, static_cast<double>(record.correct_tokens) / record.scored_tokens);
        EXPECT_LE(record.loss_min_nats, record.loss_nats);
        EXPECT_EQ(record.vector.size(),
                  static_cast<std::size_t>(each.memory_vectors * model_->description().memory_width));
    }
}

TEST_F(Slots, LossThatIsNotFiniteFailsTheTrialAndSparesItsNeighboursAndFollowers) {
    for (const char* name : {"llama-plain", "mamba", "gpt-neox-parallel"}) {
        const auto model = models::load(test::source_folder() / "tests/golden" / name / "model",
                                        Precision::float32, at::kCPU);
        for (const auto layout : {RowLayout::exact, RowLayout::fixed}) {
            SCOPED_TRACE(name);
            std::vector<plan::Trial> trials;
            for (std::uint64_t i = 0; i < 5; ++i) {
                auto each = test::mixed_trial(model->description().vocabulary_size, 3);
                each.id = {4, i};
                each.seed = i;
                trials.push_back(std::move(each));
            }
            trials[1].protocol.learning_rate = 1e38;
            // In two slots all of one shape: the third trial follows the broken one into its slot.
            const auto records =
                together(trials, options(2, layout), std::vector<int>(trials.size(), 0), *model);
            const auto& broken = records.at(trials[1].id);
            EXPECT_EQ(broken.status, record::TrialStatus::failed);
            EXPECT_EQ(broken.failure.category, record::FailureCategory::permanent);
            EXPECT_NE(broken.failure.message.find("not finite"), std::string::npos);
            for (const std::size_t i : {0U, 2U, 3U, 4U}) {
                expect_same(records.at(trials[i].id), test::alone(*model, trials[i]));
                expect_consistent(*model, trials[i], records.at(trials[i].id));
            }
        }
    }
}

TEST_F(Slots, InitialMemoryHasTheSpreadOfTheEmbeddingsAndItsOwnStream) {
    auto wide = trial(1);
    wide.memory_vectors = 64;
    const auto memory = initial_memory(wide, 64, 0.5);
    const double mean =
        std::accumulate(memory.begin(), memory.end(), 0.0) / static_cast<double>(memory.size());
    double variance = 0;
    for (const float value : memory) variance += (value - mean) * (value - mean);
    variance /= static_cast<double>(memory.size() - 1);
    EXPECT_NEAR(mean, 0.0, 4 * 0.5 / 64);
    EXPECT_NEAR(std::sqrt(variance), 0.5, 0.02);
    EXPECT_EQ(memory, initial_memory(wide, 64, 0.5));
    wide.seed += 1;
    EXPECT_NE(memory, initial_memory(wide, 64, 0.5));
}

}  // namespace
}  // namespace memcap::memory
