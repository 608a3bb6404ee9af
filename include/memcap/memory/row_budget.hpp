// How many rows a step should have: a short measurement on the device and model at hand.
#pragma once

#include <cstdint>
#include <functional>

#include "memcap/base/clock.hpp"
#include "memcap/models/causal_lm.hpp"

namespace memcap::memory {

/// Rows (positions of all slots together) a step computes a row fastest with, found by timing steps over
/// slots of `positions` rows: from `first_guess` by factors of two, upwards as long as that makes a row
/// noticeably cheaper, to `most_rows` at most, else downwards as long as it costs nothing. Steps that take
/// long already are left alone: there the guess serves as well. Where memory runs out, less is taken. What is
/// timed is an evaluation, on a GPU the mean of a few that are replayed one after the other;
/// SlotsEngine::step() has waited for the device when it returns. Takes some tenths of a second, on a GPU up
/// to some seconds. `now_s` is the clock.
std::int64_t fastest_rows(const models::CausalLM& model, std::int32_t positions, std::int64_t first_guess,
                          std::int64_t most_rows, const std::function<double()>& now_s = monotonic_s);

}  // namespace memcap::memory
