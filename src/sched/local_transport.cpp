// Two queues under locks: one for each direction.
#include "memcap/sched/local_transport.hpp"

#include <deque>
#include <mutex>

#include "memcap/base/contracts.hpp"

namespace memcap::sched {

namespace {

class Mailbox {
  public:
    void put(Bytes bytes) {
        const std::lock_guard lock(mutex_);
        parcels_.push_back(std::move(bytes));
    }
    std::optional<Bytes> get() {
        const std::lock_guard lock(mutex_);
        if (parcels_.empty()) return std::nullopt;
        Bytes first = std::move(parcels_.front());
        parcels_.pop_front();
        return first;
    }

  private:
    std::mutex mutex_;
    std::deque<Bytes> parcels_;
};

class LocalTransport final : public Transport {
  public:
    LocalTransport(std::shared_ptr<Mailbox> in, std::shared_ptr<Mailbox> out)
        : in_(std::move(in)), out_(std::move(out)) {}

    void send(Rank to, Bytes bytes) override {
        MEMCAP_EXPECT(to == 0);
        out_->put(std::move(bytes));
    }
    std::optional<Parcel> poll() override {
        std::optional<Bytes> bytes = in_->get();
        if (!bytes) return std::nullopt;
        return Parcel{0, std::move(*bytes), {}};
    }
    std::size_t unsent(Rank) override { return 0; }
    Rank rank() const override { return 0; }
    Rank size() const override { return 1; }
    bool flush(double) override { return true; }

  private:
    std::shared_ptr<Mailbox> in_;
    std::shared_ptr<Mailbox> out_;
};

}  // namespace

std::pair<std::unique_ptr<Transport>, std::unique_ptr<Transport>> make_local_transport() {
    auto to_manager = std::make_shared<Mailbox>();
    auto to_worker = std::make_shared<Mailbox>();
    return {std::make_unique<LocalTransport>(to_manager, to_worker),
            std::make_unique<LocalTransport>(to_worker, to_manager)};
}

}  // namespace memcap::sched
