// A double of NCCL and of the CUDA runtime between threads: communicators, broadcasts and streams in memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "weights/device_calls.hpp"

namespace memcap::weights::testing {

/// What is to go wrong on a rank.
struct NcclFaults {
    static constexpr int kNever = 1'000'000'000;
    bool start_fails = false;                       ///< ncclCommInitRankConfig says so at once
    bool start_never_ends = false;                  ///< it does not join the others
    int breaks_at_broadcast = kNever;               ///< the communicator reports an error from this one on
    std::atomic<int> stalls_at_broadcast = kNever;  ///< nothing of it or of later ones ever ends
    bool finalize_never_ends = false;
};

/// All communicators of a process. Thread-safe.
class NcclWorld {
  public:
    std::string make_id() {
        const std::lock_guard lock(mutex_);
        return "communicator " + std::to_string(++ids_);
    }
    void join(const std::string& id, int rank) {
        const std::lock_guard lock(mutex_);
        communicators_[id].joined.insert(rank);
    }
    bool has_all(const std::string& id, int ranks) {
        const std::lock_guard lock(mutex_);
        return communicators_[id].joined.size() == static_cast<std::size_t>(ranks);
    }
    /// The root's part of a broadcast: false while too many earlier ones have not reached the second rank.
    bool give(const std::string& id, int number, int ranks, Bytes bytes) {
        constexpr int kMostOnTheWay = 6;
        const std::lock_guard lock(mutex_);
        auto& sent = communicators_[id].sent;
        const auto early = sent.find(number - kMostOnTheWay);
        if (ranks > 1 && early != sent.end() && early->second.reached == 0) return false;
        sent[number].bytes = std::move(bytes);
        return true;
    }
    /// Another rank's part: the bytes, once they have reached the rank before it, as along a ring.
    std::optional<Bytes> pass(const std::string& id, int number, int rank) {
        const std::lock_guard lock(mutex_);
        auto& sent = communicators_[id].sent;
        const auto found = sent.find(number);
        if (found == sent.end() || found->second.reached < rank - 1) return std::nullopt;
        found->second.reached = std::max(found->second.reached, rank);
        return found->second.bytes;
    }

  private:
    struct Sent {
        Bytes bytes;
        int reached = 0;  ///< the last rank that has them
    };
    struct Communicator {
        std::set<int> joined;
        std::map<int, Sent> sent;
    };
    std::mutex mutex_;
    int ids_ = 0;
    std::map<std::string, Communicator> communicators_;
};

/// What one rank's thread called, in order; shared by all its communicators.
class CallLog {
  public:
    void add(const std::string& call) {
        const std::lock_guard lock(mutex_);
        calls_.push_back(call);
    }
    std::vector<std::string> calls() {
        const std::lock_guard lock(mutex_);
        return calls_;
    }
    std::size_t count(const std::string& call) {
        const std::lock_guard lock(mutex_);
        std::size_t count = 0;
        for (const auto& known : calls_) count += known == call ? 1 : 0;
        return count;
    }

  private:
    std::mutex mutex_;
    std::vector<std::string> calls_;
};

/// Every started operation ends when it is asked for, in order, unless a fault says otherwise.
class NcclDouble final : public DeviceCalls {
  public:
    NcclDouble(std::shared_ptr<NcclWorld> world, std::shared_ptr<CallLog> log,
               std::shared_ptr<NcclFaults> faults)
        : world_(std::move(world)), log_(std::move(log)), faults_(std::move(faults)) {}

    void prepare(std::size_t buffers, std::size_t buffer_bytes) override {
        host_.assign(buffers, Bytes(buffer_bytes));
        device_.assign(buffers, Bytes(buffer_bytes));
    }
    std::span<std::byte> host(std::size_t buffer) override { return host_.at(buffer); }

    CallState start_communicator(int ranks, const std::string& id, int rank) override {
        log_->add("start");
        if (faults_->start_fails) return {CallState::Kind::failed, "no network"};
        ranks_ = ranks;
        id_ = id;
        rank_ = rank;
        starting_ = true;
        if (!faults_->start_never_ends) world_->join(id, rank);
        return {CallState::Kind::in_progress, {}};
    }
    CallState communicator_state() override {
        if (broken_) return {CallState::Kind::failed, "a peer is gone"};
        if (starting_ && !world_->has_all(id_, ranks_)) return {CallState::Kind::in_progress, {}};
        starting_ = false;
        if (finalizing_ && faults_->finalize_never_ends) return {CallState::Kind::in_progress, {}};
        return {};
    }
    CallState broadcast(std::size_t buffer, std::size_t size_bytes, int root) override {
        log_->add("broadcast");
        if (starting_) return {CallState::Kind::failed, "the communicator is not ready"};
        const int number = broadcasts_++;
        if (number >= faults_->breaks_at_broadcast) broken_ = true;
        queue_.push_back([=, this] {
            if (broken_ || number >= faults_->stalls_at_broadcast) return false;
            if (rank_ == root) {
                const auto& device = device_[buffer];
                return world_->give(id_, number, ranks_,
                                    Bytes(device.begin(), device.begin() + as_offset(size_bytes)));
            }
            const auto bytes = world_->pass(id_, number, rank_);
            if (bytes) std::copy(bytes->begin(), bytes->end(), device_[buffer].begin());
            return bytes.has_value();
        });
        return {CallState::Kind::in_progress, {}};
    }
    CallState finalize() override {
        log_->add("finalize");
        finalizing_ = true;
        return {CallState::Kind::in_progress, {}};
    }
    void destroy() override { log_->add("destroy"); }
    void abort() override { log_->add("abort"); }

    CallState copy_to_device(std::size_t buffer, std::size_t size_bytes) override {
        queue_.push_back([=, this] { return copy(host_[buffer], device_[buffer], size_bytes); });
        return {};
    }
    CallState copy_to_host(std::size_t buffer, std::size_t size_bytes) override {
        queue_.push_back([=, this] { return copy(device_[buffer], host_[buffer], size_bytes); });
        return {};
    }
    CallState mark(std::size_t buffer) override {
        marks_[buffer] = done_ + queue_.size();
        return {};
    }
    CallState marked(std::size_t buffer) override {
        while (!queue_.empty() && queue_.front()()) {
            queue_.erase(queue_.begin());
            ++done_;
        }
        return {done_ >= marks_.at(buffer) ? CallState::Kind::done : CallState::Kind::in_progress, {}};
    }

  private:
    static std::ptrdiff_t as_offset(std::size_t bytes) { return static_cast<std::ptrdiff_t>(bytes); }
    static bool copy(const Bytes& from, Bytes& to, std::size_t size_bytes) {
        std::copy_n(from.begin(), as_offset(size_bytes), to.begin());
        return true;
    }

    std::shared_ptr<NcclWorld> world_;
    std::shared_ptr<CallLog> log_;
    std::shared_ptr<NcclFaults> faults_;
    int ranks_ = 0;
    int rank_ = 0;
    std::string id_;
    bool starting_ = false;
    bool finalizing_ = false;
    bool broken_ = false;
    int broadcasts_ = 0;
    std::vector<Bytes> host_;
    std::vector<Bytes> device_;
    std::vector<std::function<bool()>> queue_;
    std::size_t done_ = 0;
    std::map<std::size_t, std::size_t> marks_;
};

}  // namespace memcap::weights::testing
