// What libtorch's allocator on a CPU has given out, for tests that count memory.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <cstdint>

namespace memcap::test {

/// Counts what the allocator has given out and not got back, while a guard has it in place.
class HeldBytes final : public c10::MemoryReportingInfoBase {
  public:
    void reportMemoryUsage(void* /*place*/, std::int64_t bytes, std::size_t /*all*/, std::size_t /*reserved*/,
                           c10::Device /*device*/) override {
        held_ += bytes;
        peak_ = std::max(peak_, held_);
    }
    bool memoryProfilingEnabled() const override { return true; }
    std::int64_t held() const { return held_; }
    /// The most that was held at once.
    std::int64_t peak() const { return peak_; }

  private:
    std::int64_t held_ = 0;
    std::int64_t peak_ = 0;
};

}  // namespace memcap::test
