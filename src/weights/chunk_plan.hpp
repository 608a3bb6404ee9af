// The order in which the bytes of several files travel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "weights/exchange_message.hpp"

namespace memcap::weights {

/// Cuts files into chunks. The first chunk of each file comes before all others, so that the headers of all
/// files are known early.
class ChunkPlan {
  public:
    struct Part {
        std::size_t file = 0;
        std::size_t offset = 0;
        std::size_t size_bytes = 0;
    };

    /// Throws TransportError if `chunk_bytes` is 0 or the sizes are beyond what memory can hold.
    ChunkPlan(const std::vector<FileHeader>& files, std::size_t chunk_bytes);
    /// Chunks in all; files without bytes have none.
    std::size_t size() const noexcept { return parts_.size(); }
    const Part& part(std::size_t index) const { return parts_.at(index); }
    std::size_t total_bytes() const noexcept { return total_bytes_; }
    /// So many chunks, from the first on, hold the bytes begin..end of a file.
    std::size_t needed(std::size_t file, std::size_t begin, std::size_t end) const;

  private:
    struct Places {
        std::size_t first = 0;  ///< index of the file's first chunk
        std::size_t rest = 0;   ///< index of its second one
    };

    std::size_t chunk_bytes_;
    std::size_t total_bytes_ = 0;
    std::vector<Part> parts_;
    std::vector<Places> places_;
};

}  // namespace memcap::weights
