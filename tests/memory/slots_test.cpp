// Trials side by side: the same results as alone, whoever the neighbours are and whenever they enter.
#include "memcap/memory/slots.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "memcap/base/random.hpp"
#include "memcap/memory/evaluation.hpp"
#include "memcap/models/registry.hpp"
#include "support/golden_case.hpp"

namespace memcap::memory {
namespace {

constexpr double kSameLoss = 1e-5;  // relative, over the first 50 evaluations
constexpr std::size_t kComparedEvaluations = 50;

class Slots : public ::testing::Test {
  protected:
    static std::unique_ptr<models::CausalLM> load_model() {
        return models::load(test::source_folder() / "tests/golden/llama-plain/model", Precision::float32,
                            at::kCPU);
    }

    /// Trial number `index` of a family that differs in N, K, prefix, seed, protocol.
    static plan::Trial trial(std::uint64_t index) {
        const std::int64_t vocabulary = model_->description().vocabulary_size;
        RandomStream stream({7, index});
        plan::Trial trial;
        trial.id = {1, index};
        trial.seed = index;
        trial.memory_vectors = 1 + static_cast<std::int32_t>(stream.below(4));
        const auto draw = [&](std::size_t count) {
            std::vector<std::int32_t> tokens(count);
            for (auto& token : tokens)
                token = static_cast<std::int32_t>(stream.below(static_cast<std::uint64_t>(vocabulary)));
            return tokens;
        };
        trial.text = draw(4 + stream.below(16));
        trial.prefix = draw(index % 3 == 0 ? stream.below(6) : 0);
        trial.protocol.learning_rate = index % 2 == 0 ? 0.01 : 0.02;
        trial.protocol.max_steps = 60 + static_cast<std::int32_t>(index);
        trial.protocol.patience = index % 4 == 0 ? 25 : 1000;
        trial.protocol.schedule = index % 5 == 0 ? Schedule::cosine : Schedule::constant;
        trial.protocol.target = index % 7 == 0 ? Target::all : Target::after_first;
        return trial;
    }

    static SlotsOptions options(std::int32_t slots) {
        return {.slots = slots, .position_budget = 0, .keep_vectors = true, .curve_every = 1};
    }

    static record::TrialRecord alone(const plan::Trial& trial) {
        SlotsEngine engine(*model_, options(1));
        engine.enter(trial);
        std::vector<record::TrialRecord> ended;
        while (ended.empty()) ended = engine.step();
        return ended[0];
    }

    /// Runs all trials in `slots` slots; a new one enters as soon as there is room, but not before step
    /// `start[i]`.
    static std::map<Id128, record::TrialRecord> together(const std::vector<plan::Trial>& trials,
                                                         std::int32_t slots, const std::vector<int>& start) {
        SlotsEngine engine(*model_, options(slots));
        std::map<Id128, record::TrialRecord> records;
        std::size_t next = 0;
        for (int step = 0; records.size() < trials.size(); ++step) {
            while (next < trials.size() && start[next] <= step && engine.has_room(trials[next].positions())) {
                engine.enter(trials[next++]);
            }
            for (auto& record : engine.step()) records.emplace(record.trial_id, std::move(record));
        }
        return records;
    }

    static void expect_same(const record::TrialRecord& a, const record::TrialRecord& b) {
        ASSERT_EQ(a.status, b.status);
        const std::size_t compared =
            std::min({kComparedEvaluations, a.curve.loss_nats.size(), b.curve.loss_nats.size()});
        ASSERT_GE(compared, std::min<std::size_t>(kComparedEvaluations, 2));
        for (std::size_t i = 0; i < compared; ++i) {
            EXPECT_NEAR(a.curve.loss_nats[i], b.curve.loss_nats[i],
                        kSameLoss * std::max(1.0F, a.curve.loss_nats[i]))
                << "evaluation " << i + 1;
        }
        EXPECT_DOUBLE_EQ(a.loss_nomem_nats, b.loss_nomem_nats);
        EXPECT_DOUBLE_EQ(a.accuracy_nomem, b.accuracy_nomem);
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
    const auto records = together(trials, 16, start);
    for (const auto& each : trials) {
        SCOPED_TRACE(each.id.hex());
        expect_same(records.at(each.id), alone(each));
    }
}

TEST_F(Slots, FewSlotsThatAreUsedAgainGiveTheSameTrials) {
    std::vector<plan::Trial> trials;
    for (std::uint64_t i = 0; i < 12; ++i) trials.push_back(trial(i));
    const auto records = together(trials, 3, std::vector<int>(trials.size(), 0));
    for (const auto& each : trials) {
        SCOPED_TRACE(each.id.hex());
        expect_same(records.at(each.id), alone(each));
    }
}

TEST_F(Slots, SameShapesGiveTheSameBits) {
    const auto once = alone(trial(1));
    const auto again = alone(trial(1));
    EXPECT_EQ(once.vector, again.vector);
    EXPECT_EQ(once.curve.loss_nats, again.curve.loss_nats);
    EXPECT_EQ(once.best_evaluation, again.best_evaluation);
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
    double largest = 0;
    for (std::size_t i = 0; i < kComparedEvaluations; ++i) {
        largest = std::max(
            largest, std::abs(static_cast<double>(ended[0].curve.loss_nats[i]) - clean.curve.loss_nats[i]));
    }
    EXPECT_GT(largest, 100 * kSameLoss);
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
        EXPECT_NEAR(now.loss_nats, record.loss_nats, kSameLoss * std::max(1.0, record.loss_nats));
        EXPECT_EQ(now.correct_tokens, record.correct_tokens);
        EXPECT_EQ(record.exact, record.correct_tokens == record.scored_tokens);
        EXPECT_DOUBLE_EQ(record.accuracy, static_cast<double>(record.correct_tokens) / record.scored_tokens);
        EXPECT_LE(record.loss_min_nats, record.loss_nats);
        EXPECT_EQ(record.vector.size(),
                  static_cast<std::size_t>(each.memory_vectors * model_->description().memory_width));
    }
}

TEST_F(Slots, LossThatIsNotFiniteFailsTheTrialAndSparesItsNeighbours) {
    auto broken = trial(2);
    broken.protocol.learning_rate = 1e38;
    SlotsEngine engine(*model_, options(2));
    engine.enter(broken);
    engine.enter(trial(3));
    std::map<Id128, record::TrialRecord> records;
    while (records.size() < 2) {
        for (auto& record : engine.step()) records.emplace(record.trial_id, std::move(record));
    }
    EXPECT_EQ(records.at(broken.id).status, record::TrialStatus::failed);
    EXPECT_EQ(records.at(broken.id).failure.category, record::FailureCategory::permanent);
    EXPECT_NE(records.at(broken.id).failure.message.find("not finite"), std::string::npos);
    expect_same(records.at(trial(3).id), alone(trial(3)));
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
