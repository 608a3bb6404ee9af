// Trial ids and initial memories: pinned values, what changes them, what does not.
#include "memcap/plan/identity.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "plan/plan_fixtures.hpp"

namespace memcap::plan {
namespace {

Trial example() {
    Trial trial;
    trial.prefix = {7, 8};
    trial.text = {1, 2, 3, 4, 5};
    trial.memory_vectors = 2;
    trial.seed = 3;
    trial.precision = Precision::bfloat16;
    return trial;
}

ModelFacts example_model() {
    ModelFacts model = testing_support::facts("a");
    model.config_sha256 = std::string(64, 'c');
    model.weights_sha256 = std::string(64, 'd');
    return model;
}

// Expected values from a separate Python script that packs the fields and hashes them with Python's xxhash.
// If they change, resumed runs forget their finished trials: such a change needs a new version of the rule.
TEST(TrialId, HasItsPinnedValue) {
    EXPECT_EQ(trial_id(example(), example_model()).hex(), "4caa5e926745c1f03612da8c0b55a40b");
}

// As the first release with this rule hashed them: of the default, and of each key changed.
TEST(TrialId, OfTheFirstRuleStaysAsItIs) {
    const std::vector<std::pair<std::function<void(Trial&)>, const char*>> pinned{
        {[](Trial& t) { t.prefix.clear(), t.precision = Precision::float32; },
         "09ff5788ae8e38a0df781dec713b566d"},
        {[](Trial& t) {
             t.protocol.learning_rate = 0.3, t.protocol.schedule = Schedule::cosine;
             t.protocol.max_steps = 300;
         },
         "4d16e3cbb2afb6f19e1a2b87e3600701"},
        {[](Trial& t) {
             t.protocol.target = Target::all, t.protocol.stop_accuracy = 0.5;
             t.protocol.patience = 17;
         },
         "20a992c778816309d953e008ae67c991"},
        {[](Trial& t) {
             t.protocol.beta1 = 0.8, t.protocol.beta2 = 0.95, t.protocol.weight_decay = 0.0;
             t.protocol.epsilon = 1e-6;
         },
         "f59dc0aa316e7b8bebe07a000297e410"},
        {[](Trial& t) {
             t.protocol.schedule = Schedule::linear, t.protocol.warmup_steps = 10;
             t.protocol.init_scale = 0.5, t.precision = Precision::tf32;
         },
         "152ef8d7d585bf880e1d2f45215e5ac1"},
    };
    for (const auto& [change, id] : pinned) {
        Trial trial = example();
        change(trial);
        EXPECT_EQ(trial_id(trial, example_model()).hex(), id);
    }
}

TEST(InitialMemoryKey, HasItsPinnedValue) {
    EXPECT_EQ(initial_memory_key(example()).hex(), "a0e38f40d0cb68c861b416df5c065500");
}

TEST(TrialId, ChangesWithEachFieldThatDecidesTheResult) {
    const std::vector<std::function<void(Trial&, ModelFacts&)>> changes{
        [](Trial&, ModelFacts&) {},
        [](Trial&, ModelFacts& m) { m.config_sha256.back() = 'e'; },
        [](Trial&, ModelFacts& m) { m.weights_sha256.back() = 'e'; },
        [](Trial& t, ModelFacts&) { t.prefix.back() = 9; },
        [](Trial& t, ModelFacts&) { t.text.back() = 9; },
        [](Trial& t, ModelFacts&) { t.text.pop_back(); },
        [](Trial& t, ModelFacts&) { t.prefix = {7}, t.text = {8, 1, 2, 3, 4, 5}; },
        [](Trial& t, ModelFacts&) { t.memory_vectors = 3; },
        [](Trial& t, ModelFacts&) { t.seed = 4; },
        [](Trial& t, ModelFacts&) { t.precision = Precision::float16; },
        [](Trial& t, ModelFacts&) { t.protocol.learning_rate = 0.02; },
        [](Trial& t, ModelFacts&) { t.protocol.beta1 = 0.8; },
        [](Trial& t, ModelFacts&) { t.protocol.beta2 = 0.8; },
        [](Trial& t, ModelFacts&) { t.protocol.weight_decay = 0.0; },
        [](Trial& t, ModelFacts&) { t.protocol.epsilon = 1e-7; },
        [](Trial& t, ModelFacts&) { t.protocol.max_steps = 5001; },
        [](Trial& t, ModelFacts&) { t.protocol.patience = 2001; },
        [](Trial& t, ModelFacts&) { t.protocol.stop_accuracy = 0.99; },
        [](Trial& t, ModelFacts&) { t.protocol.schedule = Schedule::cosine; },
        [](Trial& t, ModelFacts&) { t.protocol.warmup_steps = 1; },
        [](Trial& t, ModelFacts&) { t.protocol.target = Target::all; },
        [](Trial& t, ModelFacts&) { t.protocol.init_scale = 0.5; },
        [](Trial& t, ModelFacts&) { t.protocol.rate_unit = RateUnit::embedding_std; },
        [](Trial& t, ModelFacts&) { t.protocol.loss_temperature = 0.5; },
    };
    std::set<Id128> ids;
    for (const auto& change : changes) {
        Trial trial = example();
        ModelFacts model = example_model();
        change(trial, model);
        ids.insert(trial_id(trial, model));
    }
    EXPECT_EQ(ids.size(), changes.size());
}

TEST(TrialId, DoesNotDependOnNamesPathsOrPlaces) {
    Trial trial = example();
    trial.model = 5;
    trial.id = Id128{.high = 1, .low = 2};
    ModelFacts model = example_model();
    model.name = "another";
    model.path = "/elsewhere";
    model.family = "opt";
    EXPECT_EQ(trial_id(trial, model), trial_id(example(), example_model()));
}

TEST(InitialMemoryKey, DependsOnSeedTokensAndVectorsAlone) {
    std::set<Id128> keys{initial_memory_key(example())};
    Trial trial = example();
    trial.seed = 4;
    keys.insert(initial_memory_key(trial));
    trial = example();
    trial.memory_vectors = 1;
    keys.insert(initial_memory_key(trial));
    trial = example();
    trial.text.pop_back();
    keys.insert(initial_memory_key(trial));
    trial = example();
    trial.prefix.clear();
    keys.insert(initial_memory_key(trial));
    EXPECT_EQ(keys.size(), 5U);
    trial = example();
    trial.precision = Precision::float32;
    trial.protocol.learning_rate = 1.0;
    trial.model = 3;
    EXPECT_EQ(initial_memory_key(trial), initial_memory_key(example()));
}

}  // namespace
}  // namespace memcap::plan
