// Ranks that are threads of one process.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "memcap/base/clock.hpp"
#include "mpi/post.hpp"

namespace memcap::mpi::testing {

/// Mailboxes of all ranks; a parcel has left its sender when the receiver has taken it, as large ones of MPI.
class ThreadNetwork {
  public:
    explicit ThreadNetwork(Rank size) : boxes_(static_cast<std::size_t>(size)) {}
    Rank size() const { return static_cast<Rank>(boxes_.size()); }
    void put(Rank to, Parcel parcel) {
        const std::lock_guard lock(mutex_);
        boxes_[static_cast<std::size_t>(to)].push_back(std::move(parcel));
    }
    std::optional<Parcel> get(Rank self) {
        const std::lock_guard lock(mutex_);
        auto& box = boxes_[static_cast<std::size_t>(self)];
        if (box.empty()) return std::nullopt;
        Parcel first = std::move(box.front());
        box.pop_front();
        return first;
    }
    std::size_t waiting(Rank from, Rank to) {
        const std::lock_guard lock(mutex_);
        std::size_t count = 0;
        for (const Parcel& parcel : boxes_[static_cast<std::size_t>(to)])
            count += parcel.from == from ? 1 : 0;
        return count;
    }

  private:
    std::mutex mutex_;
    std::vector<std::deque<Parcel>> boxes_;
};

class ThreadPost final : public Post {
  public:
    ThreadPost(std::shared_ptr<ThreadNetwork> network, Rank rank)
        : network_(std::move(network)), rank_(rank) {}
    void send(Rank to, Bytes bytes) override { network_->put(to, {rank_, std::move(bytes), {}}); }
    std::optional<Parcel> poll() override { return network_->get(rank_); }
    std::size_t unsent(Rank to) override { return network_->waiting(rank_, to); }
    bool flush(double timeout_s) override {
        const double until_s = monotonic_s() + timeout_s;
        while (monotonic_s() < until_s) {
            std::size_t left = 0;
            for (Rank to = 0; to < size(); ++to) left += unsent(to);
            if (left == 0) return true;
            std::this_thread::yield();
        }
        return false;
    }
    Rank rank() const override { return rank_; }
    Rank size() const override { return network_->size(); }

  private:
    std::shared_ptr<ThreadNetwork> network_;
    Rank rank_;
};

}  // namespace memcap::mpi::testing
