// The compute process of a rank: model, device and slots, below its agent.
#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "app/compute_place.hpp"
#include "app/machine.hpp"
#include "app/subcommands.hpp"
#include "app/trial_executor.hpp"
#include "app/worker_note.hpp"
#include "memcap/agent/child_process.hpp"
#include "memcap/agent/compute_link.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "memcap/sched/worker.hpp"
#include "memcap/store/journal/run_folder.hpp"
#include "memcap/weights/weight_exchange.hpp"

namespace memcap::app {

namespace {

// How long what was sent last may take to leave.
constexpr double kCloseExchange_s = 1.0;

/// Opens the log file of this rank; where the run folder cannot be written from here, its lines go to stderr
/// alone.
void open_log(const WorkerSetup& setup, std::int32_t rank) {
    try {
        log::open_file(store::RunFolder(setup.run_folder).log_file(rank));
    } catch (const StoreError& problem) {
        log::warning(problem.what());
    }
}

/// Notes of the computing thread that the polling thread is to send.
class Notes {
  public:
    void add(WorkerNote note) {
        const std::lock_guard lock(mutex_);
        notes_.push_back(std::move(note));
    }
    std::vector<WorkerNote> take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(notes_, {});
    }

  private:
    std::mutex mutex_;
    std::vector<WorkerNote> notes_;
};

/// Makes this rank's executor from the setup that the manager sends.
sched::ExecutorFactory executor_factory(const ComputePlace& place, weights::WeightExchange& exchange,
                                        Notes& notes, agent::Life& life) {
    return [&place, &exchange, &notes, &life](std::span<const std::byte> bytes) {
        WorkerSetup setup = decode_setup(bytes);
        open_log(setup, place.rank);
        const std::int32_t threads = setup.threads.value_or(place.threads);
        const at::Device device = device_of_rank(place.device, place.local_rank);
        notes.add(DeviceNote{device_name(device, threads)});
        const std::int32_t sharers = setup.sharers;
        return std::make_unique<TrialExecutor>(std::move(setup), ExecutorPlace{.rank = place.rank,
                                                                               .host = place.host,
                                                                               .device = device,
                                                                               .threads = threads,
                                                                               .sharers = sharers,
                                                                               .nodes = place.nodes,
                                                                               .exchange = &exchange,
                                                                               .life = &life});
    };
}

/// What the manager hears first. A device that cannot be used is an error once it is to compute.
sched::WorkerFacts facts_of(const ComputePlace& place) {
    sched::WorkerFacts facts{.host = place.host,
                             .device = cpu_device(place.threads),
                             .speed = static_cast<double>(place.threads),
                             .device_id = {}};
    try {
        const at::Device device = device_of_rank(place.device, place.local_rank);
        facts.device = device_name(device, place.threads);
        facts.device_id = device_id(device);
    } catch (const std::exception& problem) {
        log::warning(problem.what());
    }
    return facts;
}

}  // namespace

int compute_for_agent(const Arguments&) {
    agent::become_child_process("memcap-compute");
    agent::ComputeLink link;
    const ComputePlace place = decode_place(link.place());
    log::set_rank(place.rank, place.ranks);
    const auto exchange =
        place.ranks == 1
            ? weights::make_local_exchange()
            : weights::make_group_exchange(link.exchange_transport(place.rank, place.ranks), place.node);
    const auto transport = link.scheduler_transport(place.rank, place.ranks);
    agent::Life life;
    Notes notes;
    const auto hook = [&] {
        link.require_alive(life);
        const bool busy = exchange->step();
        for (auto& times : exchange->take_reports()) notes.add(std::move(times));
        for (const auto& note : notes.take())
            transport->send(0, sched::encode(sched::message::Note{encode(note)}));
        return busy;
    };
    const std::atomic<bool> never = false;
    const auto outcome = sched::run_worker(*transport, facts_of(place),
                                           executor_factory(place, *exchange, notes, life), never, hook);
    if (outcome.manager_lost) return kDefect;
    exchange->close(kCloseExchange_s);
    return kDone;
}

}  // namespace memcap::app
