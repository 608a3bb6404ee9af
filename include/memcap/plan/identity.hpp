// The identity of trials: ids that depend on what decides a result, and on nothing else.
#pragma once

#include <cstdint>
#include <span>

#include "memcap/base/bytes.hpp"
#include "memcap/plan/trial.hpp"

namespace memcap::plan {

/// The 128-bit hash of: this rule's version, the model's hashes, token ids (prefix, text), memory_vectors,
/// seed, precision and the protocol's values. Trial::id and Trial::model, names and paths have no part in it.
Id128 trial_id(const Trial& trial, const ModelFacts& model);

/// trial_id() of many trials that differ in their tokens alone.
class TrialIds {
  public:
    TrialIds(const ModelFacts& model, std::int32_t memory_vectors, std::uint64_t seed, Precision precision,
             const Protocol& protocol);
    Id128 of(std::span<const std::int32_t> prefix, std::span<const std::int32_t> text);

  private:
    Bytes before_tokens_;
    Bytes behind_tokens_;
    Bytes all_;  ///< kept from id to id for its room
};

/// The key of the stream of random numbers that a trial's initial memory is drawn from: of its seed, its
/// token ids (prefix, text) and its memory_vectors.
Id128 initial_memory_key(const Trial& trial);

}  // namespace memcap::plan
