// Frames and arrays on their way to the disk.
#include "memcap/store/journal/journal_writer.hpp"

#include <algorithm>

#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace memcap::store {

namespace {
std::string_view as_text(const Bytes& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
}  // namespace

JournalWriter::JournalWriter(RunFolder folder, const Id128& run_id, std::uint32_t segment, JournalStart start)
    : folder_(std::move(folder)), run_id_(run_id), segment_(segment), start_(std::move(start)) {}

JournalWriter JournalWriter::create(const RunFolder& folder, const Id128& run_id, JournalStart start) {
    const auto numbers = numbered_files(folder.journal(), ".log");
    const std::uint32_t segment = numbers.empty() ? 1 : numbers.back() + 1;
    return JournalWriter(folder, run_id, segment, std::move(start));
}

AppendFile JournalWriter::new_file(std::uint32_t& number,
                                   std::filesystem::path (RunFolder::*name)(std::uint32_t) const) {
    for (;; ++number) {
        if (start_.before_new_file) start_.before_new_file();
        // A writer that lost the folder may have made a file under this number just before it noticed.
        if (auto file = AppendFile::create_new((folder_.*name)(number))) return std::move(*file);
    }
}

void JournalWriter::begin_segment() {
    AppendFile file = new_file(segment_, &RunFolder::log_segment);
    file.append(
        encode_header({.schema_version = kJournalSchemaVersion, .number = segment_, .run_id = run_id_}));
    if (start_.ends) {
        SegmentEnds ends = *start_.ends;
        for (const std::uint32_t number : numbered_files(folder_.journal(), ".log")) {
            if (number < segment_) ends.try_emplace(number);
        }
        const Bytes payload = encode(ends);
        if (!payload.empty()) {
            file.append(
                encode_frame({.type = FrameType::ends, .sequence = next_sequence_, .payload = payload}));
            ++next_sequence_;
        }
    }
    file.sync();
    frames_ = std::move(file);
}

void JournalWriter::append(const record::RunTables& tables) {
    append_frame(FrameType::tables, record::encode(tables));
}

void JournalWriter::append(const record::LaunchRow& launch) {
    append_frame(FrameType::launch, record::encode(launch));
}

BulkPlace JournalWriter::append(const record::TrialRecord& record) {
    const BulkPlace arrays = append_arrays(record);
    append_frame(FrameType::result, encode(ResultPayload{record, arrays}));
    return arrays;
}

void JournalWriter::append_frame(FrameType type, const Bytes& payload) {
    if (!frames_) begin_segment();
    // In two parts: the tables of a large plan must not be in memory twice.
    frames_->append(encode_frame_header({.type = type, .sequence = next_sequence_, .payload = payload}),
                    payload);
    ++next_sequence_;
}

BulkPlace JournalWriter::append_arrays(const record::TrialRecord& record) {
    const Bytes bytes = encode_arrays(record);
    if (bytes.empty()) return {};
    if (!bulk_) {
        bulk_ = new_file(start_.next_bulk, &RunFolder::bulk_file);
        bulk_number_ = start_.next_bulk++;
    }
    const BulkPlace place{.number = bulk_number_,
                          .offset_bytes = bulk_->size_bytes(),
                          .vector_count = record.vector.size(),
                          .curve_count = record.curve.evaluation.size(),
                          .checksum = hash64(bytes)};
    bulk_->append(bytes);
    return place;
}

void JournalWriter::sync() {
    if (bulk_) bulk_->sync();
    if (frames_) frames_->sync();
}

void JournalWriter::end_bulk_file() {
    if (!bulk_) return;
    bulk_->sync();
    bulk_.reset();
}

void JournalWriter::append_crash(const Id128& trial, const std::string& reason) {
    append_frame(FrameType::crash, encode(CrashPayload{trial, reason}));
}

void JournalWriter::append(const AttemptsPayload& attempts) {
    append_frame(FrameType::attempts, encode(attempts));
}

Bytes encode(const CrashPayload& payload) {
    ByteWriter writer;
    writer.id(payload.trial);
    writer.text(payload.reason);
    return std::move(writer).bytes();
}

CrashPayload decode_crash(std::span<const std::byte> bytes) {
    ByteReader reader(bytes);
    CrashPayload payload;
    payload.trial = reader.id();
    payload.reason = reader.text();
    reader.expect_end();
    return payload;
}

Bytes encode(const ResultPayload& payload) {
    ByteWriter writer;
    writer.text(as_text(record::encode_numbers(payload.record)));
    writer.number(payload.arrays.number);
    writer.number(payload.arrays.offset_bytes);
    writer.number(payload.arrays.vector_count);
    writer.number(payload.arrays.curve_count);
    writer.number(payload.arrays.checksum);
    return std::move(writer).bytes();
}

ResultPayload decode_result(std::span<const std::byte> bytes) {
    ByteReader reader(bytes);
    ResultPayload payload;
    const std::string numbers = reader.text();
    payload.record = record::decode_record(as_bytes(numbers));
    payload.arrays.number = reader.number<std::uint32_t>();
    payload.arrays.offset_bytes = reader.number<std::uint64_t>();
    payload.arrays.vector_count = reader.number<std::uint64_t>();
    payload.arrays.curve_count = reader.number<std::uint64_t>();
    payload.arrays.checksum = reader.number<std::uint64_t>();
    reader.expect_end();
    return payload;
}

Bytes encode_arrays(const record::TrialRecord& record) {
    Bytes bytes;
    const auto add = [&bytes](const auto& values) {
        const auto raw = std::as_bytes(std::span(values));
        bytes.insert(bytes.end(), raw.begin(), raw.end());
    };
    add(record.vector);
    add(record.curve.evaluation);
    add(record.curve.loss_nats);
    add(record.curve.accuracy);
    return bytes;
}

bool decode_arrays(std::span<const std::byte> bytes, const BulkPlace& place, record::TrialRecord& record) {
    if (bytes.size() != place.size_bytes() || hash64(bytes) != place.checksum) return false;
    const auto take = [&bytes](auto& values, std::uint64_t count) {
        values.resize(count);
        const auto raw = std::as_writable_bytes(std::span(values));
        std::copy_n(bytes.begin(), raw.size(), raw.begin());
        bytes = bytes.subspan(raw.size());
    };
    take(record.vector, place.vector_count);
    take(record.curve.evaluation, place.curve_count);
    take(record.curve.loss_nats, place.curve_count);
    take(record.curve.accuracy, place.curve_count);
    return true;
}

}  // namespace memcap::store
