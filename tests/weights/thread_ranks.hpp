// Exchanges of several ranks in one process, each with a polling and a computing thread.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "weights/exchange_list.hpp"
#include "weights/group_exchange.hpp"
#include "weights/nccl_double.hpp"
#include "weights/thread_network.hpp"

namespace memcap::weights::testing {

/// What a rank of a test has beside its exchange.
struct ThreadRank {
    std::string device;  ///< UUID of its GPU; empty: none
    std::shared_ptr<NcclFaults> faults = std::make_shared<NcclFaults>();
    std::shared_ptr<CallLog> log = std::make_shared<CallLog>();
};

/// Runs a check on as many ranks as there are.
inline void run_on_threads(const ExchangeCheck& check, std::vector<ThreadRank>& ranks) {
    const int size = static_cast<int>(ranks.size());
    const auto network = std::make_shared<ThreadNetwork>(size);
    const auto world = std::make_shared<NcclWorld>();
    std::atomic<int> through = 0;
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank) {
        threads.emplace_back([&, rank] {
            ThreadRank& self = ranks[static_cast<std::size_t>(rank)];
            DeviceAccess access;
            if (!self.device.empty()) {
                access.uuid = self.device;
                access.make_id = [world] { return world->make_id(); };
                access.open = [world, &self] {
                    return std::make_unique<NcclDouble>(world, self.log, self.faults);
                };
            }
            GroupExchange exchange(
                std::make_unique<ThreadTransport>(network, rank), check.node(rank),
                [access](int) { return access; }, check.options);
            bool counted = false;
            CheckHooks hooks;
            hooks.all_are_done = [&] {
                if (!std::exchange(counted, true)) ++through;
                return through == size;
            };
            // A dead process takes part in no broadcast either.
            hooks.on_silence = [&self] { self.faults->stalls_at_broadcast = 0; };
            run_check(check, exchange, rank, size, hooks);
            exchange.close(1.0);
        });
    }
    for (auto& thread : threads) thread.join();
}

}  // namespace memcap::weights::testing
