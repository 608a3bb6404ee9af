// The relay and the watchdog of one rank.
#include "memcap/agent/agent.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "agent/wire.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "memcap/sched/message.hpp"

namespace memcap::agent {

namespace {

constexpr int kParcelsPerStep = 256;
constexpr double kEnding_s = 2.0;      // from the end of a process's socket to that of the process
constexpr double kFirstPause_s = 0.1;  // before the second start after a crash; doubled from one to the next
// Parcels of the exchange wait in MPI, which holds their senders back, rather than here.
constexpr std::size_t kMostWaitingBytes = std::size_t{32} << 20U;

std::string text_of(const Bytes& bytes) {
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

Agent::Agent(Setup setup)
    : setup_(std::move(setup)), heard_manager_s_(monotonic_s()), stepped_s_(heard_manager_s_) {}

Agent::~Agent() = default;

bool Agent::step(double now_s) {
    // While this process itself was away (stopped, a slow host) nobody could be heard.
    const double away_s = now_s - std::exchange(stepped_s_, now_s);
    if (away_s > setup_.options.silence_s / 4) {
        heard_s_ += away_s;
        heard_manager_s_ += away_s;
    }
    if (ended_) return false;
    if (start_s_ && now_s >= *start_s_) start(now_s);
    bool busy = child_ && child_->wire().step();
    busy |= pass_up(now_s);
    busy |= pass_down(now_s);
    busy |= pass_exchange();
    watch(now_s);
    return busy;
}

void Agent::start(double now_s) {
    start_s_.reset();
    try {
        child_ = std::make_unique<ChildProcess>(setup_.command);
    } catch (const ToolError& problem) {
        return give_up(problem.what());
    }
    heard_s_ = now_s;
    trouble_.clear();
    closed_s_.reset();
    child_->wire().send(Channel::place, 0, setup_.place);
}

void Agent::stop() {
    if (std::exchange(stopping_, true)) return;
    start_s_.reset();
    if (child_) {
        child_->wire().send(Channel::scheduler, 0, sched::encode(sched::message::Stop{}));
    } else {
        setup_.manager->send(0, sched::encode(sched::message::Leave{}));
    }
}

/// From the manager to the process.
bool Agent::pass_down(double now_s) {
    bool busy = false;
    for (int count = 0; count < kParcelsPerStep && !ended_; ++count) {
        auto parcel = setup_.manager->poll();
        if (!parcel) break;
        busy = true;
        heard_manager_s_ = now_s;
        if (!parcel->failure.empty()) {
            lose_manager(parcel->failure);
            break;
        }
        if (sched::is_renew(parcel->bytes)) {
            renew(now_s);
            continue;
        }
        if (sched::is_finish(parcel->bytes)) {
            run_is_over_ = true;
            leave_s_ = now_s;
            start_s_.reset();
            if (!child_) end();
        }
        // What is meant for a process that has crashed is not for the next one, which asks anew.
        if (child_) child_->wire().send(Channel::scheduler, 0, std::move(parcel->bytes));
    }
    const double silent_s = now_s - heard_manager_s_;
    if (!ended_ && silent_s > setup_.options.manager_silence_s)
        lose_manager(fmt::format("it has been silent for {:.0f} s", silent_s));
    return busy;
}

void Agent::lose_manager(const std::string& reason) {
    log::error(fmt::format("the manager is lost: {}", reason));
    manager_lost_ = true;
    end();
}

/// From the process to the manager.
bool Agent::pass_up(double now_s) {
    if (!child_) return false;
    bool busy = false;
    while (auto parcel = child_->wire().take(Channel::scheduler)) {
        busy = true;
        heard_s_ = now_s;
        if (sched::is_result(parcel->bytes)) crashes_ = 0;
        if (sched::is_goodbye(parcel->bytes)) {
            said_goodbye_ = true;
            leave_s_ = now_s;
        }
        setup_.manager->send(0, std::move(parcel->bytes));
    }
    while (child_->wire().take(Channel::alive)) heard_s_ = now_s;
    while (const auto trouble = child_->wire().take(Channel::trouble)) trouble_ = text_of(trouble->bytes);
    return busy;
}

bool Agent::pass_exchange() {
    if (setup_.exchange == nullptr) return false;
    bool busy = false;
    while (child_) {
        auto parcel = child_->wire().take(Channel::exchange);
        if (!parcel) break;
        busy = true;
        ++passed_[parcel->from];
        setup_.exchange->send(parcel->from, std::move(parcel->bytes));
    }
    for (int count = 0; count < kParcelsPerStep; ++count) {
        if (child_ && child_->wire().unsent_bytes() > kMostWaitingBytes) break;
        auto parcel = setup_.exchange->poll();
        if (!parcel) break;
        busy = true;
        if (child_ && parcel->failure.empty())
            child_->wire().send(Channel::exchange, parcel->from, std::move(parcel->bytes));
    }
    tell_delivered();
    return busy;
}

/// The process sends no more to a rank than this one can pass on.
void Agent::tell_delivered() {
    for (auto& [rank, passed] : passed_) {
        const std::size_t left = passed - std::min(passed, setup_.exchange->unsent(rank));
        if (left == 0) continue;
        passed -= left;
        ByteWriter count;
        count.number(static_cast<std::uint64_t>(left));
        if (child_) child_->wire().send(Channel::delivered, rank, std::move(count).bytes());
    }
    std::erase_if(passed_, [](const auto& entry) { return entry.second == 0; });
}

void Agent::watch(double now_s) {
    if (!child_ || ended_) return;
    const bool overdue = leave_s_ && now_s - *leave_s_ > setup_.options.goodbye_s;
    if (child_->wire().closed()) {
        // All that it had to say was read; how it ended comes a little later. To kill it at once would hide
        // that.
        if (!closed_s_) closed_s_ = now_s;
        const auto ending = child_->ending();
        if (now_s - *closed_s_ > kEnding_s) child_->kill();
        if (!ending && now_s - *closed_s_ < 2 * kEnding_s) return;
        if (said_goodbye_ || run_is_over_) return end();
        return crash(trouble_.empty() ? ending.value_or("it cannot be ended") : trouble_, now_s);
    }
    // Its trials are kept or given back by now: nothing of it is needed any more.
    if (overdue) return end();
    if (now_s - heard_s_ <= setup_.options.silence_s) return;
    if (run_is_over_) return end();
    crash(fmt::format("it said nothing for {:.0f} s and was killed", now_s - heard_s_), now_s);
}

void Agent::crash(const std::string& reason, double now_s) {
    // One that the kernel cannot end yet holds nobody up.
    child_->kill();
    child_.reset();
    passed_.clear();
    ++crashes_;
    if (crashes_ >= setup_.options.most_crashes) {
        return give_up(
            fmt::format("its process crashed {} times in a row, the last time: {}", crashes_, reason));
    }
    setup_.manager->send(0, sched::encode(sched::message::Crashed{reason}));
    if (stopping_) return;
    const double pause_s = crashes_ == 1 ? 0.0 : std::ldexp(kFirstPause_s, static_cast<int>(crashes_) - 2);
    start_s_ = now_s + std::min(pause_s, setup_.options.most_pause_s);
}

/// The manager wants another process; it knows what this one held.
void Agent::renew(double now_s) {
    if (!child_ || stopping_ || run_is_over_) return;
    child_->kill();
    child_.reset();
    passed_.clear();
    start_s_ = now_s;
}

/// This rank computes nothing any more; its agent waits for the end of the run.
void Agent::give_up(const std::string& reason) {
    child_.reset();
    start_s_.reset();
    setup_.manager->send(0, sched::encode(sched::message::Failed{reason}));
}

void Agent::end() {
    if (!said_goodbye_ && !manager_lost_) setup_.manager->send(0, sched::encode(sched::message::Goodbye{}));
    said_goodbye_ = true;
    child_.reset();
    start_s_.reset();
    ended_ = true;
}

int Agent::pid() const noexcept {
    return child_ ? child_->pid() : -1;
}

void Agent::close(double timeout_s) {
    if (setup_.exchange == nullptr) return;
    const double until_s = monotonic_s() + timeout_s;
    // Others may still be sending: what is not taken would never leave them.
    bool quiet = false;
    while (!quiet && monotonic_s() < until_s) {
        while (setup_.exchange->poll()) {
        }
        quiet = setup_.exchange->flush(1e-3);
    }
}

}  // namespace memcap::agent
