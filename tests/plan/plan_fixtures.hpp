// A small experiment, its tokens and models, for the tests of the planner.
#pragma once

#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/config/load.hpp"
#include "memcap/plan/tokens.hpp"
#include "memcap/plan/trial.hpp"

namespace memcap::plan::testing_support {

/// An experiment of models a and b, texts c (three samples), random words r (two samples), and these sweeps.
inline config::Experiment experiment_with(std::string_view sweeps) {
    const std::string text = R"(experiment: e
models: {a: {path: a}, b: {path: b}}
corpora:
  c: {kind: text, path: c, samples: 3}
  r: {kind: random_words, vocabulary: words, samples: 2}
protocols:
  same: {base: paper}
  hot: {learning_rate: 0.3, max_steps: 300}
  every: {target: all}
sweeps:
)" + std::string(sweeps);
    return config::parse(text, "/x/e.yaml", {}, config::Paths::may_be_absent);
}

inline ModelFacts facts(const std::string& name, std::int32_t context_tokens = 64) {
    ModelFacts model;
    model.name = name;
    model.path = "/x/" + name;
    model.family = "llama";
    model.config_sha256 = "config of " + name;
    model.weights_sha256 = "weights of " + name;
    model.context_tokens = context_tokens;
    model.memory_width = 64;
    model.width = 64;
    model.attention_width = 64;
    model.layers = 5;
    model.vocabulary_size = 1024;
    model.embedding_parameters = 1024 * 64;
    model.block_parameters = 250'000;
    model.head_parameters = 1024 * 64;
    return model;
}

/// `count` tokens that no other sample has.
inline std::vector<std::int32_t> tokens_from(std::int32_t first, std::size_t count) {
    std::vector<std::int32_t> tokens(count);
    std::iota(tokens.begin(), tokens.end(), first);
    return tokens;
}

/// Answers all requests: sample i has `text_tokens` - i text tokens and `prefix_tokens` prefix tokens.
inline std::vector<TokenTable> answer(const config::Experiment& experiment, std::size_t text_tokens = 40,
                                      std::size_t prefix_tokens = 10) {
    std::vector<TokenTable> tables;
    for (const TokenRequest& request : token_requests(experiment)) {
        TokenTable table{
            .model = request.model, .corpus = request.corpus, .seed = request.seed, .id = {}, .samples = {}};
        table.id = Id128{.high = 1, .low = tables.size()};
        const std::int32_t base = 100'000 * static_cast<std::int32_t>(request.seed.value_or(0)) +
                                  (request.corpus == "r" ? 50'000 : 0);
        for (std::int32_t i = 0; i < request.samples; ++i) {
            table.samples.push_back(
                {.text = tokens_from(base + 1000 * i, text_tokens - static_cast<std::size_t>(i)),
                 .prefix = tokens_from(base + 1000 * i + 500, prefix_tokens)});
        }
        tables.push_back(std::move(table));
    }
    return tables;
}

}  // namespace memcap::plan::testing_support
