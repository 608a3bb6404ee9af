// Files that arrive chunk by chunk in memory that a node shares.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "memcap/base/file_memory.hpp"
#include "memcap/base/shared_arena.hpp"
#include "weights/chunk_plan.hpp"
#include "weights/exchange_message.hpp"

namespace memcap::weights {

/// One thread lands chunks in order, others read what has arrived. When all has arrived the memory is sealed
/// and can be joined by its key.
class Arrival final : public FileMemory {
  public:
    /// `cancelled` is asked by those who wait. Throws TransportError for an announcement that makes no sense,
    /// std::bad_alloc without address space.
    Arrival(const exchange::Announce& announce, std::string memory_key, double silence_s,
            std::function<bool()> cancelled);
    ~Arrival() override;

    const std::vector<File>& files() const override { return files_; }
    const std::string& identity() const override { return memory_key_; }
    void wait_for(std::span<const std::byte> part) const override;

    const ChunkPlan& plan() const noexcept { return plan_; }
    const std::vector<FileHeader>& headers() const noexcept { return headers_; }
    std::size_t landed() const noexcept { return landed_.load(std::memory_order_acquire); }
    bool complete() const noexcept { return landed() == plan_.size(); }
    /// All has arrived, and others may join the memory.
    bool published() const noexcept { return published_.load(std::memory_order_acquire); }
    /// The bytes of a chunk that has landed.
    std::span<const std::byte> bytes(std::size_t index) const;
    /// Takes the next chunk; throws TransportError if it is not the next one, or damaged.
    void land(std::size_t index, std::uint64_t checksum, std::span<const std::byte> payload);
    /// Nothing more will arrive.
    void fail(const std::string& reason);

  private:
    void publish();

    std::vector<FileHeader> headers_;
    ChunkPlan plan_;
    std::string memory_key_;
    double silence_s_;
    std::function<bool()> cancelled_;
    std::shared_ptr<SharedArena> arena_;
    std::vector<std::span<std::byte>> regions_;
    std::vector<File> files_;

    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::atomic<std::size_t> landed_ = 0;
    std::string failure_;  ///< empty while chunks may come
    std::atomic<bool> published_ = false;
    std::thread publishing_;
};

/// The files that another process of this node received, or null if its memory cannot be joined.
std::shared_ptr<const FileMemory> join_arrival(const exchange::Arrived& arrived);

}  // namespace memcap::weights
