// Reading arrays, and moving them from bulk files to segments.
#include "store/detail/array_library.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <system_error>

#include "memcap/base/hash.hpp"

#include "memcap/base/files.hpp"
#include "memcap/base/log.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "store/detail/segment_file.hpp"

namespace memcap::store::detail {

/// The bulk file and the segment that were read last stay open: places come in order.
struct ArrayLibrary::Cache {
    std::uint32_t bulk_number = 0;
    int bulk = -1;
    std::filesystem::path segment_path;
    std::optional<SegmentReader> segment;

    ~Cache() { close_bulk(); }
    void close() {
        close_bulk();
        segment.reset();
    }
    void close_bulk() {
        if (bulk >= 0) ::close(bulk);
        bulk = -1;
        bulk_number = 0;
    }
};

namespace {

/// The number in a segment's name, <nnnn>-<content>.h5 or, from earlier versions, <nnnn>.h5.
std::optional<std::uint32_t> number_of_segment(const std::filesystem::path& path) {
    const std::string name = path.filename().string();
    const char* const name_end = name.data() + name.size();
    std::uint32_t number = 0;
    const auto [end, problem] = std::from_chars(name.data(), name_end, number);
    if (problem != std::errc{}) return std::nullopt;
    std::string_view rest(end, static_cast<std::size_t>(name_end - end));
    if (!rest.ends_with(".h5")) return std::nullopt;
    rest.remove_suffix(3);
    const bool tagged = rest.size() == 17 && rest.front() == '-' &&
                        rest.find_first_not_of("0123456789abcdef", 1) == std::string_view::npos;
    return rest.empty() || tagged ? std::optional(number) : std::nullopt;
}

std::uint64_t content_hash(const Id128& run_id, std::uint32_t number,
                           const std::vector<std::pair<Id128, BulkPlace>>& entries) {
    ByteWriter writer;
    writer.id(run_id);
    writer.number(number);
    for (const auto& [trial, place] : entries) {
        writer.id(trial);
        writer.number(place.offset_bytes);
        writer.number(place.checksum);
    }
    return hash64(writer.bytes());
}

}  // namespace

std::uint32_t last_segment_number(const RunFolder& folder) {
    std::uint32_t last = 0;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder.vectors(), error))
        last = std::max(last, number_of_segment(entry.path()).value_or(0));
    return last;
}

ArrayLibrary::ArrayLibrary(const RunFolder& folder)
    : folder_(folder), run_id_(read_run_id(folder)), cache_(std::make_unique<Cache>()) {}
ArrayLibrary::ArrayLibrary(ArrayLibrary&&) noexcept = default;
ArrayLibrary& ArrayLibrary::operator=(ArrayLibrary&&) noexcept = default;
ArrayLibrary::~ArrayLibrary() = default;

ArrayLibrary ArrayLibrary::open(const RunFolder& folder) {
    ArrayLibrary library(folder);
    library.look_again();
    return library;
}

bool ArrayLibrary::look_again() {
    std::error_code error;
    const auto changed_at = std::filesystem::last_write_time(folder_.vectors(), error);
    if (error || changed_at == looked_at_) return false;
    looked_at_ = changed_at;
    std::set<std::filesystem::path> known;
    for (const auto& [number, segment] : segments_) known.insert(segment.path);
    std::map<std::filesystem::path, std::uint32_t> fresh;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.vectors(), error)) {
        const auto number = number_of_segment(entry.path());
        if (number && !known.contains(entry.path())) fresh.emplace(entry.path(), *number);
    }
    for (const auto& [path, number] : fresh) {
        try {
            segments_.emplace(number, SegmentReader(path).index());
        } catch (const Hdf5Failure& failure) {
            log::warning(fmt::format("{}: its vectors and curves cannot be read ({}); their numbers stay",
                                     path.string(), failure.what()));
        }
    }
    return !fresh.empty();
}

bool ArrayLibrary::has_own(std::uint32_t number) const {
    const auto [begin, end] = segments_.equal_range(number);
    return std::any_of(begin, end, [this](const auto& item) {
        const std::string& run_id = item.second.run_id;
        return run_id.empty() || !run_id_ || run_id == run_id_->hex();
    });
}

std::optional<FoundArrays> ArrayLibrary::find(const BulkPlace& place) const {
    const auto [begin, end] = segments_.equal_range(place.number);
    for (auto segment = begin; segment != end; ++segment) {
        const auto entry = segment->second.entries.find(place.offset_bytes);
        if (entry != segment->second.entries.end() && entry->second.checksum == place.checksum)
            return FoundArrays{&segment->second, entry->second};
    }
    return std::nullopt;
}

ArraysState ArrayLibrary::check(const BulkPlace& place) {
    if (find(place)) return ArraysState::whole;
    if (has_own(place.number)) return ArraysState::never_acknowledged;
    record::TrialRecord scratch;
    if (read_bulk(place, scratch)) return ArraysState::whole;
    if (look_again() && find(place)) return ArraysState::whole;
    std::error_code error;
    return std::filesystem::exists(folder_.bulk_file(place.number), error) ? ArraysState::never_acknowledged
                                                                           : ArraysState::missing;
}

ArraysState ArrayLibrary::verify(const BulkPlace& place) {
    const ArraysState state = check(place);
    record::TrialRecord scratch;
    if (state == ArraysState::whole && !read(place, scratch)) return ArraysState::missing;
    return state;
}

bool ArrayLibrary::read(const BulkPlace& place, record::TrialRecord& record) {
    if (const auto found = find(place)) return read_segment(place, *found, record);
    if (read_bulk(place, record)) return true;
    const auto found = look_again() ? find(place) : std::nullopt;
    return found && read_segment(place, *found, record);
}

std::string ArrayLibrary::segment_name(const BulkPlace& place) const {
    if (const auto found = find(place)) return found->segment->path.string();
    std::set<std::filesystem::path> readable;
    for (const auto& [number, segment] : segments_) readable.insert(segment.path);
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.vectors(), error)) {
        if (number_of_segment(entry.path()) == place.number && !readable.contains(entry.path()))
            return entry.path().string();
    }
    return (folder_.vectors() / fmt::format("{:04}-*.h5", place.number)).string();
}

void ArrayLibrary::release() {
    cache_->close();
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

bool ArrayLibrary::read_segment(const BulkPlace& place, const FoundArrays& found,
                                record::TrialRecord& record) {
    Cache& cache = *cache_;
    try {
        if (!cache.segment || cache.segment_path != found.segment->path) {
            cache.segment.reset();
            cache.segment.emplace(found.segment->path);
            cache.segment_path = found.segment->path;
        }
        record::TrialRecord arrays;
        cache.segment->read(place, found.entry, arrays);
        return decode_arrays(encode_arrays(arrays), place, record);
    } catch (const Hdf5Failure&) {
        cache.segment.reset();
        return false;
    }
}

void ArrayLibrary::publish(const Id128& run_id, std::uint32_t number,
                           const std::vector<std::pair<Id128, BulkPlace>>& live,
                           const std::function<void()>& keep_folder) {
    auto ordered = live;
    std::sort(ordered.begin(), ordered.end(),
              [](const auto& a, const auto& b) { return a.second.offset_bytes < b.second.offset_bytes; });
    const auto path = folder_.vectors_segment(number, content_hash(run_id, number, ordered));
    const std::filesystem::path temporary = temporary_name(path);
    SegmentWriter writer(temporary, run_id, ordered);
    for (const auto& [trial, place] : ordered) {
        keep_folder();
        record::TrialRecord arrays;
        if (read_bulk(place, arrays)) {
            writer.append(trial, place, arrays);
        } else {
            log::warning(fmt::format("{}: the vector of trial {} is damaged and is left out",
                                     folder_.bulk_file(number).string(), trial.hex()));
        }
    }
    ArraySegment segment = writer.finish();
    segment.path = path;
    keep_folder();
    publish_file(temporary, path);
    segments_.emplace(number, std::move(segment));
    cache_->close_bulk();
    // A crash before this line leaves both files; the next start sees the segment and deletes the bulk file.
    std::error_code ignored;
    std::filesystem::remove(folder_.bulk_file(number), ignored);
}

}  // namespace memcap::store::detail
