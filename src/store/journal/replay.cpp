// Reading the segments of a journal back into a state.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/log.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace memcap::store {

namespace {

Bytes read_segment(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    Bytes bytes(file ? static_cast<std::size_t>(file.tellg()) : 0);
    file.seekg(0);
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file && !bytes.empty())
        bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
    if (!file.is_open() || file.bad()) {
        throw StoreError(path, {.what = "cannot read this part of the record",
                                .where = {},
                                .why = std::strerror(errno),
                                .advice = "Check the file system and the permissions, then run again"});
    }
    return bytes;
}

void expect_known_schema(const std::filesystem::path& path, const SegmentHeader& header) {
    if (header.schema_version > kJournalSchemaVersion) {
        throw StoreError(path,
                         {.what = fmt::format("the journal has schema {}, and this memcap reads up to {}",
                                              header.schema_version, kJournalSchemaVersion),
                          .where = {},
                          .why = "a newer memcap wrote it",
                          .advice = "Use that version for this run folder"});
    }
}

/// Applies one whole frame; a payload that cannot be understood is counted and left.
void apply(RunState& state, std::uint32_t segment, const Frame& frame, const ArraysCheck& check) {
    try {
        switch (frame.type) {
            case FrameType::tables:
                return state.add_tables(segment, record::decode_tables(frame.payload));
            case FrameType::launch:
                return state.add_launch(segment, record::decode_launch(frame.payload));
            case FrameType::result: {
                ResultPayload result = decode_result(frame.payload);
                const auto arrays = result.arrays.empty() ? ArraysState::whole : check(result.arrays);
                state.add_result(std::move(result.record), result.arrays, arrays);
                return;
            }
            case FrameType::ends:
                return;  // read_ends() has read it
            case FrameType::attempts:
                return;  // read_history() reads it
            case FrameType::crash:
                return state.add_crash(decode_crash(frame.payload).trial);
            case FrameType::checkpoint:
                break;
        }
        ++state.report().unreadable_frames;
    } catch (const TransportError&) {
        ++state.report().unreadable_frames;
    }
}

void cut_tail(const std::filesystem::path& path, const ScanReport& scan) {
    const bool nothing_there = scan.whole_bytes < kSegmentHeaderBytes;
    const int failed = nothing_there ? ::unlink(path.c_str())
                                     : ::truncate(path.c_str(), static_cast<off_t>(scan.whole_bytes));
    if (failed != 0) {
        log::warning(fmt::format("{}: the torn end could not be cut off ({}); it stays and does no harm",
                                 path.string(), std::strerror(errno)));
    }
}

/// What a killed process wrote may be in the machine's memory alone: it is read here, and must not be taken
/// back by a power cut once it was counted on.
void bring_to_disk(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    const bool synced = descriptor >= 0 && ::fdatasync(descriptor) == 0;
    const int error = errno;
    if (descriptor >= 0) ::close(descriptor);
    if (synced || error == ENOENT) return;
    log::warning(
        fmt::format("{}: what an earlier run left may not have reached the disk ({}); its trials run "
                    "again if it is lost",
                    path.string(), std::strerror(error)));
}

void add_scan(JournalReport& report, const std::filesystem::path& path, const ScanReport& scan) {
    ++report.segments;
    report.frames += scan.frames;
    report.damaged_bytes += scan.damaged_bytes;
    report.torn_bytes += scan.torn_bytes;
    if (scan.damaged_bytes > 0) {
        report.notes.push_back(fmt::format("{}: {} damaged bytes were skipped, {} whole frames were read",
                                           path.string(), scan.damaged_bytes, scan.frames));
    }
    if (scan.torn_bytes > 0) {
        report.notes.push_back(
            fmt::format("{}: the last {} bytes were not written to their end (nobody was told of "
                        "them)",
                        path.string(), scan.torn_bytes));
    }
}

void count_lost_arrays(RunState& state) {
    for (const auto& [id, stored] : state.records()) {
        if (stored.record.status != record::TrialStatus::done) continue;
        if (stored.arrays_state == ArraysState::never_acknowledged) ++state.report().unacknowledged;
        if (stored.arrays_state == ArraysState::missing) ++state.report().missing_arrays;
    }
}

/// What stands behind the end of a segment: finished trials that nothing else on record answers.
void apply_late(RunState& state, const std::filesystem::path& path, std::uint64_t end_bytes,
                const ArraysCheck& check) {
    const Bytes bytes = read_segment(path);
    if (bytes.size() <= end_bytes) return;
    std::uint64_t used = 0;
    scan_segment(bytes, [&](const Frame& frame) {
        const auto at = static_cast<std::uint64_t>(frame.payload.data() - bytes.data());
        if (frame.type != FrameType::result || at < end_bytes) return;
        try {
            ResultPayload result = decode_result(frame.payload);
            const StoredRecord* known = state.find(result.record.trial_id);
            if (result.record.status != record::TrialStatus::done || (known != nullptr && known->final()))
                return;
            if (!result.arrays.empty() && check(result.arrays) != ArraysState::whole) return;
            state.add_result(std::move(result.record), result.arrays, ArraysState::whole);
            ++used;
        } catch (const TransportError&) {
            ++state.report().unreadable_frames;
        }
    });
    const std::uint64_t late_bytes = bytes.size() - end_bytes;
    state.report().late_bytes += late_bytes;
    state.report().notes.push_back(
        fmt::format("{}: {} bytes came after another run had taken the folder over; results in them that no "
                    "other part of the record has: {}",
                    path.string(), late_bytes, used));
}

ScanReport apply_segment(RunState& state, std::uint32_t number, std::span<const std::byte> bytes,
                         const ArraysCheck& check) {
    // Plans are written twice, and a large one takes seconds to read.
    std::optional<Id128> tables_before;
    return scan_segment(bytes, [&](const Frame& frame) {
        std::optional<Id128> tables;
        if (frame.type == FrameType::tables) tables = hash128(frame.payload);
        if (!tables || tables != tables_before) apply(state, number, frame, check);
        tables_before = tables;
    });
}

Id128 new_run_id(const RunFolder& folder) {
    ByteWriter writer;
    writer.text(folder.root().string());
    writer.text(utc_now());
    writer.number(monotonic_s());
    writer.number(::getpid());
    return hash128(writer.bytes());
}

}  // namespace

RunState replay(const RunFolder& folder, const ArraysCheck& check, TornTails tails) {
    const SegmentEnds ends = read_ends(folder);
    RunState state;
    std::optional<Id128> run_id;
    std::vector<std::uint32_t> late;
    for (const std::uint32_t number : numbered_files(folder.journal(), ".log")) {
        const auto path = folder.log_segment(number);
        const Bytes content = read_segment(path);
        const auto end = ends.find(number);
        const auto bytes =
            end == ends.end()
                ? std::span(content)
                : std::span(content).first(std::min<std::size_t>(content.size(), end->second.size_bytes));
        if (bytes.size() < content.size()) late.push_back(number);
        if (const auto header = decode_header(bytes)) {
            expect_known_schema(path, *header);
            if (!run_id) run_id = header->run_id;
            if (header->run_id != *run_id) {
                state.report().notes.push_back(path.string() +
                                               ": was copied from another run folder; its records count");
            }
        }
        const ScanReport scan = apply_segment(state, number, bytes, check);
        add_scan(state.report(), path, scan);
        state.segment_ends()[number] = {.size_bytes = bytes.size() - scan.torn_bytes,
                                        .on_record = end != ends.end()};
        const bool torn = scan.torn_bytes > 0 || content.empty();
        if (tails == TornTails::cut && torn && bytes.size() == content.size()) cut_tail(path, scan);
    }
    if (tails == TornTails::cut) {
        for (const std::uint32_t number : numbered_files(folder.journal(), ".bulk"))
            bring_to_disk(folder.bulk_file(number));
        for (const auto& [number, end] : state.segment_ends()) {
            if (!end.on_record) bring_to_disk(folder.log_segment(number));
        }
    }
    // Last, so that the record is what the run that took over has made of it.
    for (const std::uint32_t number : late)
        apply_late(state, folder.log_segment(number), ends.at(number).size_bytes, check);
    state.set_run_id(run_id ? *run_id : new_run_id(folder));
    count_lost_arrays(state);
    return state;
}

std::optional<Id128> read_run_id(const RunFolder& folder) {
    for (const std::uint32_t number : numbered_files(folder.journal(), ".log")) {
        std::ifstream file(folder.log_segment(number), std::ios::binary);
        Bytes head(kSegmentHeaderBytes);
        file.read(reinterpret_cast<char*>(head.data()), static_cast<std::streamsize>(head.size()));
        if (!file) continue;
        if (const auto header = decode_header(head)) return header->run_id;
    }
    return std::nullopt;
}

ArraysCheck bulk_files_check(const RunFolder& folder) {
    struct OpenFile {
        std::uint32_t number = 0;
        int descriptor = -1;
        ~OpenFile() {
            if (descriptor >= 0) ::close(descriptor);
        }
    };
    return [folder, file = std::make_shared<OpenFile>(), bytes = Bytes()](const BulkPlace& place) mutable {
        if (file->number != place.number) {
            if (file->descriptor >= 0) ::close(file->descriptor);
            file->descriptor = ::open(folder.bulk_file(place.number).c_str(), O_RDONLY | O_CLOEXEC);
            file->number = place.number;
        }
        if (file->descriptor < 0) return ArraysState::whole;
        // A size that a damaged frame could not have, but a foreign one could.
        if (place.size_bytes() > (std::uint64_t{1} << 40)) return ArraysState::never_acknowledged;
        bytes.resize(place.size_bytes());
        const auto count =
            ::pread(file->descriptor, bytes.data(), bytes.size(), static_cast<off_t>(place.offset_bytes));
        const bool whole = count == static_cast<ssize_t>(bytes.size()) && hash64(bytes) == place.checksum;
        return whole ? ArraysState::whole : ArraysState::never_acknowledged;
    };
}

std::vector<std::uint32_t> numbered_files(const std::filesystem::path& folder, const std::string& extension) {
    std::vector<std::uint32_t> numbers;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        const std::string name = entry.path().filename().string();
        std::uint32_t number = 0;
        const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), number);
        if (problem == std::errc{} && end != name.data() && std::string(end) == extension)
            numbers.push_back(number);
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

}  // namespace memcap::store
