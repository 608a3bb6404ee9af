// Wishes, messages and transfers of one rank.
#include "weights/group_exchange.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"

namespace memcap::weights {

namespace {

constexpr sched::Rank kCoordinator = 0;
constexpr double kGlance_s = 0.05;
// A transport may move bytes only while it is called: as long as some have moved lately, a step is so long.
constexpr double kStep_s = 500e-6;
constexpr double kLively_s = 10e-3;
constexpr int kParcelsPerPass = 32;

}  // namespace

GroupExchange::GroupExchange(std::unique_ptr<sched::Transport> transport, std::string node,
                             FindDevice find_device, ExchangeOptions options)
    : transport_(std::move(transport)),
      node_(std::move(node)),
      find_device_(std::move(find_device)),
      options_(options),
      gathering_(transport_->size(), options.gather_s) {}

GroupExchange::~GroupExchange() = default;

Obtained GroupExchange::obtain(const WeightRequest& request, const std::function<bool()>& cancelled) {
    const auto asking = std::make_shared<Asking>();
    if (request.device >= 0) asking->access = find_device_(request.device);
    std::unique_lock lock(mutex_);
    asking->request = request;
    // Ranks that load a model for the n-th time form the n-th group around it.
    asking->key = fmt::format("{}#{}", request.model, ++times_asked_[request.model]);
    asking->cancelled = cancelled;
    asking_ = asking;
    const auto read_instead = [](std::string why) {
        return Obtained{nullptr, WeightWay::fallen_back, std::move(why)};
    };
    const double asked_s = monotonic_s();
    while (!asking->answer) {
        changed_.wait_for(lock, std::chrono::duration<double>(kGlance_s));
        if (cancelled && cancelled()) {
            asking_.reset();
            return read_instead("the run ends");
        }
        // Once a group has it, the transfer's deadlines hold.
        if (!asking->joined && monotonic_s() - asked_s > options_.gather_s + options_.silence_s) {
            asking_.reset();
            return read_instead("the coordinator did not answer");
        }
    }
    asking_.reset();
    lock.unlock();
    if (!asking->answer->joined) return asking->answer->obtained;
    auto memory = join_arrival(*asking->answer->joined);
    lock.lock();
    joined_groups_.push_back(asking->answer->joined->group);
    lock.unlock();
    if (!memory) return read_instead("the memory of the rank beside could not be joined");
    return {std::move(memory), WeightWay::shared, {}};
}

void GroupExchange::settle(const std::function<bool()>& cancelled) {
    std::unique_lock lock(mutex_);
    while (device_transfers_ > 0 && !(cancelled && cancelled())) {
        changed_.wait_for(lock, std::chrono::duration<double>(kGlance_s));
    }
}

void GroupExchange::report(WeightTimes times) {
    const std::lock_guard lock(mutex_);
    reports_.push_back(std::move(times));
}

std::vector<WeightTimes> GroupExchange::take_reports() {
    const std::lock_guard lock(mutex_);
    return std::exchange(reports_, {});
}

bool GroupExchange::step() {
    const double start_s = monotonic_s();
    double now_s = start_s;
    do {
        if (pass(now_s)) moved_s_ = now_s;
        now_s = monotonic_s();
    } while (!transfers_.empty() && now_s - moved_s_ < kLively_s && now_s - start_s < kStep_s);
    return !transfers_.empty() || moved_s_ == start_s;
}

bool GroupExchange::pass(double now_s) {
    send_wishes(now_s);
    coordinate(gathering_.due(now_s), now_s);
    bool busy = receive(now_s);
    for (const auto& [group, transfer] : transfers_) busy |= transfer->step(now_s);
    retire_ended();
    return busy;
}

void GroupExchange::send_wishes(double now_s) {
    std::optional<exchange::Want> want;
    std::vector<std::uint64_t> joined;
    {
        const std::lock_guard lock(mutex_);
        joined = std::exchange(joined_groups_, {});
        if (asking_ && !std::exchange(asking_->told, true)) {
            want = exchange::Want{asking_->key, node_, asking_->access.uuid};
        }
    }
    for (const std::uint64_t group : joined) {
        if (const auto found = transfers_.find(group); found != transfers_.end())
            found->second->on_own_join();
    }
    if (!want) return;
    if (transport_->rank() == kCoordinator) {
        coordinate(gathering_.want(kCoordinator, *want, now_s), now_s);
    } else {
        transport_->send(kCoordinator, encode(*want));
    }
}

void GroupExchange::coordinate(const Gathering::Answers& answers, double now_s) {
    for (const auto& [to, message] : answers) {
        if (to != kCoordinator) {
            transport_->send(to, encode(message));
        } else if (const auto* formed = std::get_if<exchange::Formed>(&message)) {
            on_formed(*formed, now_s);
        } else {
            on_alone(std::get<exchange::Alone>(message));
        }
    }
}

bool GroupExchange::receive(double now_s) {
    int count = 0;
    for (; count < kParcelsPerPass; ++count) {
        std::optional<sched::Parcel> parcel = transport_->poll();
        if (!parcel) break;
        handle(std::move(*parcel), now_s);
    }
    return count > 0;
}

void GroupExchange::handle(sched::Parcel parcel, double now_s) {
    if (!parcel.failure.empty()) {
        for (const auto& [group, transfer] : transfers_) transfer->on_abort(parcel.from, parcel.failure);
        return;
    }
    try {
        handle_message(decode_exchange(parcel.bytes), parcel, now_s);
    } catch (const TransportError& problem) {
        log::warning(fmt::format("rank {} sent: {}", parcel.from, problem.what()));
    }
}

/// The transfer of a group that the parcel is for; none if it has ended here, or if the news of it is still
/// on its way from the coordinator: then the parcel is kept.
Transfer* GroupExchange::transfer_of(std::uint64_t group, sched::Parcel& parcel) {
    const auto found = transfers_.find(group);
    if (found != transfers_.end()) return found->second.get();
    if (!formed_.contains(group)) early_[group].push_back(std::move(parcel));
    return nullptr;
}

void GroupExchange::handle_message(ExchangeMessage message, sched::Parcel& parcel, double now_s) {
    const sched::Rank from = parcel.from;
    if (auto* chunk = std::get_if<exchange::Chunk>(&message)) {
        if (auto* to = transfer_of(chunk->group, parcel)) to->on_chunk(*chunk, parcel.bytes, now_s);
    } else if (auto* announce = std::get_if<exchange::Announce>(&message)) {
        if (auto* to = transfer_of(announce->group, parcel)) to->on_announce(std::move(*announce), now_s);
    } else if (auto* progress = std::get_if<exchange::Progress>(&message)) {
        if (auto* to = transfer_of(progress->group, parcel)) to->on_progress(now_s);
    } else if (auto* arrived = std::get_if<exchange::Arrived>(&message)) {
        if (auto* to = transfer_of(arrived->group, parcel)) to->on_arrived(*arrived, now_s);
    } else if (auto* joined = std::get_if<exchange::Joined>(&message)) {
        if (auto* to = transfer_of(joined->group, parcel)) to->on_joined();
    } else if (auto* abort = std::get_if<exchange::Abort>(&message)) {
        if (auto* to = transfer_of(abort->group, parcel)) to->on_abort(from, abort->reason);
    } else if (auto* want = std::get_if<exchange::Want>(&message)) {
        coordinate(gathering_.want(from, *want, now_s), now_s);
    } else if (auto* alone = std::get_if<exchange::Alone>(&message)) {
        on_alone(*alone);
    } else if (auto* formed = std::get_if<exchange::Formed>(&message)) {
        on_formed(*formed, now_s);
    }
}

std::shared_ptr<GroupExchange::Asking> GroupExchange::asking_for(const std::string& key) {
    const std::lock_guard lock(mutex_);
    return asking_ && asking_->key == key ? asking_ : nullptr;
}

void GroupExchange::answer(const std::shared_ptr<Asking>& asking, Answer answer) {
    {
        const std::lock_guard lock(mutex_);
        if (!asking->answer) asking->answer = std::move(answer);
    }
    changed_.notify_all();
}

void GroupExchange::on_alone(const exchange::Alone& alone) {
    if (const auto asking = asking_for(alone.key)) {
        answer(asking, {{nullptr, WeightWay::read, alone.reason}, {}});
    }
}

void GroupExchange::on_formed(const exchange::Formed& formed, double now_s) {
    formed_.insert(formed.group);
    std::vector<sched::Parcel> early;
    if (auto node = early_.extract(formed.group)) early = std::move(node.mapped());
    const auto asking = asking_for(formed.key);
    if (!asking) {
        // It has stopped waiting: those who count on it are to know at once.
        for (const auto& member : formed.members) {
            if (member.rank == transport_->rank()) continue;
            transport_->send(member.rank, encode(exchange::Abort{formed.group, "it had not waited"}));
        }
        return;
    }
    auto transfer = std::make_unique<Transfer>(
        formed,
        Transfer::Setup{.request = asking->request,
                        .cancelled = asking->cancelled,
                        .answer = [this, asking](Answer said) { answer(asking, std::move(said)); },
                        .report = [this](WeightTimes times) { report(std::move(times)); },
                        .options = options_,
                        .node = node_},
        *transport_, asking->access, now_s);
    {
        const std::lock_guard lock(mutex_);
        asking->joined = true;
        if (transfer->by_device()) ++device_transfers_;
    }
    transfers_.emplace(formed.group, std::move(transfer));
    for (auto& parcel : early) handle(std::move(parcel), now_s);
}

/// Transfers end on a thread of their own: one of theirs may still be in a call, and to give large memory
/// back takes its time.
void GroupExchange::retire_ended() {
    for (auto place = transfers_.begin(); place != transfers_.end();) {
        if (!place->second->over()) {
            ++place;
            continue;
        }
        auto end = [this, transfer = std::move(place->second)]() mutable {
            const bool by_device = transfer->by_device();
            transfer.reset();
            if (!by_device) return;
            {
                const std::lock_guard lock(mutex_);
                --device_transfers_;
            }
            changed_.notify_all();
        };
        ending_.push_back(std::async(std::launch::async, std::move(end)));
        place = transfers_.erase(place);
    }
    ending_.remove_if([](const std::future<void>& end) {
        return end.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    });
}

void GroupExchange::close(double timeout_s) {
    send_wishes(monotonic_s());
    for (const auto& [group, transfer] : transfers_) transfer->give_up("the run ends");
    retire_ended();
    const double until_s = monotonic_s() + timeout_s;
    // Others may still be sending: what is not taken would never leave them.
    bool quiet = false;
    while (!quiet && monotonic_s() < until_s) {
        while (transport_->poll()) {
        }
        quiet = transport_->flush(1e-3);
    }
}

namespace {

class LocalExchange final : public WeightExchange {
  public:
    Obtained obtain(const WeightRequest&, const std::function<bool()>&) override {
        return {nullptr, WeightWay::read, "there is no other rank"};
    }
    void settle(const std::function<bool()>&) override {}
    void report(WeightTimes times) override {
        const std::lock_guard lock(mutex_);
        reports_.push_back(std::move(times));
    }
    bool step() override { return false; }
    void close(double) override {}
    std::vector<WeightTimes> take_reports() override {
        const std::lock_guard lock(mutex_);
        return std::exchange(reports_, {});
    }

  private:
    std::mutex mutex_;
    std::vector<WeightTimes> reports_;
};

}  // namespace

std::unique_ptr<WeightExchange> make_group_exchange(std::unique_ptr<sched::Transport> transport,
                                                    const std::string& node, const ExchangeOptions& options) {
    return std::make_unique<GroupExchange>(std::move(transport), node, device_access, options);
}

std::unique_ptr<WeightExchange> make_local_exchange() {
    return std::make_unique<LocalExchange>();
}

std::string_view to_string(WeightWay way) {
    switch (way) {
        case WeightWay::read:
            return "read";
        case WeightWay::sent:
            return "sent";
        case WeightWay::received:
            return "received";
        case WeightWay::shared:
            return "shared";
        case WeightWay::fallen_back:
            return "fallen back";
    }
    return "read";
}

}  // namespace memcap::weights
