// A file system that fails: calls that report an error, and a power cut that undoes what was not synced.
#pragma once

#include <cstdint>
#include <filesystem>

namespace memcap::store::testing {

enum class FaultKind : std::uint8_t {
    io_error,     ///< EIO
    disk_full,    ///< ENOSPC
    short_write,  ///< half of the bytes are written, then the disk is full; other calls: as disk_full
    power_cut,    ///< at the call to fsync or fdatasync: see FaultyFiles
};
enum class FaultLasts : std::uint8_t { once, from_then_on };

struct Fault {
    FaultKind kind = FaultKind::io_error;
    FaultLasts lasts = FaultLasts::once;
    int call = 1;            ///< the how manieth call fails; calls that only read do not count
    std::uint64_t seed = 0;  ///< of what becomes of blocks in a power cut
};

/// While it lives, files below a folder fail as `fault` says. The process's own calls of open, write, pwrite,
/// ftruncate, truncate, rename, unlink, fsync and fdatasync count; those within libraries do not.
///
/// With `power_cut`, only syncs count. At the call the process ends: each block of 512 bytes that changed
/// since the last sync of its file is kept, as it was before, or garbage; the size is the new or the old one;
/// a file made since the last sync of its folder may be gone.
class FaultyFiles {
  public:
    FaultyFiles(const std::filesystem::path& folder, const Fault& fault);
    FaultyFiles(const FaultyFiles&) = delete;
    FaultyFiles& operator=(const FaultyFiles&) = delete;
    ~FaultyFiles();

    /// The next call fails.
    void fail_next();
    /// Whether a call has failed.
    bool has_failed() const;
};

/// The exit status of a process that a power cut ended.
inline constexpr int kPowerCut = 42;

}  // namespace memcap::store::testing
