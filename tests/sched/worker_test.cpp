// The worker loop with a manager played by hand.
#include "memcap/sched/worker.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "memcap/sched/local_transport.hpp"
#include "sched/stub_executors.hpp"

namespace memcap::sched::testing {
namespace {

/// Looks, as soon as it has a task, at what has reached the manager by then.
class SuspiciousExecutor final : public Executor {
  public:
    SuspiciousExecutor(Transport& manager, std::atomic<int>& told) : manager_(manager), told_(told) {}
    void run(WorkPort& port) override {
        const std::vector<LeasedTask> taken = port.take(1, 10.0);
        bool told = false;
        while (const std::optional<Parcel> parcel = manager_.poll()) {
            const Message message = decode_message(parcel->bytes);
            const auto* status = std::get_if<message::Status>(&message);
            told |= status != nullptr && !taken.empty() && !status->started.empty() &&
                    status->started.front().task == taken.front().task.id;
        }
        told_ = told ? 1 : 0;
        while (!port.closed()) sleep_s(0.001);
    }

  private:
    Transport& manager_;
    std::atomic<int>& told_;
};

/// So that a task that kills the process in its first instruction is known to have been started.
TEST(WorkerLoop, TellsThatATaskStartsBeforeTheExecutorHasIt) {
    for (int round = 0; round < 20; ++round) {
        const auto [manager, end] = make_local_transport();
        std::atomic<int> told = -1;
        manager->send(0, encode(message::Welcome{quick_options(), {}}));
        manager->send(0, encode(message::Lease{LeaseId{1}, {{make_tasks(1).front(), 1}}}));
        const ExecutorFactory factory = [&, &manager_end = *manager](std::span<const std::byte>) {
            return std::make_unique<SuspiciousExecutor>(manager_end, told);
        };
        const std::atomic<bool> never = false;
        std::thread worker([&, &worker_end = *end] {
            run_worker(worker_end, {"node", "cpu", 1.0, {}}, factory, never);
        });
        while (told < 0) sleep_s(0.0005);
        manager->send(0, encode(message::Finish{}));
        worker.join();
        ASSERT_EQ(told, 1);
    }
}

}  // namespace
}  // namespace memcap::sched::testing
