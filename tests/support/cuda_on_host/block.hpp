// The threads of one block of a kernel as contexts of one host thread that take turns at barriers and
// shuffles.
#pragma once

#include <cstdint>
#include <functional>

namespace memcap::test {

/// Ends the program with a message unless `holds`: what the message names is a defect of a kernel.
void require(bool holds, const char* what);

/// The block whose threads take turns at the moment.
class Block {
  public:
    virtual ~Block() = default;
    /// Returns when every thread of the block has called it as often, or has ended.
    virtual void wait_for_block() = 0;
    /// Returns what the lane of number (own ^ mask) gave; all 32 lanes of the warp must call it.
    virtual std::uint32_t exchange(std::uint32_t own, unsigned mask) = 0;
};

Block& running_block();

/// Runs `kernel` for threads 0..threads - 1, until all have ended; `enter` is called with a thread's number
/// each time that it goes on. The order of the threads between two barriers is drawn anew for each block, so
/// that what rests on it shows. Threads that wait for each other forever end the program.
void run_block(unsigned threads, const std::function<void(unsigned)>& enter,
               const std::function<void()>& kernel);

}  // namespace memcap::test
