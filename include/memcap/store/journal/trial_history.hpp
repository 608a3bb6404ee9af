// What happened to one trial, in all launches of a run folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "memcap/base/ids.hpp"
#include "memcap/record/run_tables.hpp"
#include "memcap/record/trial_record.hpp"
#include "memcap/store/journal/attempts.hpp"
#include "memcap/store/journal/run_folder.hpp"

namespace memcap::store {

/// Something that the journal says of the trial.
struct TrialEvent {
    std::size_t launch = 0;    ///< from 1; 0 before any
    std::string utc;           ///< empty where it is not on record
    std::int32_t attempt = 0;  ///< 0: not on record
    std::int32_t rank = -1;
    std::string host;
    std::string device;
    /// One of the two: how an attempt began or ended without a result, or its result.
    std::optional<AttemptEvent> event;
    std::optional<record::TrialRecord> result;
    std::string reason;  ///< of the event
};

struct TrialHistory {
    std::vector<record::LaunchRow> launches;
    std::vector<TrialEvent> events;  ///< in the order of the journal
};

/// Reads the whole journal, without locks. Journals of older versions have results and crashes alone. Throws
/// DataError if a file of it cannot be read.
TrialHistory read_history(const RunFolder& folder, const Id128& trial);

}  // namespace memcap::store
