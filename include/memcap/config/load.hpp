// Reading experiment files, and writing them resolved.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "memcap/config/experiment.hpp"

namespace memcap::config {

/// Which of the models' and corpora's paths have to be on disk.
enum class Paths : std::uint8_t {
    must_exist,
    texts_may_be_elsewhere,  ///< a corpus whose folder is not here either is taken to be on another machine
    may_be_absent
};

/// Reads an experiment file, changed by `overrides` ("key.path=value" with a YAML value; list items by number
/// from 0). Relative paths are taken from the file's folder; ${NAME} in a value stands for an environment
/// variable,
/// $${NAME} for itself. Throws ConfigError with every mistake, or DataError if the file cannot be read.
Experiment load(const std::filesystem::path& file, std::span<const std::string> overrides = {},
                Paths paths = Paths::must_exist);

/// The same for a text that is already in memory and would lie at `file`.
Experiment parse(std::string_view text, const std::filesystem::path& file,
                 std::span<const std::string> overrides = {}, Paths paths = Paths::must_exist);

/// The experiment as YAML that load() turns into an equal one, from any folder: absolute paths, all values
/// written.
std::string resolved_yaml(const Experiment& experiment);

}  // namespace memcap::config
