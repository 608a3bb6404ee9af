// Heads of files first, then their rests one file after the other.
#include "weights/chunk_plan.hpp"

#include <algorithm>

#include "memcap/base/errors.hpp"

namespace memcap::weights {

namespace {

// Far beyond any model, far below where sums of sizes overflow.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 48U;
constexpr std::size_t kMostFiles = 100000;

[[noreturn]] void fail() {
    throw TransportError({.what = "the announced weight files cannot be received",
                          .where = {},
                          .why = "their sizes make no sense",
                          .advice = "Use one version of memcap for all ranks"});
}

}  // namespace

ChunkPlan::ChunkPlan(const std::vector<FileHeader>& files, std::size_t chunk_bytes)
    : chunk_bytes_(chunk_bytes), places_(files.size()) {
    if (chunk_bytes == 0 || files.size() > kMostFiles) fail();
    for (std::size_t file = 0; file < files.size(); ++file) {
        if (files[file].size_bytes > kMostBytes) fail();
        const auto size = static_cast<std::size_t>(files[file].size_bytes);
        total_bytes_ += size;
        places_[file].first = parts_.size();
        if (size > 0) parts_.push_back({file, 0, std::min(size, chunk_bytes)});
    }
    for (std::size_t file = 0; file < files.size(); ++file) {
        const auto size = static_cast<std::size_t>(files[file].size_bytes);
        places_[file].rest = parts_.size();
        for (std::size_t offset = chunk_bytes; offset < size; offset += chunk_bytes) {
            parts_.push_back({file, offset, std::min(size - offset, chunk_bytes)});
        }
    }
}

std::size_t ChunkPlan::needed(std::size_t file, std::size_t begin, std::size_t end) const {
    if (begin >= end) return 0;
    const std::size_t last = (end - 1) / chunk_bytes_;
    const Places& places = places_.at(file);
    return (last == 0 ? places.first : places.rest + last - 1) + 1;
}

}  // namespace memcap::weights
