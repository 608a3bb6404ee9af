// What rank 0 tells others of its workers while a run goes on: a small file beside the logs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "memcap/sched/scheduler.hpp"
#include "memcap/store/journal/run_folder.hpp"

namespace memcap::app {

/// A worker as it was when rank 0 last told of it; empty texts where nothing is known.
struct WorkerLine {
    std::int32_t rank = 0;
    std::string host;
    std::string device;
    std::string state;  ///< as sched::to_string(WorkerActivity) has it
    std::uint64_t done = 0;
    std::uint64_t failed = 0;
    std::uint32_t running = 0;
    std::uint32_t queued = 0;
    std::uint32_t free_slots = 0;
    double trials_per_s = 0.0;
    std::string last_sign_utc;  ///< of life
    std::string deed;           ///< what it did last, e.g. "finished"
    std::string deed_trial;     ///< id
    std::string deed_utc;
    std::string why;  ///< why it computes nothing, or less than it could

    /// Whether it could compute more than it does.
    bool is_idle() const { return running == 0 || free_slots > 0; }
};

/// Replaces the file every few seconds, and for large runs so seldom that it takes a two-hundredth of the
/// time at most. It is no part of the record: nothing is synced, and a file that cannot be written is done
/// without.
class WorkerFile {
  public:
    /// `launch_utc`: when the launch began, which tells its file from that of one before.
    WorkerFile(const store::RunFolder& folder, std::string launch_utc);

    /// To be called often, and once the run is over: cheap as long as the file is not due.
    void look(const sched::Scheduler& scheduler);

  private:
    store::RunFolder folder_;
    std::string launch_utc_;
    double next_s_ = 0.0;
};

/// The workers of the launch that began then; none if rank 0 has not told of them yet, or the file is
/// damaged.
std::vector<WorkerLine> read_workers(const store::RunFolder& folder, const std::string& launch_utc);

}  // namespace memcap::app
