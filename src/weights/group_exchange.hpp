// The weight exchange of one rank of several, over any transport.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "memcap/sched/transport.hpp"
#include "memcap/weights/weight_exchange.hpp"
#include "weights/gathering.hpp"
#include "weights/transfer.hpp"

namespace memcap::weights {

/// The computing thread leaves its wishes under a lock; the polling thread alone uses the transport. Rank 0
/// is the coordinator of all groups.
class GroupExchange final : public WeightExchange {
  public:
    /// From the number of a device to the access to it.
    using FindDevice = std::function<DeviceAccess(int device)>;

    GroupExchange(std::unique_ptr<sched::Transport> transport, std::string node, FindDevice find_device,
                  ExchangeOptions options);
    ~GroupExchange() override;

    Obtained obtain(const WeightRequest& request, const std::function<bool()>& cancelled) override;
    void settle(const std::function<bool()>& cancelled) override;
    void report(WeightTimes times) override;
    bool step() override;
    void close(double timeout_s) override;
    std::vector<WeightTimes> take_reports() override;

  private:
    /// A question of the computing thread and its answer.
    struct Asking {
        WeightRequest request;
        DeviceAccess access;
        std::string key;
        std::function<bool()> cancelled;
        bool told = false;    ///< the coordinator knows
        bool joined = false;  ///< a group has it
        std::optional<Answer> answer;
    };

    bool pass(double now_s);
    void send_wishes(double now_s);
    bool receive(double now_s);
    void handle(sched::Parcel parcel, double now_s);
    void handle_message(ExchangeMessage message, sched::Parcel& parcel, double now_s);
    Transfer* transfer_of(std::uint64_t group, sched::Parcel& parcel);
    void coordinate(const Gathering::Answers& answers, double now_s);
    void on_alone(const exchange::Alone& alone);
    void on_formed(const exchange::Formed& formed, double now_s);
    void answer(const std::shared_ptr<Asking>& asking, Answer answer);
    void retire_ended();
    std::shared_ptr<Asking> asking_for(const std::string& key);

    std::unique_ptr<sched::Transport> transport_;
    std::string node_;
    FindDevice find_device_;
    ExchangeOptions options_;

    // Of the polling thread alone.
    Gathering gathering_;
    std::map<std::uint64_t, std::unique_ptr<Transfer>> transfers_;
    std::set<std::uint64_t> formed_;                             ///< groups that this rank has heard of
    std::map<std::uint64_t, std::vector<sched::Parcel>> early_;  ///< came before the news of their group
    double moved_s_ = 0.0;                                       ///< when something last moved

    std::mutex mutex_;
    std::condition_variable changed_;
    std::shared_ptr<Asking> asking_;
    std::map<std::string, int> times_asked_;
    std::vector<WeightTimes> reports_;
    std::vector<std::uint64_t> joined_groups_;  ///< whose memory the computing thread has joined
    std::size_t device_transfers_ = 0;

    // Last, since it uses what is above.
    std::list<std::future<void>> ending_;  ///< transfers on their way out
};

}  // namespace memcap::weights
