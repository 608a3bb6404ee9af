// Frames as transports, and a thread's signs of life.
#include "memcap/agent/compute_link.hpp"

#include <unistd.h>

#include <limits>
#include <map>
#include <string>
#include <utility>

#include "agent/wire.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"

namespace memcap::agent {

namespace {

constexpr double kFirstWord_s = 30.0;
constexpr double kLastWord_s = 1.0;
constexpr double kTellEvery_s = 2.0;
constexpr int kEnded = 1;

/// A channel of the wire. Parcels have left this rank only when the agent says so.
class ChannelTransport final : public sched::Transport {
  public:
    ChannelTransport(Wire& wire, Channel channel, sched::Rank rank, sched::Rank size)
        : wire_(wire), channel_(channel), rank_(rank), size_(size) {}

    void send(sched::Rank to, Bytes bytes) override {
        if (channel_ == Channel::exchange) ++underway_[to];
        wire_.send(channel_, to, std::move(bytes));
    }
    std::optional<sched::Parcel> poll() override {
        wire_.step();
        if (auto parcel = wire_.take(channel_)) return parcel;
        if (!wire_.closed() || std::exchange(told_, true)) return std::nullopt;
        return sched::Parcel{0, {}, "the agent of this rank is gone"};
    }
    std::size_t unsent(sched::Rank to) override {
        wire_.step();
        if (channel_ != Channel::exchange) return wire_.unsent(channel_, to);
        while (const auto delivered = wire_.take(Channel::delivered))
            underway_[delivered->from] -= ByteReader(delivered->bytes).number<std::uint64_t>();
        return underway_[to];
    }
    bool flush(double timeout_s) override {
        const double until_s = monotonic_s() + timeout_s;
        for (wire_.step(); wire_.unsent() > 0 && !wire_.closed(); wire_.step()) {
            const double left_s = until_s - monotonic_s();
            if (left_s <= 0.0) return false;
            wire_.wait(left_s);
        }
        return wire_.unsent() == 0;
    }
    sched::Rank rank() const override { return rank_; }
    sched::Rank size() const override { return size_; }

  private:
    Wire& wire_;
    Channel channel_;
    sched::Rank rank_;
    sched::Rank size_;
    bool told_ = false;
    std::map<sched::Rank, std::size_t> underway_;
};

}  // namespace

Life::Life() : due_s_(std::numeric_limits<double>::infinity()) {}

void Life::sign(double within_s) noexcept {
    due_s_.store(monotonic_s() + within_s);
}
void Life::rest() noexcept {
    due_s_.store(std::numeric_limits<double>::infinity());
}
void Life::postpone(double seconds) noexcept {
    double due_s = due_s_.load();
    while (!due_s_.compare_exchange_weak(due_s, due_s + seconds)) {
    }
}
double Life::overdue_s() const noexcept {
    return monotonic_s() - due_s_.load();
}

void Life::end_process(std::string reason) {
    {
        const std::lock_guard lock(mutex_);
        ending_ = std::move(reason);
    }
    // The thread that polls tells the agent, and ends this one as well.
    while (true) ::pause();
}
std::string Life::ending() const {
    const std::lock_guard lock(mutex_);
    return ending_;
}

ComputeLink::ComputeLink(int descriptor)
    : wire_(std::make_unique<Wire>(descriptor)), polled_s_(monotonic_s()) {
    const double until_s = monotonic_s() + kFirstWord_s;
    while (!wire_->closed() && monotonic_s() < until_s) {
        wire_->step();
        if (auto first = wire_->take(Channel::place)) {
            place_ = std::move(first->bytes);
            return;
        }
        wire_->wait(kFirstWord_s);
    }
    throw TransportError({.what = "there is no agent that this process could compute for",
                          .where = {},
                          .why = "nothing came over its first descriptor",
                          .advice = "Use `memcap run`, which starts its compute processes itself"});
}

ComputeLink::~ComputeLink() = default;

std::unique_ptr<sched::Transport> ComputeLink::scheduler_transport(sched::Rank rank, sched::Rank ranks) {
    return std::make_unique<ChannelTransport>(*wire_, Channel::scheduler, rank, ranks);
}

std::unique_ptr<sched::Transport> ComputeLink::exchange_transport(sched::Rank rank, sched::Rank ranks) {
    return std::make_unique<ChannelTransport>(*wire_, Channel::exchange, rank, ranks);
}

void ComputeLink::require_alive(Life& life) {
    const double now_s = monotonic_s();
    // A process that was stopped, with all its threads, does not hang.
    const double away_s = now_s - std::exchange(polled_s_, now_s);
    if (away_s > kTellEvery_s) life.postpone(away_s);
    if (now_s - told_s_ > kTellEvery_s) {
        told_s_ = now_s;
        wire_->send(Channel::alive, 0, {});
    }
    std::string reason = life.ending();
    if (life.overdue_s() < 0.0 && reason.empty()) return;
    if (reason.empty()) reason = "its computing thread gave no sign of life in time and hangs";
    const auto* text = reinterpret_cast<const std::byte*>(reason.data());
    wire_->send(Channel::trouble, 0, Bytes(text, text + reason.size()));
    const double until_s = monotonic_s() + kLastWord_s;
    while (wire_->unsent() > 0 && monotonic_s() < until_s && !wire_->closed()) {
        wire_->wait(kLastWord_s);
        wire_->step();
    }
    _exit(kEnded);
}

}  // namespace memcap::agent
