// The ragged parts of a result file: /vectors, /curves, /tokens, /prefix_tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "store/detail/hdf5.hpp"
#include "store/detail/result_writer.hpp"

namespace memcap::store::detail {

/// Rows whose arrays were kept but are not shown, and where to look whether the others are.
struct ArraysReport {
    std::uint64_t gone = 0;      ///< their segment is missing or damaged
    std::set<std::string> lost;  ///< these segments
    std::uint64_t young = 0;     ///< they are in no segment yet, so that nothing can refer to them
    /// An element of each segment that the file refers to, in the values of the file.
    std::vector<std::int64_t> vector_samples, curve_samples;
};

/// Writes /vectors and /curves. Names of files that it refers to are relative to the real folder `base`.
ArraysReport write_arrays(const Handle& file, const ResultContent& content,
                          const std::filesystem::path& base);

/// Writes /tokens and /prefix_tokens. Returns the rows whose tokens are not in the run folder.
std::uint64_t write_tokens(const Handle& file, const ResultContent& content);

}  // namespace memcap::store::detail
