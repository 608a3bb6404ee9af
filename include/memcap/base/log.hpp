// Logging: one logger a process, to stderr and, once a run folder is open, to log/rank-<n>.log.
#pragma once

#include <filesystem>
#include <string_view>

namespace memcap::log {

/// Also writes to a file from now on; `rank` is shown on each line when there is more than one rank.
void open_file(const std::filesystem::path& file);
/// Puts "[rank r]" into each line on stderr.
void set_rank(int rank, int ranks);

void info(std::string_view message);
void warning(std::string_view message);
void error(std::string_view message);

}  // namespace memcap::log
