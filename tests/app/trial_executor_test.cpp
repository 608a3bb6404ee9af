// The executor where memory runs out: no trial is lost, none begins anew, and the shortage is remembered.
#include "app/trial_executor.hpp"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include "app/lease_payload.hpp"
#include "memcap/hub/hash_cache.hpp"
#include "memcap/memory/slots.hpp"
#include "memcap/models/registry.hpp"
#include "support/golden_case.hpp"
#include "support/limited_allocator.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::app {
namespace {

namespace fs = std::filesystem;

constexpr std::int32_t kLength = 60;

/// Hands out tasks of one affinity at a time, in order.
class Port final : public sched::WorkPort {
  public:
    explicit Port(const std::vector<plan::Trial>& trials) {
        for (const plan::Trial& trial : trials) {
            tasks_.push_back({.id = sched::TaskIndex(static_cast<std::uint32_t>(tasks_.size())),
                              .key = trial.id,
                              .affinity = static_cast<std::uint64_t>(trial.model),
                              .payload = encode(LeasePayload{trial, {}})});
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
        if (result.failure) faults.insert(result.failure->category);
        after_finish(records.size());
    }
    void checkpoint(sched::TaskIndex task, Bytes state) override {
        checkpoints[task.value] = std::move(state);
    }
    void computed(std::uint64_t affinity, double flops, double seconds,
                  const sched::UnfinishedWork& unfinished) override {
        EXPECT_GT(seconds, 0.0);
        // What was computed now is part of what the running trials have had.
        EXPECT_GE(unfinished.work, flops);
        EXPECT_GT(unfinished.steps, 0U);
        work[affinity] += flops;
    }
    bool stop_requested() const noexcept override { return stopped; }
    bool closed() const noexcept override { return stopped || tasks_.empty(); }
    /// Tasks as they are leased after an interruption.
    void go_on_from(const std::map<std::uint32_t, Bytes>& states) {
        for (sched::Task& task : tasks_) {
            LeasePayload payload = decode_lease_payload(task.payload);
            if (const auto state = states.find(task.id.value); state != states.end())
                payload.checkpoint = state->second;
            task.payload = encode(payload);
        }
    }

    std::map<Id128, record::TrialRecord> records;
    std::set<sched::FailureCategory> faults;  ///< whose fault failures were
    std::map<std::uint32_t, Bytes> checkpoints;
    std::map<std::uint64_t, double> work;  ///< by affinity
    bool stopped = false;
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
    const auto exchange = weights::make_local_exchange();
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

TEST(TrialExecutor, GoesOnFromWhereAStopCheckpointedToTheSameBits) {
    at::set_num_threads(1);
    auto trials = trials_of_two_models(4);
    trials.erase(trials.begin() + 4, trials.end());
    // Some have ended before the stop, which comes in the middle of the others.
    for (std::size_t i = 0; i < trials.size(); ++i) trials[i].protocol.max_steps = i == 0 ? 3 : 40;
    Port undisturbed(trials);
    run(undisturbed);
    Port first(trials);
    first.after_finish = [&](std::size_t) { first.stopped = true; };
    run(first);
    ASSERT_EQ(first.records.size(), 1U);
    ASSERT_EQ(first.checkpoints.size(), 3U);
    Port second(std::vector(trials.begin() + 1, trials.end()));
    second.go_on_from(
        {{0, first.checkpoints.at(1)}, {1, first.checkpoints.at(2)}, {2, first.checkpoints.at(3)}});
    run(second);
    ASSERT_EQ(second.records.size(), 3U);
    for (const auto& [id, record] : second.records) {
        const record::TrialRecord& expected = undisturbed.records.at(id);
        EXPECT_EQ(record.evaluations, expected.evaluations);
        EXPECT_EQ(record.loss_nats, expected.loss_nats);
        EXPECT_EQ(record.vector, expected.vector);
        EXPECT_EQ(record.curve.loss_nats, expected.curve.loss_nats);
    }
    // What was computed before the stop is not computed again.
    EXPECT_NEAR(first.work.at(0) + second.work.at(0), undisturbed.work.at(0), 1e-6 * undisturbed.work.at(0));
    const auto state = std::span<const std::byte>(first.checkpoints.at(1)).subspan(sizeof(std::int32_t));
    EXPECT_EQ(memory::decode_slot_state(state).evaluations, 3);
}

TEST(TrialExecutor, StartsATrialAnewWhoseCheckpointCannotBeRead) {
    at::set_num_threads(1);
    auto trials = trials_of_two_models(1);
    trials.resize(1);
    Port undisturbed(trials);
    run(undisturbed);
    Port port(trials);
    port.go_on_from({{0, Bytes(5, std::byte{1})}});
    run(port);
    EXPECT_EQ(port.records.at(trials[0].id).loss_nats, undisturbed.records.at(trials[0].id).loss_nats);
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
    // At most 130 rows of 97 logits: the 128 that a product has at least fit, the scratch of attention over
    // 128 positions does not.
    trials[1].text.resize(128, 5);
    test::LimitedAllocator allocator;
    Port port(trials);
    port.before_take = [&](int take) {
        if (take == 2) allocator.limit(std::size_t{130} * 97 * sizeof(float));
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

/// A copy of a model that a test may damage.
class ReplacedModel : public ::testing::Test {
  protected:
    ReplacedModel() {
        at::set_num_threads(1);
        fs::copy(test::source_folder() / "tests/golden/llama-plain/model", folder.path(),
                 fs::copy_options::recursive | fs::copy_options::overwrite_existing);
        setup.models = {source_of(folder.path())};
        setup.slots = 2;
    }

    /// Other bytes, in the file itself: the last value of it becomes another one.
    void overwrite(char value) const {
        std::fstream(file, std::ios::in | std::ios::out | std::ios::binary)
            .seekp(-4, std::ios::end)
            .put(value);
    }
    void replace() const {
        fs::copy_file(file, folder / "new");
        fs::rename(folder / "new", file);
    }
    /// Trials that end one after the other, all of one model.
    static std::vector<plan::Trial> trials(std::uint64_t count) {
        auto trials = trials_of_two_models(count);
        trials.resize(count);
        for (std::uint64_t i = 0; i < count; ++i)
            trials[i].protocol.max_steps = static_cast<std::int32_t>(4 * i + 4);
        return trials;
    }
    void run_trials(Port& port) const {
        const auto exchange = weights::make_local_exchange();
        TrialExecutor executor(setup, {.host = "here", .exchange = exchange.get()});
        executor.run(port);
    }
    static std::string messages(const Port& port) {
        std::string all;
        for (const auto& [id, record] : port.records) {
            if (record.status == record::TrialStatus::done) continue;
            EXPECT_EQ(record.failure.category, record::FailureCategory::retryable);
            all += record.failure.message + "\n";
        }
        return all;
    }
    static std::ptrdiff_t done(const Port& port) {
        return std::ranges::count_if(
            port.records, [](const auto& entry) { return entry.second.status == record::TrialStatus::done; });
    }

    test::TemporaryFolder folder;
    fs::path file = folder / "model.safetensors";
    WorkerSetup setup;
};

TEST_F(ReplacedModel, ByOtherBytesBetweenPlanAndLoadFailsEachTrialRetryably) {
    for (const auto choice : {config::WeightsChoice::per_rank, config::WeightsChoice::per_node}) {
        setup.weights = choice;
        setup.models = {source_of(folder.path())};
        replace();
        overwrite(choice == config::WeightsChoice::per_rank ? 'x' : 'y');
        Port port(trials(3));
        run_trials(port);
        EXPECT_EQ(done(port), 0);
        EXPECT_EQ(port.records.size(), 3U);
        EXPECT_EQ(port.faults, std::set{sched::FailureCategory::host})
            << "other ranks may have the right ones";
        EXPECT_NE(messages(port).find(file.string() + ": on "), std::string::npos) << messages(port);
    }
}

TEST_F(ReplacedModel, ByAnotherConfigFailsEachTrial) {
    std::ofstream(folder / "config.json", std::ios::app) << "\n";
    Port port(trials(1));
    run_trials(port);
    EXPECT_NE(messages(port).find("config.json: on "), std::string::npos) << messages(port);
}

TEST_F(ReplacedModel, ByACopyOfItselfIsThatModel) {
    for (const auto choice : {config::WeightsChoice::per_rank, config::WeightsChoice::per_node}) {
        setup.weights = choice;
        replace();
        Port port(trials(2));
        run_trials(port);
        EXPECT_EQ(done(port), 2) << messages(port);
    }
}

TEST_F(ReplacedModel, ByANewFileWhileItRunsKeepsTheOldOne) {
    Port port(trials(4));
    port.after_finish = [&](std::size_t finished) {
        if (finished != 1) return;
        replace();
        overwrite('x');
    };
    run_trials(port);
    EXPECT_EQ(done(port), 4) << messages(port);
}

TEST_F(ReplacedModel, InPlaceWhileItRunsFailsWhatWasComputedWithItAndAllLaterOnes) {
    Port port(trials(4));
    port.after_finish = [&](std::size_t finished) {
        if (finished == 1) overwrite('x');
    };
    run_trials(port);
    EXPECT_EQ(done(port), 1);
    EXPECT_EQ(port.records.size(), 4U);
    EXPECT_NE(messages(port).find("a weight file was changed on "), std::string::npos) << messages(port);
    EXPECT_NE(messages(port).find("this has other bytes than those that were hashed"), std::string::npos);
}

TEST_F(ReplacedModel, TouchedWhileItRunsIsLoadedAgain) {
    Port port(trials(4));
    port.after_finish = [&](std::size_t finished) {
        if (finished == 1)
            fs::last_write_time(file, fs::file_time_type::clock::now() + std::chrono::hours(1));
    };
    run_trials(port);
    EXPECT_EQ(port.records.size(), 4U);
    EXPECT_EQ(done(port), 2) << "the first, and the last, which the others made room for";
}

}  // namespace
}  // namespace memcap::app
