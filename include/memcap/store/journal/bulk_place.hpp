// Where the vector and the curve of a trial lie.
#pragma once

#include <cstdint>

namespace memcap::store {

/// A place in a bulk file, and for ever after in the vectors segment of the same number.
struct BulkPlace {
    std::uint32_t number = 0;        ///< of the bulk file, from 1; 0: nothing was kept
    std::uint64_t offset_bytes = 0;  ///< in the bulk file; also the entry's key in the vectors segment
    std::uint64_t vector_count = 0;  ///< float32 elements
    std::uint64_t curve_count =
        0;  ///< points: int32 evaluation, float32 loss, float32 accuracy, one array after another
    std::uint64_t checksum = 0;  ///< XXH3-64 of the entry

    bool empty() const noexcept { return number == 0; }
    std::uint64_t size_bytes() const noexcept { return 4 * vector_count + 12 * curve_count; }
    bool operator==(const BulkPlace&) const = default;
};

}  // namespace memcap::store
