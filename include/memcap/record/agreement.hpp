// How far two records of one trial agree.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "memcap/record/trial_record.hpp"

namespace memcap::record {

enum class Agreement : std::uint8_t {
    equal,        ///< every measured number to the last bit
    near,         ///< the same outcome; losses differ as sums in another order do
    conflicting,  ///< one of the two is wrong, or they are not of one trial
};

struct Comparison {
    Agreement agreement = Agreement::equal;
    /// The largest relative difference of a loss, and whose it is.
    double difference = 0.0;
    std::string_view quantity;
};

/// Compares what two finished records measured; who computed them, when and how fast is no part of that.
/// Losses are near from a relative difference of 1e-3 down (of 0.01 nats where they are smaller), if stop
/// reason and right tokens are the same.
Comparison compare(const TrialRecord& a, const TrialRecord& b);

/// What failures of one kind have in common: category and message with each number in it as a #.
std::string failure_kind(const Failure& failure);
/// Category and message, as the column `failure` has them.
std::string failure_text(const Failure& failure);

}  // namespace memcap::record
