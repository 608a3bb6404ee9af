// The file that keeps what memcap bench measured, one a device and host, where memcap plan finds it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "memcap/plan/speed.hpp"

namespace memcap::app {

/// The folder of these files, by the XDG base directory specification: memcap/bench in XDG_CACHE_HOME, or in
/// .cache of HOME; none if neither is an absolute path.
std::optional<std::filesystem::path> speed_folder();

/// The file of a device and host in that folder.
std::filesystem::path speed_file(const std::filesystem::path& folder, const plan::DeviceSpeed& speed);

/// As the file holds it and memcap bench --json prints it.
std::string to_json_text(const plan::DeviceSpeed& speed);

/// Reads such a file; throws DataError for one that is damaged, of another format, or of another version of
/// memcap.
plan::DeviceSpeed read_speed_file(const std::filesystem::path& file);

/// Adds to what the file of this device and host holds, and returns the file. Throws StoreError.
std::filesystem::path store_speed(const std::filesystem::path& folder, const plan::DeviceSpeed& speed);

/// The readable files of a folder that were measured on this kind of device, by name; a warning for each that
/// is not readable.
std::vector<plan::DeviceSpeed> stored_speeds(const std::filesystem::path& folder, const std::string& device);

}  // namespace memcap::app
