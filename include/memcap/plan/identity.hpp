// The identity of trials: ids that depend on what decides a result, and on nothing else.
#pragma once

#include "memcap/plan/trial.hpp"

namespace memcap::plan {

/// The 128-bit hash of: this rule's version, the model's hashes, token ids (prefix, text), memory_vectors,
/// seed, precision and the protocol's values. Trial::id and Trial::model, names and paths have no part in it.
Id128 trial_id(const Trial& trial, const ModelFacts& model);

/// The key of the stream of random numbers that a trial's initial memory is drawn from: of its seed, its
/// token ids (prefix, text) and its memory_vectors.
Id128 initial_memory_key(const Trial& trial);

}  // namespace memcap::plan
