// One writer a run folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace memcap::store {

/// Who holds a run folder.
struct LockOwner {
    std::string host;
    std::int64_t pid = 0;
    std::string job_id;  ///< empty outside a batch system
    std::int32_t restart_count = 0;
    std::string started_utc;
};

/// The right to write to a run folder, held as long as the object lives.
///
/// A kernel lock on the file excludes other processes of this host, and of others where the file system
/// passes such locks on; the text in the file says who holds it. A lock whose owner is known to be gone (a
/// dead process of this host, an earlier start of the same batch job) is taken over.
class FolderLock {
  public:
    /// Throws StoreError, which names the owner and says what to do, if somebody else holds it.
    static FolderLock acquire(const std::filesystem::path& file, const std::string& job_id,
                              std::int32_t restart_count);

    FolderLock(FolderLock&& other) noexcept;
    FolderLock& operator=(FolderLock&& other) noexcept;
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;
    ~FolderLock();

    void release() noexcept;

  private:
    FolderLock(std::filesystem::path file, int descriptor)
        : file_(std::move(file)), descriptor_(descriptor) {}

    std::filesystem::path file_;
    int descriptor_ = -1;
};

/// Who holds the lock, if there is a lock file that can be read. Takes no lock.
std::optional<LockOwner> read_lock(const std::filesystem::path& file);

}  // namespace memcap::store
