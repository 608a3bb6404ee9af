// Looking at a lock file and at its owner.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "memcap/store/journal/lock_owner.hpp"
#include "memcap/store/journal/lock_verdict.hpp"

namespace memcap::store::detail {

/// A lock file as it is at one moment.
struct LockFile {
    std::string text;
    std::uint64_t device = 0;
    KernelLock kernel_lock = KernelLock::unsupported;
};

enum class AskKernel : std::uint8_t { no, yes };

/// Opens the file anew, since a file system over a network may show what is open as it was. Nothing if there
/// is no such file; throws StoreError if it cannot be read.
std::optional<LockFile> read_lock_file(const std::filesystem::path& file, AskKernel ask);

/// What this kernel says of the process with the owner's number and start.
ProcessSight look_at_process(const LockOwner& owner);

}  // namespace memcap::store::detail
