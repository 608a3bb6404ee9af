// A trial: everything that decides its result, and nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "memcap/base/ids.hpp"
#include "memcap/base/protocol.hpp"

namespace memcap::plan {

/// What the planner and the workers need to know of a model, as plain values.
struct ModelFacts {
    std::string name;    ///< in the experiment file
    std::string path;    ///< absolute folder
    std::string family;  ///< e.g. llama
    std::string config_sha256;
    std::string weights_sha256;  ///< empty where the weights were not read (a dry run without them)
    std::int32_t context_tokens = 0;
    std::int32_t memory_width = 0;  ///< E
    std::int32_t width = 0;         ///< D, hidden size
    std::int32_t layers = 0;
    std::int32_t attention_width = 0;  ///< query heads times their width; 0 without attention
    std::int64_t scan_states = 0;      ///< state elements of a layer's scan; 0 without one
    std::int64_t kept_floats = 0;      ///< floats that a row leaves between forward and backward pass
    std::int64_t vocabulary_size = 0;
    std::int64_t embedding_parameters = 0;
    std::int64_t block_parameters = 0;
    std::int64_t idle_parameters = 0;  ///< of the blocks: those of experts that a token does not take
    std::int64_t head_parameters = 0;  ///< V * D also where the head is tied
};

/// One optimisation, ready to run.
struct Trial {
    Id128 id;
    std::int32_t model = 0;            ///< index into the run's models
    std::vector<std::int32_t> prefix;  ///< visible, unscored tokens between memory and text
    std::vector<std::int32_t> text;    ///< N tokens
    std::int32_t memory_vectors = 1;   ///< K
    std::uint64_t seed = 0;
    Precision precision = Precision::float32;
    Protocol protocol;

    /// T = K + prefix + N - 1: the last token need not be fed.
    std::int32_t positions() const {
        return memory_vectors + static_cast<std::int32_t>(prefix.size() + text.size()) - 1;
    }
};

}  // namespace memcap::plan
