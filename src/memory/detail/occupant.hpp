// A trial in its slot, and what of it the bucket does not hold.
#pragma once

#include <cstdint>
#include <string>

#include "memcap/memory/slots.hpp"
#include "memory/detail/bucket.hpp"

namespace memcap::memory::detail {

struct Occupant {
    plan::Trial trial;
    Bucket* bucket = nullptr;
    std::int32_t slot = 0;
    std::int32_t scored = 0;  ///< tokens
    std::int32_t seen = 0;    ///< evaluations whose curve points were taken
    SlotState state;          ///< curve, numbers without memory and time so far; the rest is the bucket's
    double entered_s = 0.0;

    /// As of the last look.
    const SlotProgress& progress() const { return bucket->progress(slot); }
    /// Takes the evaluations since the last call into the curve: each `curve_every`-th and the trial's last.
    void take_points(std::int32_t curve_every);
    /// The whole state; a checkpoint of a trial that goes on.
    SlotState exported() const;
    /// The record of a trial that has ended; its curve moves there.
    record::TrialRecord finish(bool keep_vector);
    /// The record of a trial that could not end.
    record::TrialRecord failed(record::FailureCategory category, std::string message) const;
};

}  // namespace memcap::memory::detail
