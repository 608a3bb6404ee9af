// Names and encoding of a trial's record.
#include "memcap/record/trial_record.hpp"

#include <array>
#include <limits>

namespace memcap::record {

namespace {

constexpr std::uint8_t kLayout = 1;

constexpr std::array<std::string_view, 2> kStatusNames{"done", "failed"};
constexpr std::array<std::string_view, 4> kStopNames{"none", "solved", "patience", "max_steps"};
constexpr std::array<std::string_view, 3> kCategoryNames{"retryable", "permanent", "device_lost"};

/// Reads an enumerator; a value that has no name means damaged bytes.
template <class Enum, std::size_t kCount>
Enum read_enumerator(ByteReader& reader, const std::array<std::string_view, kCount>& names) {
    const auto value = reader.number<std::uint8_t>();
    if (value >= names.size()) {
        throw TransportError(
            {.what = "a trial's record has an unknown status, stop reason or failure category",
             .where = {},
             .why = "it is damaged, or another version of memcap wrote it",
             .advice = "Use one version of memcap for all ranks and for the run folder"});
    }
    return static_cast<Enum>(value);
}

void write_numbers(ByteWriter& writer, const TrialRecord& record) {
    writer.number(kLayout);
    writer.id(record.trial_id);
    writer.number(record.status);
    writer.number(record.failure.category);
    writer.text(record.failure.message);
    writer.number(record.scored_tokens);
    writer.number(record.evaluations);
    writer.number(record.best_evaluation);
    writer.number(record.stop_reason);
    writer.number(record.loss_nomem_nats);
    writer.number(record.accuracy_nomem);
    writer.number(record.loss_nats);
    writer.number(record.accuracy);
    writer.number(record.correct_tokens);
    writer.number(static_cast<std::uint8_t>(record.exact));
    writer.number(record.loss_min_nats);
    writer.number(record.elapsed_s);
    writer.number(record.rank);
    writer.text(record.host);
    writer.text(record.device);
    writer.number(record.attempt);
    writer.text(record.finished_utc);
    writer.number(record.vector_width);
}

TrialRecord read_numbers(ByteReader& reader) {
    TrialRecord record;
    record.trial_id = reader.id();
    record.status = read_enumerator<TrialStatus>(reader, kStatusNames);
    record.failure.category = read_enumerator<FailureCategory>(reader, kCategoryNames);
    record.failure.message = reader.text();
    record.scored_tokens = reader.number<std::int32_t>();
    record.evaluations = reader.number<std::int32_t>();
    record.best_evaluation = reader.number<std::int32_t>();
    record.stop_reason = read_enumerator<StopReason>(reader, kStopNames);
    record.loss_nomem_nats = reader.number<double>();
    record.accuracy_nomem = reader.number<double>();
    record.loss_nats = reader.number<double>();
    record.accuracy = reader.number<double>();
    record.correct_tokens = reader.number<std::int32_t>();
    record.exact = reader.number<std::uint8_t>() != 0;
    record.loss_min_nats = reader.number<double>();
    record.elapsed_s = reader.number<double>();
    record.rank = reader.number<std::int32_t>();
    record.host = reader.text();
    record.device = reader.text();
    record.attempt = reader.number<std::int32_t>();
    record.finished_utc = reader.text();
    record.vector_width = reader.number<std::int32_t>();
    return record;
}

}  // namespace

std::string_view to_string(TrialStatus value) {
    return kStatusNames.at(static_cast<std::size_t>(value));
}
std::string_view to_string(StopReason value) {
    return kStopNames.at(static_cast<std::size_t>(value));
}
std::string_view to_string(FailureCategory value) {
    return kCategoryNames.at(static_cast<std::size_t>(value));
}

TrialRecord::TrialRecord()
    : loss_nomem_nats(std::numeric_limits<double>::quiet_NaN()),
      accuracy_nomem(loss_nomem_nats),
      loss_nats(loss_nomem_nats),
      accuracy(loss_nomem_nats),
      loss_min_nats(loss_nomem_nats) {}

Bytes encode(const TrialRecord& record) {
    ByteWriter writer;
    write_numbers(writer, record);
    writer.array(record.vector);
    writer.array(record.curve.evaluation);
    writer.array(record.curve.loss_nats);
    writer.array(record.curve.accuracy);
    return std::move(writer).bytes();
}

Bytes encode_numbers(const TrialRecord& record) {
    ByteWriter writer;
    write_numbers(writer, record);
    for (int array = 0; array < 4; ++array) writer.number(std::uint64_t{0});
    return std::move(writer).bytes();
}

TrialRecord decode_record(std::span<const std::byte> bytes) {
    ByteReader reader(bytes);
    if (const auto layout = reader.number<std::uint8_t>(); layout != kLayout) {
        throw TransportError({.what = "a trial's record has layout " + std::to_string(layout) +
                                      ", and this memcap reads layout " + std::to_string(kLayout),
                              .where = {},
                              .why = {},
                              .advice = "Use one version of memcap for all ranks and for the run folder"});
    }
    TrialRecord record = read_numbers(reader);
    record.vector = reader.array<float>();
    record.curve.evaluation = reader.array<std::int32_t>();
    record.curve.loss_nats = reader.array<float>();
    record.curve.accuracy = reader.array<float>();
    reader.expect_end();
    return record;
}

}  // namespace memcap::record
