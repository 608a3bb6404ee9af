// Reading the segments of a journal back into a state.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <memory>

#include "memcap/base/clock.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "store/journal/detail/segment_read.hpp"

namespace memcap::store {

namespace {

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
            case FrameType::ends:      // read_ends() has read it
            case FrameType::attempts:  // read_history() reads it
                return;
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
    const Bytes bytes = detail::read_segment(path);
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
        if (!tables || tables != tables_before) {
            apply(state, number, frame, check);
            if (tables) state.view().plans.push_back(place_of(number, bytes, frame));
        }
        tables_before = tables;
    });
}

}  // namespace

Id128 new_run_id(const RunFolder& folder) {
    ByteWriter writer;
    writer.text(folder.root().string());
    writer.text(utc_now());
    writer.number(monotonic_s());
    writer.number(::getpid());
    return hash128(writer.bytes());
}

FramePlace place_of(std::uint32_t segment, std::span<const std::byte> bytes, const Frame& frame) {
    return {.segment = segment,
            .offset_bytes = static_cast<std::uint64_t>(frame.payload.data() - bytes.data()),
            .size_bytes = frame.payload.size()};
}

RunState replay(const RunFolder& folder, const ArraysCheck& check, TornTails tails, const JournalEnd& until) {
    const SegmentEnds ends = read_ends(folder);
    RunState state;
    std::optional<Id128> run_id;
    std::vector<std::uint32_t> late;
    auto numbers = numbered_files(folder.journal(), ".log");
    std::erase_if(numbers, [&until](std::uint32_t number) { return number > until.segment; });
    for (const std::uint32_t number : numbers) {
        const auto path = folder.log_segment(number);
        const detail::FileFacts facts = detail::facts_of(path);
        Bytes content = detail::read_segment(path);
        if (number == until.segment) content.resize(std::min<std::size_t>(content.size(), until.size_bytes));
        const auto end = ends.find(number);
        const auto bytes =
            end == ends.end()
                ? std::span(content)
                : std::span(content).first(std::min<std::size_t>(content.size(), end->second.size_bytes));
        if (bytes.size() < content.size()) late.push_back(number);
        if (const auto header = decode_header(bytes)) {
            detail::expect_known_schema(path, *header);
            if (!run_id) run_id = header->run_id;
            if (header->run_id != *run_id) {
                state.report().notes.push_back(path.string() +
                                               ": was copied from another run folder; its records count");
            }
        }
        const ScanReport scan = apply_segment(state, number, bytes, check);
        detail::add_scan(state.report(), path, scan);
        const std::uint64_t counted_bytes = bytes.size() - scan.torn_bytes;
        state.segment_ends()[number] = {.size_bytes = counted_bytes, .on_record = end != ends.end()};
        const bool torn = scan.torn_bytes > 0 || content.empty();
        const bool cut = tails == TornTails::cut && torn && bytes.size() == content.size();
        if (cut) detail::cut_tail(path, scan.whole_bytes);
        if (cut && counted_bytes < kSegmentHeaderBytes) continue;  // the file is gone
        const bool is_last = number == numbers.back();
        const std::uint64_t covered_bytes = cut || is_last ? counted_bytes : content.size();
        state.view().segments.push_back(
            {.number = number,
             .covered_bytes = covered_bytes,
             .changed_ns = facts.size_bytes == covered_bytes ? facts.changed_ns : 0,
             .checksum = hash64(std::span(content).first(covered_bytes)),
             .end_bytes = end == ends.end() ? std::nullopt : std::optional(end->second.size_bytes)});
    }
    if (tails == TornTails::cut) bring_journal_to_disk(folder, state.segment_ends());
    // Last, so that the record is what the run that took over has made of it.
    for (const std::uint32_t number : late)
        apply_late(state, folder.log_segment(number), ends.at(number).size_bytes, check);
    state.set_run_id(run_id ? *run_id : new_run_id(folder));
    count_lost_arrays(state);
    return state;
}

void bring_journal_to_disk(const RunFolder& folder, const SegmentEnds& ends) {
    for (const std::uint32_t number : numbered_files(folder.journal(), ".bulk"))
        detail::bring_to_disk(folder.bulk_file(number));
    for (const auto& [number, end] : ends) {
        if (!end.on_record) detail::bring_to_disk(folder.log_segment(number));
    }
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

ArraysCheck bulk_files_check(const RunFolder& folder, ArraysState elsewhere) {
    struct OpenFile {
        std::uint32_t number = 0;
        int descriptor = -1;
        ~OpenFile() {
            if (descriptor >= 0) ::close(descriptor);
        }
    };
    return [folder, elsewhere, file = std::make_shared<OpenFile>(),
            bytes = Bytes()](const BulkPlace& place) mutable {
        if (file->number != place.number) {
            if (file->descriptor >= 0) ::close(file->descriptor);
            file->descriptor = ::open(folder.bulk_file(place.number).c_str(), O_RDONLY | O_CLOEXEC);
            file->number = place.number;
        }
        if (file->descriptor < 0) return elsewhere;
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
