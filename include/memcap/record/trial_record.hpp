// What one trial gives back: its numbers, or its failure, and the vector and curve that belong to them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/base/ids.hpp"

namespace memcap::record {

enum class TrialStatus : std::uint8_t { done, failed };
enum class StopReason : std::uint8_t { none, solved, patience, max_steps };
/// What a failure means for a later attempt: retryable (out of memory, lost worker), permanent (the trial
/// itself is at fault, e.g. a loss that is not finite) or a lost device (retry, but not there).
enum class FailureCategory : std::uint8_t { retryable, permanent, device_lost };

std::string_view to_string(TrialStatus value);
std::string_view to_string(StopReason value);
std::string_view to_string(FailureCategory value);

/// Why a trial ended without a result. It is data: a sweep goes on.
struct Failure {
    FailureCategory category = FailureCategory::permanent;
    std::string message;
};

/// Points of the learning curve, equally long.
struct Curve {
    std::vector<std::int32_t> evaluation;  ///< from 1
    std::vector<float> loss_nats;
    std::vector<float> accuracy;
};

/// The result of one trial; the fields are the columns of interface.md that no other column determines.
struct TrialRecord {
    Id128 trial_id;
    TrialStatus status = TrialStatus::done;
    Failure failure;  ///< meaningful only if status is failed

    std::int32_t scored_tokens = -1;
    std::int32_t evaluations = -1;      ///< forward passes made
    std::int32_t best_evaluation = -1;  ///< first one with the best accuracy, from 1
    StopReason stop_reason = StopReason::none;
    double loss_nomem_nats;  ///< NaN if failed
    double accuracy_nomem;   ///< NaN if failed
    double loss_nats;        ///< at best_evaluation; NaN if failed
    double accuracy;         ///< at best_evaluation; NaN if failed
    std::int32_t correct_tokens = -1;
    bool exact = false;
    double loss_min_nats;  ///< over all evaluations; NaN if failed

    double elapsed_s = 0.0;
    std::int32_t rank = -1;
    std::string host;
    std::string device;
    std::int32_t attempt = 1;
    std::string finished_utc;

    std::vector<float> vector;      ///< [K, E] row-major, evaluated at best_evaluation; empty if not kept
    std::int32_t vector_width = 0;  ///< E
    Curve curve;

    TrialRecord();
};

/// Full encoding, vector and curve included: what a worker sends to the manager.
Bytes encode(const TrialRecord& record);
/// As encode(), with vector and curve left out: what the journal keeps in its frames.
Bytes encode_numbers(const TrialRecord& record);
/// Reads encode()'s or encode_numbers()'s bytes; throws TransportError if they are damaged.
TrialRecord decode_record(std::span<const std::byte> bytes);

}  // namespace memcap::record
