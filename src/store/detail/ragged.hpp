// The ragged parts of a result file: /vectors, /curves, /tokens, /prefix_tokens.
#pragma once

#include <cstdint>
#include <filesystem>

#include "store/detail/hdf5.hpp"
#include "store/detail/result_writer.hpp"

namespace memcap::store::detail {

/// Writes /vectors and /curves. Names of files that it refers to are relative to `base`. Returns the rows
/// whose arrays were kept once but cannot be shown.
std::uint64_t write_arrays(const Handle& file, const ResultContent& content,
                           const std::filesystem::path& base);

/// Writes /tokens and /prefix_tokens. Returns the rows whose tokens are not in the run folder.
std::uint64_t write_tokens(const Handle& file, const ResultContent& content);

}  // namespace memcap::store::detail
