// Damaged experiment files: whatever the bytes, the outcome is an experiment or a list of mistakes.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "memcap/config/load.hpp"

namespace memcap::config {
namespace {

constexpr std::string_view kSound = R"(experiment: e  # a comment
models: {m: {path: "m"}, n: &here {path: ${HOME}/n}}
corpora:
  c: {kind: text, path: 'c', part: first_half}
  r: {kind: random_words, vocabulary: w, samples: 2}
protocols:
  hot: {base: paper, betas: [0.9, 0.99], init: [normal, 1.0]}
sweeps:
  - {models: [m, n], corpora: [c], memory_vectors: [1, 4], lengths: [2, 4], prefix: [0, 8]}
  - models: m
    corpora: r
    memory_vectors: 1
    lengths: {uniform: [2, 9]}
run: {device: auto, python: auto}
)";

/// True if it loads, false if it is refused properly; other exceptions pass through and fail the test.
bool loads(const std::string& text) {
    try {
        parse(text, "/x/e.yaml", {}, Paths::may_be_absent);
        return true;
    } catch (const ConfigError& error) {
        EXPECT_FALSE(error.diagnostics().empty());
        return false;
    }
}

TEST(DamagedFiles, CutAnywhereAreRefusedOrRead) {
    ASSERT_TRUE(loads(std::string(kSound)));
    int refused = 0;
    for (std::size_t size = 0; size < kSound.size(); ++size) {
        refused += loads(std::string(kSound.substr(0, size))) ? 0 : 1;
    }
    EXPECT_GT(refused, static_cast<int>(kSound.size()) * 9 / 10);
}

TEST(DamagedFiles, WithChangedBytesAreRefusedOrRead) {
    constexpr std::string_view kBytes = "{}[]:,#&*!|>'\"%@`-?~$ \n\tax0\xff\x80";
    std::mt19937 random(20250101);
    int refused = 0;
    constexpr int kFiles = 1000;
    for (int file = 0; file < kFiles; ++file) {
        std::string text(kSound);
        const auto changes = 1 + random() % 4;
        for (unsigned change = 0; change < changes; ++change) {
            text[random() % text.size()] = kBytes[random() % kBytes.size()];
        }
        refused += loads(text) ? 0 : 1;
    }
    EXPECT_GT(refused, kFiles / 2);
}

}  // namespace
}  // namespace memcap::config
