// The index file: when it fits a journal, and what comes behind it.
#include "memcap/store/journal/index_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <utility>

#include "memcap/base/bytes.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "store/journal/detail/segment_read.hpp"

namespace memcap::store {

namespace {

constexpr std::uint64_t kIndexMagic = 0x31584449504D434DULL;
constexpr std::uint32_t kIndexVersion = 1;

/// Names and sizes of the files in vectors/. They are immutable.
using VectorFiles = std::map<std::string, std::uint64_t>;

VectorFiles vector_files(const RunFolder& folder) {
    VectorFiles files;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder.vectors(), error)) {
        if (!is_temporary_name(entry.path()))
            files[entry.path().filename().string()] = detail::facts_of(entry.path()).size_bytes;
    }
    return files;
}

/// What the file holds.
struct IndexFile {
    RunIndex index;
    VectorFiles vectors;
    FileDigest shown;
};

std::optional<IndexFile> read_file(const RunFolder& folder) {
    const std::filesystem::path path = folder.index_file();
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) return std::nullopt;
    const Bytes bytes = detail::read_segment(path);
    const std::span<const std::byte> all = bytes;
    if (all.size() < sizeof(std::uint64_t)) return std::nullopt;
    const auto content = all.first(all.size() - sizeof(std::uint64_t));
    try {
        if (ByteReader(all.subspan(content.size())).number<std::uint64_t>() != hash64(content))
            return std::nullopt;
        ByteReader reader(content);
        if (reader.number<std::uint64_t>() != kIndexMagic || reader.number<std::uint32_t>() != kIndexVersion)
            return std::nullopt;
        IndexFile file;
        file.shown.size_bytes = reader.number<std::uint64_t>();
        file.shown.checksum = reader.number<std::uint64_t>();
        for (auto left = reader.number<std::uint64_t>(); left > 0; --left) {
            const std::string name = reader.text();
            file.vectors[name] = reader.number<std::uint64_t>();
        }
        file.index = RunIndex::decode(reader.rest());
        return file;
    } catch (const TransportError&) {
        return std::nullopt;
    }
}

/// XXH3-64 of the first bytes of a file; nothing if it has fewer.
std::optional<std::uint64_t> checksum_of(const std::filesystem::path& path, std::uint64_t size_bytes) {
    constexpr std::uint64_t kBlockBytes = std::uint64_t{1} << 20U;
    std::ifstream file(path, std::ios::binary);
    Bytes block(std::min(kBlockBytes, size_bytes));
    Hash64 hash;
    for (std::uint64_t left = size_bytes; left > 0;) {
        const auto part = std::min<std::uint64_t>(left, block.size());
        file.read(reinterpret_cast<char*>(block.data()), static_cast<std::streamsize>(part));
        if (!file) return std::nullopt;
        hash.add(std::span(block).first(part));
        left -= part;
    }
    return hash.finish();
}

/// Whether a segment begins with what was read of it.
bool is_as_it_was(const std::filesystem::path& path, const SegmentView& view, bool may_have_grown) {
    const detail::FileFacts facts = detail::facts_of(path);
    if (facts.size_bytes < view.covered_bytes) return false;
    if (facts.size_bytes > view.covered_bytes && !may_have_grown) return false;
    const bool untouched = facts == detail::FileFacts{view.covered_bytes, view.changed_ns};
    return untouched || checksum_of(path, view.covered_bytes) == view.checksum;
}

bool fits(const RunFolder& folder, const JournalView& view, const std::vector<std::uint32_t>& numbers,
          const SegmentEnds& ends) {
    if (view.segments.size() > numbers.size()) return false;
    for (std::size_t at = 0; at < view.segments.size(); ++at) {
        const SegmentView& segment = view.segments[at];
        if (segment.number != numbers[at]) return false;
        const bool is_last = at + 1 == view.segments.size();
        const auto end = ends.find(segment.number);
        // The start that came next has put on record where the last one ends.
        const bool same_end = end == ends.end() ? !segment.end_bytes
                                                : segment.end_bytes == end->second.size_bytes ||
                                                      (is_last && !segment.end_bytes &&
                                                       end->second.size_bytes >= segment.covered_bytes);
        if (!same_end || !is_as_it_was(folder.log_segment(segment.number), segment, is_last)) return false;
    }
    return true;
}

/// Reads what an index does not cover.
class TailReader {
  public:
    TailReader(const RunFolder& folder, const ArraysCheck& check, TornTails tails, const SegmentEnds& ends,
               FoundIndex& found)
        : folder_(folder), check_(check), tails_(tails), ends_(ends), found_(found) {}

    /// Returns false where the whole record has to be asked.
    bool read(std::uint32_t number, std::uint64_t from_bytes, std::optional<Id128>& run_id) {
        const auto path = folder_.log_segment(number);
        const Bytes content = detail::read_segment(path, from_bytes);
        const auto end = ends_.find(number);
        const bool on_record = end != ends_.end();
        if (on_record && from_bytes + content.size() > end->second.size_bytes) return false;
        if (from_bytes == 0) read_header(path, content, run_id);
        bool told = true;
        std::optional<Id128> tables_before;
        const auto visit = [&](const Frame& frame) {
            std::optional<Id128> tables;
            if (frame.type == FrameType::tables) tables = hash128(frame.payload);
            FramePlace place = place_of(number, content, frame);
            place.offset_bytes += from_bytes;
            if (told && (!tables || tables != tables_before)) told = apply(number, frame, place);
            tables_before = tables;
        };
        ScanReport scan = from_bytes == 0 ? scan_segment(content, visit) : scan_frames(content, visit);
        if (!told) return false;
        detail::add_scan(found_.report, path, scan);
        found_.new_frames += scan.frames;
        found_.index.add_damage(scan.damaged_bytes);
        found_.ends[number] = {.size_bytes = from_bytes + content.size() - scan.torn_bytes,
                               .on_record = on_record};
        const bool torn = scan.torn_bytes > 0 || from_bytes + content.size() == 0;
        if (tails_ == TornTails::cut && torn) detail::cut_tail(path, from_bytes + scan.whole_bytes);
        return true;
    }

  private:
    void read_header(const std::filesystem::path& path, const Bytes& content, std::optional<Id128>& run_id) {
        const auto header = decode_header(content);
        if (!header) return;
        detail::expect_known_schema(path, *header);
        if (!run_id) run_id = header->run_id;
        if (header->run_id != *run_id) {
            found_.report.notes.push_back(path.string() +
                                          ": was copied from another run folder; its records count");
        }
    }

    bool apply(std::uint32_t number, const Frame& frame, const FramePlace& place) {
        try {
            switch (frame.type) {
                case FrameType::tables:
                    found_.index.add_plan(number, record::decode_tables(frame.payload), place);
                    return true;
                case FrameType::launch:
                    found_.index.add_launch(number, record::decode_launch(frame.payload));
                    return true;
                case FrameType::result:
                    return apply_result(frame);
                case FrameType::crash:
                    found_.index.add_crash(decode_crash(frame.payload).trial);
                    return true;
                case FrameType::attempts:  // they decide nothing
                case FrameType::ends:      // read_ends() has read it
                    return true;
                case FrameType::checkpoint:
                    break;
            }
            ++found_.report.unreadable_frames;
        } catch (const TransportError&) {
            ++found_.report.unreadable_frames;
        }
        return true;
    }

    bool apply_result(const Frame& frame) {
        const ResultPayload result = decode_result(frame.payload);
        ++found_.report.results;
        ArraysState arrays = ArraysState::whole;
        if (check_ && !result.arrays.empty()) arrays = check_(result.arrays);
        if (arrays == ArraysState::missing) return false;
        const bool stands = found_.index.add_result(result.record, result.arrays, arrays);
        // Whether the two agree only their numbers tell.
        return stands || !check_ || result.record.status == record::TrialStatus::failed;
    }

    const RunFolder& folder_;
    const ArraysCheck& check_;
    TornTails tails_;
    const SegmentEnds& ends_;
    FoundIndex& found_;
};

std::optional<FoundIndex> go_on_from(const RunFolder& folder, IndexFile file, const ArraysCheck& check,
                                     TornTails tails, const std::vector<std::uint32_t>& numbers,
                                     const SegmentEnds& ends) {
    FoundIndex found;
    found.index = std::move(file.index);
    found.shown = file.shown;
    const std::vector<SegmentView> covered = found.index.view().segments;
    if (check && !found.index.check_young(check)) return std::nullopt;
    for (const SegmentView& segment : covered) {
        const std::uint64_t size_bytes =
            std::min(segment.covered_bytes, segment.end_bytes.value_or(segment.covered_bytes));
        found.ends[segment.number] = {.size_bytes = size_bytes, .on_record = ends.contains(segment.number)};
    }
    std::optional<Id128> run_id;
    if (!covered.empty()) run_id = found.index.run_id();
    TailReader tail(folder, check, tails, ends, found);
    for (const std::uint32_t number : numbers) {
        if (covered.empty() || number > covered.back().number) {
            if (!tail.read(number, 0, run_id)) return std::nullopt;
        } else if (number == covered.back().number) {
            const std::uint64_t from_bytes = covered.back().covered_bytes;
            if (detail::facts_of(folder.log_segment(number)).size_bytes > from_bytes &&
                !tail.read(number, from_bytes, run_id))
                return std::nullopt;
        }
    }
    found.index.set_run_id(run_id ? *run_id : new_run_id(folder));
    if (tails == TornTails::cut) bring_journal_to_disk(folder, found.ends);
    found.report.damaged_bytes = found.index.damaged_bytes();
    for (const IndexedTrial& trial : found.index.trials()) {
        if (!trial.done()) continue;
        found.report.unacknowledged += trial.arrays == ArraysState::never_acknowledged ? 1U : 0U;
        found.report.missing_arrays += trial.arrays == ArraysState::missing ? 1U : 0U;
    }
    return found;
}

}  // namespace

FileDigest digest_of(const std::filesystem::path& path) {
    const std::uint64_t size_bytes = detail::facts_of(path).size_bytes;
    const auto checksum = checksum_of(path, size_bytes);
    return size_bytes > 0 && checksum ? FileDigest{size_bytes, *checksum} : FileDigest{};
}

std::optional<FoundIndex> read_index(const RunFolder& folder, const ArraysCheck& check, TornTails tails) {
    // The file first: what the journal grows by meanwhile is read behind it.
    auto file = read_file(folder);
    const auto numbers = numbered_files(folder.journal(), ".log");
    const SegmentEnds ends = read_ends(folder);
    if (file && fits(folder, file->index.view(), numbers, ends)) {
        // Whether arrays are there is no question of those who only look.
        if (check && file->vectors != vector_files(folder)) return std::nullopt;
        return go_on_from(folder, std::move(*file), check, tails, numbers, ends);
    }
    return go_on_from(folder, {}, check, tails, numbers, ends);
}

void write_index(const RunFolder& folder, const RunState& state, const FileDigest& shown) {
    RunIndex index(state);
    index.settle([&folder](std::uint32_t number) {
        std::error_code error;
        return std::filesystem::exists(folder.bulk_file(number), error);
    });
    ByteWriter writer;
    writer.number(kIndexMagic);
    writer.number(kIndexVersion);
    writer.number(shown.size_bytes);
    writer.number(shown.checksum);
    const VectorFiles files = vector_files(folder);
    writer.number(static_cast<std::uint64_t>(files.size()));
    for (const auto& [name, size_bytes] : files) {
        writer.text(name);
        writer.number(size_bytes);
    }
    writer.raw(index.encode());
    writer.number(hash64(writer.bytes()));
    const Bytes& bytes = writer.bytes();
    write_file_atomically(folder.index_file(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace memcap::store
