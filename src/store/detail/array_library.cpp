// Reading arrays, and moving them from bulk files to segments.
#include "store/detail/array_library.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <system_error>

#include "memcap/base/files.hpp"
#include "memcap/base/log.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "store/detail/segment_file.hpp"

namespace memcap::store::detail {

/// The bulk file and the segment that were read last stay open: places come in order.
struct ArrayLibrary::Cache {
    std::uint32_t bulk_number = 0;
    int bulk = -1;
    std::uint32_t segment_number = 0;
    std::optional<SegmentReader> segment;

    ~Cache() { close_bulk(); }
    void close_bulk() {
        if (bulk >= 0) ::close(bulk);
        bulk = -1;
        bulk_number = 0;
    }
};

ArrayLibrary::ArrayLibrary(const RunFolder& folder) : folder_(folder), cache_(std::make_unique<Cache>()) {}
ArrayLibrary::ArrayLibrary(ArrayLibrary&&) noexcept = default;
ArrayLibrary& ArrayLibrary::operator=(ArrayLibrary&&) noexcept = default;
ArrayLibrary::~ArrayLibrary() = default;

ArrayLibrary ArrayLibrary::open(const RunFolder& folder) {
    ArrayLibrary library(folder);
    for (const std::uint32_t number : numbered_files(folder.vectors(), ".h5")) {
        const auto path = folder.vectors_segment(number);
        try {
            library.segments_.emplace(number, SegmentReader(path).index());
        } catch (const Hdf5Failure& failure) {
            log::warning(fmt::format("{}: its vectors and curves cannot be read ({}); their numbers stay",
                                     path.string(), failure.what()));
        }
    }
    return library;
}

std::optional<SegmentEntry> ArrayLibrary::find(const BulkPlace& place) const {
    const auto segment = segments_.find(place.number);
    if (segment == segments_.end()) return std::nullopt;
    const auto entry = segment->second.entries.find(place.offset_bytes);
    if (entry == segment->second.entries.end() || entry->second.checksum != place.checksum)
        return std::nullopt;
    return entry->second;
}

ArraysState ArrayLibrary::check(const BulkPlace& place) {
    if (find(place)) return ArraysState::whole;
    if (segments_.contains(place.number)) return ArraysState::never_acknowledged;
    std::error_code error;
    if (!std::filesystem::exists(folder_.bulk_file(place.number), error)) return ArraysState::missing;
    record::TrialRecord scratch;
    return read_bulk(place, scratch) ? ArraysState::whole : ArraysState::never_acknowledged;
}

ArraysState ArrayLibrary::verify(const BulkPlace& place) {
    const ArraysState state = check(place);
    record::TrialRecord scratch;
    if (state == ArraysState::whole && !read(place, scratch)) return ArraysState::missing;
    return state;
}

bool ArrayLibrary::read(const BulkPlace& place, record::TrialRecord& record) {
    const auto entry = find(place);
    return entry ? read_segment(place, *entry, record) : read_bulk(place, record);
}

bool ArrayLibrary::read_bulk(const BulkPlace& place, record::TrialRecord& record) {
    Cache& cache = *cache_;
    if (cache.bulk_number != place.number) {
        cache.close_bulk();
        cache.bulk = ::open(folder_.bulk_file(place.number).c_str(), O_RDONLY | O_CLOEXEC);
        cache.bulk_number = place.number;
    }
    if (cache.bulk < 0) return false;
    const auto end = ::lseek(cache.bulk, 0, SEEK_END);
    if (end < 0 || place.offset_bytes + place.size_bytes() > static_cast<std::uint64_t>(end)) return false;
    Bytes bytes(place.size_bytes());
    const auto count =
        ::pread(cache.bulk, bytes.data(), bytes.size(), static_cast<off_t>(place.offset_bytes));
    return count == static_cast<ssize_t>(bytes.size()) && decode_arrays(bytes, place, record);
}

bool ArrayLibrary::read_segment(const BulkPlace& place, const SegmentEntry& entry,
                                record::TrialRecord& record) {
    Cache& cache = *cache_;
    try {
        if (!cache.segment || cache.segment_number != place.number) {
            cache.segment.reset();
            cache.segment.emplace(folder_.vectors_segment(place.number));
            cache.segment_number = place.number;
        }
        record::TrialRecord found;
        cache.segment->read(place, entry, found);
        return decode_arrays(encode_arrays(found), place, record);
    } catch (const Hdf5Failure&) {
        cache.segment.reset();
        return false;
    }
}

void ArrayLibrary::publish(std::uint32_t number, const std::vector<std::pair<Id128, BulkPlace>>& live) {
    auto ordered = live;
    std::sort(ordered.begin(), ordered.end(),
              [](const auto& a, const auto& b) { return a.second.offset_bytes < b.second.offset_bytes; });
    const auto path = folder_.vectors_segment(number);
    const std::filesystem::path temporary = path.string() + ".tmp";
    SegmentWriter writer(temporary, ordered);
    for (const auto& [trial, place] : ordered) {
        record::TrialRecord arrays;
        if (read_bulk(place, arrays)) {
            writer.append(trial, place, arrays);
        } else {
            log::warning(fmt::format("{}: the vector of trial {} is damaged and is left out",
                                     folder_.bulk_file(number).string(), trial.hex()));
        }
    }
    ArraySegment segment = writer.finish();
    publish_file(temporary, path);
    segments_.insert_or_assign(number, std::move(segment));
    cache_->close_bulk();
    // A crash before this line leaves both files; the next start sees the segment and deletes the bulk file.
    std::error_code ignored;
    std::filesystem::remove(folder_.bulk_file(number), ignored);
}

}  // namespace memcap::store::detail
