// Two queues under locks: one for each direction.
#include "memcap/sched/local_transport.hpp"

#include <deque>
#include <mutex>

#include "memcap/base/contracts.hpp"

namespace memcap::sched {

namespace {

class Mailbox {
  public:
    void put(Message message) {
        const std::lock_guard lock(mutex_);
        messages_.push_back(std::move(message));
    }
    std::optional<Message> get() {
        const std::lock_guard lock(mutex_);
        if (messages_.empty()) return std::nullopt;
        Message first = std::move(messages_.front());
        messages_.pop_front();
        return first;
    }

  private:
    std::mutex mutex_;
    std::deque<Message> messages_;
};

class LocalTransport final : public Transport {
  public:
    LocalTransport(std::shared_ptr<Mailbox> in, std::shared_ptr<Mailbox> out)
        : in_(std::move(in)), out_(std::move(out)) {}

    void send(Rank to, Message message) override {
        MEMCAP_EXPECT(to == 0);
        out_->put(std::move(message));
    }
    std::optional<Incoming> poll() override {
        std::optional<Message> message = in_->get();
        if (!message) return std::nullopt;
        return Incoming{0, std::move(*message)};
    }
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
