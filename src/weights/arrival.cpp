// Regions of a shared arena, filled in the plan's order.
#include "weights/arrival.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/hash.hpp"

namespace memcap::weights {

namespace {

constexpr std::size_t kRegionAlignment = 64;
constexpr double kGlance_s = 0.05;

[[noreturn]] void fail_transfer(const std::string& why) {
    throw TransportError(
        {.what = "the weights did not come from the other rank", .where = {}, .why = why, .advice = {}});
}

/// Sealed memory of a neighbour.
class JoinedFiles final : public FileMemory {
  public:
    JoinedFiles(std::shared_ptr<SharedArena> arena, std::vector<File> files, std::string key)
        : arena_(std::move(arena)), files_(std::move(files)), key_(std::move(key)) {}
    const std::vector<File>& files() const override { return files_; }
    const std::string& identity() const override { return key_; }
    void wait_for(std::span<const std::byte>) const override {}

  private:
    std::shared_ptr<SharedArena> arena_;
    std::vector<File> files_;
    std::string key_;
};

}  // namespace

Arrival::Arrival(const exchange::Announce& announce, std::string memory_key, double silence_s,
                 std::function<bool()> cancelled)
    : headers_(announce.files),
      plan_(announce.files, static_cast<std::size_t>(announce.chunk_bytes)),
      memory_key_(std::move(memory_key)),
      silence_s_(silence_s),
      cancelled_(std::move(cancelled)),
      arena_(SharedArena::open(memory_key_, plan_.total_bytes() + headers_.size() * kRegionAlignment)) {
    if (!arena_->is_maker()) fail_transfer("their memory exists already");
    for (const auto& header : headers_) {
        const auto region = arena_->add(header.name, static_cast<std::size_t>(header.size_bytes));
        regions_.push_back(region);
        files_.push_back({header.name, region});
    }
    if (complete()) publish();
}

Arrival::~Arrival() {
    if (publishing_.joinable()) publishing_.join();
}

/// Sealing takes a tenth of a second a gigabyte, for which whoever lands the chunks cannot be spared. Those
/// who read meanwhile see the same bytes throughout.
void Arrival::publish() {
    publishing_ = std::thread([this] {
        try {
            arena_->publish();
        } catch (const std::bad_alloc&) {
            // The bytes stay readable here; nobody can join them.
        }
        published_.store(true, std::memory_order_release);
    });
}

std::span<const std::byte> Arrival::bytes(std::size_t index) const {
    MEMCAP_EXPECT(index < landed());
    const ChunkPlan::Part& part = plan_.part(index);
    return std::span<const std::byte>(regions_[part.file]).subspan(part.offset, part.size_bytes);
}

void Arrival::land(std::size_t index, std::uint64_t checksum, std::span<const std::byte> payload) {
    if (index != landed() || index >= plan_.size()) {
        fail_transfer(fmt::format("chunk {} came where {} was due", index, landed()));
    }
    const ChunkPlan::Part& part = plan_.part(index);
    if (payload.size() != part.size_bytes || hash64(payload) != checksum) {
        fail_transfer(fmt::format("chunk {} is damaged", index));
    }
    std::memcpy(regions_[part.file].data() + part.offset, payload.data(), payload.size());
    {
        const std::lock_guard lock(mutex_);
        landed_.store(index + 1, std::memory_order_release);
    }
    changed_.notify_all();
    if (complete()) publish();
}

void Arrival::fail(const std::string& reason) {
    {
        const std::lock_guard lock(mutex_);
        if (failure_.empty() && !complete()) failure_ = reason;
    }
    changed_.notify_all();
}

void Arrival::wait_for(std::span<const std::byte> part) const {
    std::size_t needed = 0;
    for (std::size_t i = 0; i < files_.size() && !part.empty(); ++i) {
        const auto& whole = files_[i].bytes;
        if (part.data() < whole.data() || part.data() >= whole.data() + whole.size()) continue;
        const auto begin = static_cast<std::size_t>(part.data() - whole.data());
        MEMCAP_EXPECT(part.size() <= whole.size() - begin);
        needed = plan_.needed(i, begin, begin + part.size());
    }
    if (landed() >= needed) return;
    std::unique_lock lock(mutex_);
    std::size_t seen = landed();
    // Whoever lands the chunks has half this deadline; this one is for the case that it has gone itself.
    double until_s = monotonic_s() + 2.0 * silence_s_;
    while (landed() < needed && failure_.empty()) {
        changed_.wait_for(lock, std::chrono::duration<double>(kGlance_s));
        if (landed() > seen) until_s = monotonic_s() + 2.0 * silence_s_;
        seen = landed();
        if (monotonic_s() > until_s) fail_transfer("nothing has arrived for too long");
        if (cancelled_ && cancelled_()) fail_transfer("the run ends");
    }
    if (landed() < needed) fail_transfer(failure_);
}

std::shared_ptr<const FileMemory> join_arrival(const exchange::Arrived& arrived) {
    auto arena = SharedArena::open(arrived.memory_key, 0);
    if (arena->is_maker()) return nullptr;
    std::vector<FileMemory::File> files;
    for (const auto& header : arrived.files) {
        const auto region = arena->find(header.name);
        if (!region || region->size() != header.size_bytes) return nullptr;
        files.push_back({header.name, *region});
    }
    return std::make_shared<JoinedFiles>(std::move(arena), std::move(files), arrived.memory_key);
}

}  // namespace memcap::weights
