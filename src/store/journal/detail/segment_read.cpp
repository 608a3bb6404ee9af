// Reading the journal's files, and leaving them as they should be.
#include "store/journal/detail/segment_read.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"

namespace memcap::store::detail {

Bytes read_segment(const std::filesystem::path& path, std::uint64_t from_bytes) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const auto size_bytes = file ? static_cast<std::uint64_t>(file.tellg()) : 0;
    Bytes bytes(size_bytes - std::min(size_bytes, from_bytes));
    file.seekg(static_cast<std::streamoff>(std::min(size_bytes, from_bytes)));
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

void cut_tail(const std::filesystem::path& path, std::uint64_t whole_bytes) {
    const bool nothing_there = whole_bytes < kSegmentHeaderBytes;
    const int failed =
        nothing_there ? ::unlink(path.c_str()) : ::truncate(path.c_str(), static_cast<off_t>(whole_bytes));
    if (failed != 0) {
        log::warning(fmt::format("{}: the torn end could not be cut off ({}); it stays and does no harm",
                                 path.string(), std::strerror(errno)));
    }
}

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

FileFacts facts_of(const std::filesystem::path& path) {
    struct stat facts {};
    if (::stat(path.c_str(), &facts) != 0) return {};
    constexpr std::int64_t kSecond_ns = 1'000'000'000;
    return {.size_bytes = static_cast<std::uint64_t>(facts.st_size),
            .changed_ns = kSecond_ns * facts.st_mtim.tv_sec + facts.st_mtim.tv_nsec};
}

}  // namespace memcap::store::detail
