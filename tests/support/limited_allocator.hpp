// A host whose memory runs out when a test says so.
#pragma once

#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <atomic>
#include <cstdint>

namespace memcap::test {

/// libtorch's allocator on the CPU while it lives, but for blocks above a limit and for one block by its
/// number. Refuses by libtorch's own words.
class LimitedAllocator final : public c10::Allocator {
  public:
    LimitedAllocator() : was_(*c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, 1); }
    ~LimitedAllocator() override { c10::SetCPUAllocator(&was_, 1); }

    c10::DataPtr allocate(std::size_t size_bytes) override {
        const bool is_chosen = --until_refused_ == 0;
        if (is_chosen || size_bytes > most_bytes_) {
            ++refused_;
            TORCH_CHECK(false, "DefaultCPUAllocator: can't allocate memory: you tried to allocate ",
                        size_bytes, " bytes.");
        }
        return was_.allocate(size_bytes);
    }
    c10::DeleterFnPtr raw_deleter() const override { return was_.raw_deleter(); }
    void copy_data(void* to, const void* from, std::size_t count) const override {
        was_.copy_data(to, from, count);
    }

    /// Refuses larger blocks from now on.
    void limit(std::size_t most_bytes) { most_bytes_ = most_bytes; }
    void lift_limit() { most_bytes_ = SIZE_MAX; }
    /// Refuses the block with this number from now on, from 1; 0: none.
    void refuse(std::int64_t number) { until_refused_ = number; }
    int refused() const { return refused_; }

  private:
    c10::Allocator& was_;
    std::atomic<std::size_t> most_bytes_ = SIZE_MAX;
    std::atomic<std::int64_t> until_refused_ = 0;
    std::atomic<int> refused_ = 0;
};

}  // namespace memcap::test
