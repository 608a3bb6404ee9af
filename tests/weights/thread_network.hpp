// Ranks that are threads of one process.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "memcap/base/clock.hpp"
#include "memcap/sched/transport.hpp"

namespace memcap::weights::testing {

/// Mailboxes of all ranks; a parcel has left its sender when the receiver has taken it, as large ones of MPI.
class ThreadNetwork {
  public:
    explicit ThreadNetwork(sched::Rank size) : boxes_(static_cast<std::size_t>(size)) {}
    sched::Rank size() const { return static_cast<sched::Rank>(boxes_.size()); }
    void put(sched::Rank to, sched::Parcel parcel) {
        const std::lock_guard lock(mutex_);
        boxes_[static_cast<std::size_t>(to)].push_back(std::move(parcel));
    }
    std::optional<sched::Parcel> get(sched::Rank self) {
        const std::lock_guard lock(mutex_);
        auto& box = boxes_[static_cast<std::size_t>(self)];
        if (box.empty()) return std::nullopt;
        sched::Parcel first = std::move(box.front());
        box.pop_front();
        return first;
    }
    std::size_t waiting(sched::Rank from, sched::Rank to) {
        const std::lock_guard lock(mutex_);
        std::size_t count = 0;
        for (const sched::Parcel& parcel : boxes_[static_cast<std::size_t>(to)])
            count += parcel.from == from ? 1 : 0;
        return count;
    }

  private:
    std::mutex mutex_;
    std::vector<std::deque<sched::Parcel>> boxes_;
};

class ThreadTransport final : public sched::Transport {
  public:
    ThreadTransport(std::shared_ptr<ThreadNetwork> network, sched::Rank rank)
        : network_(std::move(network)), rank_(rank) {}
    void send(sched::Rank to, Bytes bytes) override { network_->put(to, {rank_, std::move(bytes), {}}); }
    std::optional<sched::Parcel> poll() override { return network_->get(rank_); }
    std::size_t unsent(sched::Rank to) override { return network_->waiting(rank_, to); }
    bool flush(double timeout_s) override {
        const double until_s = monotonic_s() + timeout_s;
        while (monotonic_s() < until_s) {
            std::size_t left = 0;
            for (sched::Rank to = 0; to < size(); ++to) left += unsent(to);
            if (left == 0) return true;
            std::this_thread::yield();
        }
        return false;
    }
    sched::Rank rank() const override { return rank_; }
    sched::Rank size() const override { return network_->size(); }

  private:
    std::shared_ptr<ThreadNetwork> network_;
    sched::Rank rank_;
};

}  // namespace memcap::weights::testing
