// JSON that others wrote: parsed within limits of depth and length, and shown in messages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace memcap::hub::detail {

/// Values may stand this deep in each other: nlohmann-json copies and prints them by recursion, so a file
/// that nests without end would exhaust the stack. Published files have about five levels.
inline constexpr int kMaxJsonDepth = 64;

/// No JSON file of a model is longer; the reference implementation of safetensors has this limit for headers.
inline constexpr std::uint64_t kMaxJsonBytes = 100'000'000;

struct JsonText {
    nlohmann::json value;  ///< discarded if the text is no JSON
    std::optional<std::string>
        repeated_key;  ///< one that the outermost object has twice, of which the last counts
};

/// Parses a text; `file` is where it stands. Throws DataError if it nests deeper than kMaxJsonDepth.
JsonText parse_json(const std::filesystem::path& file, std::string_view text);

/// The text of a file that should hold JSON; throws DataError if it cannot be read or is longer than
/// kMaxJsonBytes.
std::string read_json_file(const std::filesystem::path& file);

/// A value as it is written in JSON, cut where it is too long for a message.
std::string shown(const nlohmann::json& value);

}  // namespace memcap::hub::detail
