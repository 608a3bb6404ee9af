// The executor where memory runs out: no trial is lost, none begins anew, and the shortage is remembered.
#include "app/trial_executor.hpp"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>

#include "memcap/hub/hash_cache.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/plan/codec.hpp"
#include "support/golden_case.hpp"
#include "support/limited_allocator.hpp"

namespace memcap::app {
namespace {

constexpr std::int32_t kLength = 60;

/// Hands out tasks of one affinity at a time, in order.
class Port final : public sched::WorkPort {
  public:
    explicit Port(const std::vector<plan::Trial>& trials) {
        for (const plan::Trial& trial : trials) {
            tasks_.push_back({.id = sched::TaskIndex(static_cast<std::uint32_t>(tasks_.size())),
                              .key = trial.id,
                              .affinity = static_cast<std::uint64_t>(trial.model),
                              .payload = plan::encode(trial)});
        }
    }
    std::vector<sched::LeasedTask> take(std::size_t most, double /*wait_s*/) override {
        before_take(++takes_);
        std::vector<sched::LeasedTask> taken;
        while (!tasks_.empty() && taken.size() < most &&
               (taken.empty() || taken.back().task.affinity == tasks_.front().affinity)) {
            taken.push_back({.task = std::move(tasks_.front())});
            tasks_.pop_front();
        }
        return taken;
    }
    void finish(sched::TaskResult result) override {
        const auto record = record::decode_record(result.payload);
        EXPECT_TRUE(records.emplace(record.trial_id, record).second) << "a second result";
        after_finish(records.size());
    }
    bool stop_requested() const noexcept override { return false; }
    bool closed() const noexcept override { return tasks_.empty(); }

    std::map<Id128, record::TrialRecord> records;
    std::function<void(int)> before_take = [](int) {};
    std::function<void(std::size_t)> after_finish = [](std::size_t) {};

  private:
    std::deque<sched::Task> tasks_;
    int takes_ = 0;
};

/// Three times `each` trials: of one model, of another, and again of the first.
std::vector<plan::Trial> trials_of_two_models(std::uint64_t each) {
    std::vector<plan::Trial> trials;
    for (std::uint64_t i = 0; i < 3 * each; ++i) {
        plan::Trial trial;
        trial.id = {8, i};
        trial.model = i / each == 1 ? 1 : 0;
        trial.seed = i;
        for (std::uint64_t token = 0; token < kLength; ++token)
            trial.text.push_back(static_cast<std::int32_t>((i + token * token) % 97));
        trial.protocol.max_steps = 8;
        trials.push_back(std::move(trial));
    }
    return trials;
}

ModelSource source_of(const std::filesystem::path& folder) {
    hub::HashCache hashes;
    return {folder.string(), hub::identify(folder, hashes)};
}

void run(Port& port) {
    const auto folder = test::source_folder() / "tests/golden";
    WorkerSetup setup;
    for (const char* name : {"llama-plain/model", "llama-biases/model"})
        setup.models.push_back(source_of(folder / name));
    setup.slots = 12;
    const auto exchange = mpi::make_local_exchange();
    TrialExecutor executor(setup, {.host = "here", .exchange = exchange.get()});
    executor.run(port);
}

TEST(MeasuredSlots, AreNoMoreThanTheShareOfMemoryHolds) {
    at::set_num_threads(1);
    const auto model =
        models::load(test::source_folder() / "tests/golden/llama-plain/model", Precision::float32, at::kCPU);
    constexpr std::int32_t kPositions = 20;
    EXPECT_GT(measured_slots_options({}, *model, kPositions).position_budget, 10 * kPositions);
    constexpr std::int32_t kAWholeTown = 1'000'000'000;
    EXPECT_EQ(measured_slots_options({}, *model, kPositions, kAWholeTown).position_budget, kPositions);
    WorkerSetup given;
    given.slots = 5;
    EXPECT_EQ(measured_slots_options(given, *model, kPositions, kAWholeTown).slots, 5);
}

TEST(TrialExecutor, AShortageOfMemoryCostsNoTrialAndIsRemembered) {
    at::set_num_threads(1);
    const auto trials = trials_of_two_models(12);
    Port with_plenty(trials);
    run(with_plenty);
    ASSERT_EQ(with_plenty.records.size(), trials.size());

    test::LimitedAllocator allocator;
    Port port(trials);
    int refused_by_first_model = 0;
    port.before_take = [&](int take) {
        // The model is there, the first trials run, and 12 are to come: a step of them has 720 rows of 97
        // logits.
        if (take == 2) allocator.limit(std::size_t{400} * 97 * sizeof(float));
    };
    port.after_finish = [&](std::size_t finished) {
        if (finished == 12) refused_by_first_model = allocator.refused();
        // What the other model needs is its own affair.
        if (finished == 12) allocator.lift_limit();
        if (finished == 24) allocator.limit(std::size_t{400} * 97 * sizeof(float));
    };
    run(port);
    allocator.lift_limit();
    EXPECT_EQ(refused_by_first_model, 1);
    EXPECT_EQ(allocator.refused(), 1) << "the first model's limit was forgotten";
    ASSERT_EQ(port.records.size(), trials.size());
    for (const plan::Trial& trial : trials) {
        SCOPED_TRACE(trial.id.hex());
        const auto& record = port.records.at(trial.id);
        const auto& expected = with_plenty.records.at(trial.id);
        EXPECT_EQ(record.status, record::TrialStatus::done) << record.failure.message;
        EXPECT_EQ(record.evaluations, 8);
        EXPECT_EQ(record.curve.evaluation, expected.curve.evaluation);
        EXPECT_NEAR(record.loss_nats, expected.loss_nats, 1e-4 * expected.loss_nats);
    }
}

TEST(TrialExecutor, ATrialThatNeverFitsFailsRetryablyAndTheOthersGoOn) {
    at::set_num_threads(1);
    auto trials = trials_of_two_models(4);
    // At most 115 rows of 97 logits, and it has 120.
    trials[1].text.resize(std::size_t{2} * kLength, 5);
    test::LimitedAllocator allocator;
    Port port(trials);
    port.before_take = [&](int take) {
        if (take == 2) allocator.limit(std::size_t{115} * 97 * sizeof(float));
    };
    port.after_finish = [&](std::size_t finished) {
        if (finished == 4) allocator.lift_limit();
    };
    run(port);
    ASSERT_EQ(port.records.size(), trials.size());
    for (const plan::Trial& trial : trials) {
        const auto& record = port.records.at(trial.id);
        const bool fits = trial.id != trials[1].id;
        EXPECT_EQ(record.status, fits ? record::TrialStatus::done : record::TrialStatus::failed)
            << record.failure.message;
        if (fits) continue;
        EXPECT_EQ(record.failure.category, record::FailureCategory::retryable);
        EXPECT_NE(record.failure.message.find("out of memory"), std::string::npos);
    }
}

}  // namespace
}  // namespace memcap::app
