// The files behind a virtual dataset.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "store/detail/hdf5.hpp"

namespace memcap::store::detail {

/// A stretch of a virtual dataset and the file it lies in.
struct VirtualSource {
    std::string file;  ///< relative to the folder of the file that refers to it
    std::uint64_t start = 0;
    std::uint64_t count = 0;
};

/// In the order of the dataset; empty if it holds its values itself.
std::vector<VirtualSource> virtual_sources(const Handle& dataset);

/// What is wrong with a file that vectors or curves should come from, in words; empty if it opens.
std::string why_unreadable(const std::filesystem::path& file);

}  // namespace memcap::store::detail
