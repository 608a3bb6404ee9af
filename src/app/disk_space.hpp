// Room for a run folder, before it is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "app/preparation.hpp"
#include "memcap/plan/disk.hpp"

namespace memcap::app {

/// The folder that a run of this experiment gets unless another one is given.
std::filesystem::path default_folder(const config::Experiment& experiment);

/// Bytes that this user may still write where `folder` is or would be; none where nobody can tell.
std::optional<std::int64_t> free_bytes(const std::filesystem::path& folder);

/// What all trials of a preparation leave on disk.
plan::DiskUse disk_use(const Preparation& preparation);

/// The same in bytes for so many of them, taken to be average ones.
std::int64_t disk_bytes(const Preparation& preparation, std::size_t trials);

/// Warns if there is no room in `folder` for so many bytes.
void warn_of_full_disk(const std::filesystem::path& folder, std::int64_t needed_bytes);

}  // namespace memcap::app
