// A network of threads in one process: every message passes as bytes; those of different senders may overtake
// each other.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "memcap/sched/transport.hpp"

namespace memcap::sched::testing {

class Network {
  public:
    /// `overtake`: the chance that a parcel jumps ahead of what another sender has in the queue.
    explicit Network(Rank size, double overtake = 0.0)
        : boxes_(static_cast<std::size_t>(size)), overtake_(overtake) {}

    std::unique_ptr<Transport> end(Rank rank) { return std::make_unique<End>(*this, rank); }
    Rank size() const { return static_cast<Rank>(boxes_.size()); }

  private:
    class End final : public Transport {
      public:
        End(Network& network, Rank rank) : network_(network), rank_(rank) {}
        void send(Rank to, Bytes bytes) override { network_.put(rank_, to, std::move(bytes)); }
        std::optional<Parcel> poll() override { return network_.get(rank_); }
        std::size_t unsent(Rank) override { return 0; }
        Rank rank() const override { return rank_; }
        Rank size() const override { return network_.size(); }
        bool flush(double) override { return true; }

      private:
        Network& network_;
        Rank rank_;
    };

    bool chance(double probability) {
        return std::uniform_real_distribution<double>()(random_) < probability;
    }

    void put(Rank from, Rank to, Bytes bytes) {
        const std::lock_guard lock(mutex_);
        std::deque<Parcel>& box = boxes_.at(static_cast<std::size_t>(to));
        auto place = box.end();
        while (place != box.begin() && std::prev(place)->from != from && chance(overtake_)) --place;
        box.insert(place, {from, std::move(bytes), {}});
    }
    std::optional<Parcel> get(Rank rank) {
        const std::lock_guard lock(mutex_);
        std::deque<Parcel>& box = boxes_.at(static_cast<std::size_t>(rank));
        if (box.empty()) return std::nullopt;
        Parcel first = std::move(box.front());
        box.pop_front();
        return first;
    }

    std::mutex mutex_;
    std::vector<std::deque<Parcel>> boxes_;
    double overtake_;
    std::mt19937_64 random_{7};
};

/// Runs `body(rank)` on a thread for each rank.
inline void on_all_ranks(Rank size, const std::function<void(Rank)>& body) {
    std::vector<std::thread> threads;
    for (Rank rank = 0; rank < size; ++rank) threads.emplace_back(body, rank);
    for (std::thread& thread : threads) thread.join();
}

}  // namespace memcap::sched::testing
