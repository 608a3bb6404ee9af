// The step whose values are known, where it is right and where it is not.
#include "app/self_check.hpp"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "memcap/hub/model_config.hpp"
#include "memcap/models/registry.hpp"
#include "support/threads.hpp"

namespace memcap::app {
namespace {

TEST(SelfCheck, TheKnownStepIsThatOfPyTorchWithAnyNumberOfThreads) {
    const auto model = model_of_known_step(at::kCPU);
    const KnownStep& expected = expected_known_step();
    for (const int threads : {1, 2, 3}) {
        const test::Threads with(threads);
        const KnownStep found = compute_known_step(*model);
        for (std::size_t t = 0; t < expected.trials.size(); ++t) {
            for (std::size_t i = 0; i < KnownStep::kEvaluations; ++i) {
                EXPECT_NEAR(found.trials[t].loss_nats[i], expected.trials[t].loss_nats[i],
                            1e-5 * expected.trials[t].loss_nats[i]);
            }
            for (std::size_t i = 0; i < KnownStep::kPieces; ++i) {
                EXPECT_NEAR(found.trials[t].gradient[i], expected.trials[t].gradient[i],
                            1e-5 * expected.trials[t].gradient[i]);
            }
        }
        EXPECT_NO_THROW(check_this_process(at::kCPU));
    }
}

TEST(SelfCheck, NumbersOfAWrongProductOrOfNoneAreRefused) {
    EXPECT_NO_THROW(require_known(expected_known_step()));
    for (std::size_t trial = 0; trial < KnownStep::kTrials; ++trial) {
        KnownStep wrong = expected_known_step();
        wrong.trials[trial].gradient.back() *= 1.01;
        EXPECT_THROW(require_known(wrong), WrongNumbers);
        wrong = expected_known_step();
        wrong.trials[trial].loss_nats.back() = std::nan("");
        EXPECT_THROW(require_known(wrong), WrongNumbers);
    }
    EXPECT_THROW(require_known({}), WrongNumbers);
}

TEST(SelfCheck, AModelThatIsAnotherByOneNumberIsTold) {
    const auto other = models::make_random(hub::ModelConfig::parse("other", R"({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 1024, "max_position_embeddings": 256, "rope_theta": 100.0,
        "tie_word_embeddings": true})"),
                                           Precision::float32, at::kCPU);
    EXPECT_THROW(require_known(compute_known_step(*other)), WrongNumbers);
}

// What OMP_MAX_ACTIVE_LEVELS=0 does: OpenMP gives one thread to whoever asks for two, and says nothing.
TEST(SelfCheck, AProcessThatIsGivenFewerThreadsThanItAsksForComputesNothingWrong) {
    using SetLevels = void (*)(int);
    const auto set_levels = reinterpret_cast<SetLevels>(dlsym(RTLD_DEFAULT, "omp_set_max_active_levels"));
    ASSERT_NE(set_levels, nullptr);
    const test::Threads two(2);
    set_levels(0);
    bool right = true;
    try {
        check_this_process(at::kCPU);
    } catch (const WrongNumbers& problem) {
        right = false;
        EXPECT_THAT(problem.what(), ::testing::HasSubstr("OMP_"));
    }
    // Either the libraries' products are wrong, and it is said, or all that counts is right.
    const KnownStep found = compute_known_step(*model_of_known_step(at::kCPU));
    set_levels(1);
    const double error =
        std::abs(found.trials[0].gradient[0] / expected_known_step().trials[0].gradient[0] - 1);
    EXPECT_EQ(right, error < 1e-3);
}

}  // namespace
}  // namespace memcap::app
