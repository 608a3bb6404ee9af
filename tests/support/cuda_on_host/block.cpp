// Contexts of ucontext.h: each thread of a block has a stack, and a barrier hands over to the next thread.
#include "support/cuda_on_host/block.hpp"

#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

namespace memcap::test {

namespace {

constexpr std::size_t kStackBytes = 64 * 1024;
constexpr unsigned kLanes = 32;

struct Thread {
    ucontext_t context;
    bool ended = false;
    std::uint64_t exchanges = 0;  ///< of its warp, that it has reached
    std::uint32_t given[2] = {};  ///< to the last two exchanges
};

class RunningBlock final : public Block {
  public:
    RunningBlock(unsigned threads, std::function<void(unsigned)> enter, std::function<void()> kernel)
        : enter_(std::move(enter)), kernel_(std::move(kernel)), threads_(threads) {}

    void run();

    void wait_for_block() override {
        const std::uint64_t own = barriers_passed_;
        arrived_ += 1;
        pass_barrier_if_all_are_there();
        wait_until([this, own] { return barriers_passed_ > own; });
    }

    std::uint32_t exchange(std::uint32_t own, unsigned mask) override {
        require(threads_.size() % kLanes == 0 && mask < kLanes, "a shuffle in a warp that is not whole");
        const std::size_t self = current_;
        const std::size_t warp = self / kLanes * kLanes;
        const std::uint64_t number = ++threads_[self].exchanges;
        threads_[self].given[number % 2] = own;
        wait_until([this, warp, number] {
            return std::all_of(threads_.begin() + static_cast<std::ptrdiff_t>(warp),
                               threads_.begin() + static_cast<std::ptrdiff_t>(warp + kLanes),
                               [number](const Thread& thread) { return thread.exchanges >= number; });
        });
        // A lane may be one exchange ahead, never two: what it gave to this one still stands.
        return threads_[warp + ((self % kLanes) ^ mask)].given[number % 2];
    }

  private:
    static void start();

    void pass_barrier_if_all_are_there() {
        if (arrived_ == 0 || arrived_ + ended_ < threads_.size()) return;
        arrived_ = 0;
        barriers_passed_ += 1;
    }

    template <class Condition>
    void wait_until(const Condition& holds) {
        const std::size_t self = current_;
        while (!holds()) {
            waited_in_vain_ += 1;
            require(waited_in_vain_ < 4 * threads_.size(), "threads that wait for each other forever");
            swapcontext(&threads_[self].context, &scheduler_);
        }
        waited_in_vain_ = 0;
    }

    std::function<void(unsigned)> enter_;
    std::function<void()> kernel_;
    std::vector<Thread> threads_;
    ucontext_t scheduler_{};
    std::size_t current_ = 0;
    std::size_t arrived_ = 0;  ///< at the barrier that comes next
    std::size_t ended_ = 0;
    std::uint64_t barriers_passed_ = 0;
    std::size_t waited_in_vain_ = 0;
};

RunningBlock* the_block = nullptr;

/// Stacks are kept from block to block.
char* stack_of(std::size_t thread) {
    static std::vector<std::unique_ptr<char[]>> stacks;
    while (stacks.size() <= thread) stacks.push_back(std::make_unique<char[]>(kStackBytes));
    return stacks[thread].get();
}

void RunningBlock::start() {
    RunningBlock& block = *the_block;
    block.kernel_();
    block.threads_[block.current_].ended = true;
    block.ended_ += 1;
    block.pass_barrier_if_all_are_there();
    block.waited_in_vain_ = 0;
    swapcontext(&block.threads_[block.current_].context, &block.scheduler_);
}

void RunningBlock::run() {
    static std::minstd_rand generator(1);
    for (std::size_t i = 0; i < threads_.size(); ++i) {
        getcontext(&threads_[i].context);
        threads_[i].context.uc_stack.ss_sp = stack_of(i);
        threads_[i].context.uc_stack.ss_size = kStackBytes;
        threads_[i].context.uc_link = &scheduler_;
        makecontext(&threads_[i].context, &RunningBlock::start, 0);
    }
    std::vector<std::size_t> order(threads_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::shuffle(order.begin(), order.end(), generator);
    the_block = this;
    bool left = true;
    while (left) {
        left = false;
        for (const std::size_t next : order) {
            if (threads_[next].ended) continue;
            left = true;
            current_ = next;
            enter_(static_cast<unsigned>(next));
            swapcontext(&scheduler_, &threads_[next].context);
        }
    }
    the_block = nullptr;
}

}  // namespace

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "kernel on the host: %s\n", what);
    std::abort();
}

Block& running_block() {
    require(the_block != nullptr, "a barrier outside of a kernel");
    return *the_block;
}

void run_block(unsigned threads, const std::function<void(unsigned)>& enter,
               const std::function<void()>& kernel) {
    RunningBlock(threads, enter, kernel).run();
}

}  // namespace memcap::test
