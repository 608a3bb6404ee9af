// Appending, and writing anew once most of it is superseded.
#include "memcap/store/journal/checkpoints.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>
#include <vector>

#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "memcap/store/journal/frame.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace memcap::store {

namespace {

constexpr std::size_t kIdBytes = 16;
// Files are written anew when they hold this much, and less than half of it counts.
constexpr std::uint64_t kWorthCompacting = std::uint64_t{64} << 20U;

Bytes read_all(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    Bytes bytes(file ? static_cast<std::size_t>(file.tellg()) : 0);
    file.seekg(0);
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file) bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
    return bytes;
}

}  // namespace

std::filesystem::path Checkpoints::path_of(std::uint32_t file) const {
    return folder_ / fmt::format("{:06}.log", file);
}

Checkpoints Checkpoints::open(const std::filesystem::path& folder,
                              const std::function<bool(const Id128&)>& wanted) {
    Checkpoints checkpoints(folder);
    for (const std::uint32_t number : numbered_files(folder, ".log")) {
        if (std::filesystem::is_regular_file(checkpoints.path_of(number))) checkpoints.read(number, wanted);
        checkpoints.number_ = number;
    }
    return checkpoints;
}

void Checkpoints::read(std::uint32_t file, const std::function<bool(const Id128&)>& wanted) {
    const Bytes bytes = read_all(path_of(file));
    all_bytes_ += bytes.size();
    const ScanReport scan = scan_segment(bytes, [&](const Frame& frame) {
        if (frame.type != FrameType::checkpoint || frame.payload.size() < kIdBytes) return;
        ByteReader in(frame.payload);
        const Id128 trial = in.id();
        drop(trial);
        if (!wanted(trial)) return;
        const auto offset = static_cast<std::uint64_t>(frame.payload.data() - bytes.data()) + kIdBytes;
        places_[trial] = {file, offset, frame.payload.size() - kIdBytes};
        live_bytes_ += frame.payload.size();
    });
    if (scan.damaged_bytes > 0) {
        log::warning(
            fmt::format("{}: {} damaged bytes were skipped; trials whose checkpoints they held start "
                        "from an older one, or anew",
                        path_of(file).string(), scan.damaged_bytes));
    }
}

void Checkpoints::put(const Id128& trial, std::span<const std::byte> state) {
    if (all_bytes_ > kWorthCompacting && live_bytes_ < all_bytes_ / 2) compact();
    write(trial, state);
}

void Checkpoints::write(const Id128& trial, std::span<const std::byte> state) {
    if (!file_) begin_file();
    ByteWriter payload;
    payload.id(trial);
    payload.raw(state);
    const Bytes& bytes = payload.bytes();
    const std::uint64_t begin = file_->size_bytes();
    file_->append(
        encode_frame_header({.type = FrameType::checkpoint, .sequence = ++sequence_, .payload = bytes}),
        bytes);
    all_bytes_ += file_->size_bytes() - begin;
    drop(trial);
    places_[trial] = {number_, begin + kFrameHeaderBytes + kIdBytes, state.size()};
    live_bytes_ += state.size() + kIdBytes;
}

void Checkpoints::begin_file() {
    file_ = AppendFile::create(path_of(number_ + 1));
    ++number_;
    file_->append(encode_header({.schema_version = kJournalSchemaVersion, .number = number_, .run_id = {}}));
    all_bytes_ += file_->size_bytes();
}

void Checkpoints::drop(const Id128& trial) {
    const auto found = places_.find(trial);
    if (found == places_.end()) return;
    live_bytes_ -= found->second.size_bytes + kIdBytes;
    places_.erase(found);
}

std::optional<Bytes> Checkpoints::get(const Id128& trial) const {
    const auto found = places_.find(trial);
    if (found == places_.end()) return std::nullopt;
    const int descriptor = ::open(path_of(found->second.file).c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return std::nullopt;
    Bytes bytes(found->second.size_bytes);
    const auto count =
        ::pread(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(found->second.offset_bytes));
    ::close(descriptor);
    if (count != static_cast<ssize_t>(bytes.size())) return std::nullopt;
    return bytes;
}

/// All that counts goes to a new file; the others are removed once that one is on the disk.
void Checkpoints::compact() {
    const std::vector<std::uint32_t> old = numbered_files(folder_, ".log");
    begin_file();
    all_bytes_ = file_->size_bytes();
    live_bytes_ = 0;
    for (const auto& [trial, place] : std::exchange(places_, {})) {
        places_[trial] = place;
        const auto state = get(trial);
        places_.erase(trial);
        if (state) write(trial, *state);
    }
    file_->sync();
    for (const std::uint32_t number : old) std::filesystem::remove(path_of(number));
}

void Checkpoints::sync() {
    if (file_) file_->sync();
}

void Checkpoints::close() {
    sync();
    if (!places_.empty()) return;
    file_.reset();
    for (const std::uint32_t number : numbered_files(folder_, ".log"))
        std::filesystem::remove(path_of(number));
}

}  // namespace memcap::store
