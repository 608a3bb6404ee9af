// A worker as the scheduler sees it, for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "memcap/base/ids.hpp"
#include "memcap/sched/task.hpp"

namespace memcap::sched {

enum class WorkerActivity : std::uint8_t {
    starting,  ///< has not joined yet, or is being started again
    working,   ///< has started tasks
    idle,      ///< could start some
    barred,    ///< gets no more tasks
    lost,      ///< silent or unreachable
    failed,    ///< its executor threw
    left,
};

std::string_view to_string(WorkerActivity value);

struct WorkerView {
    Rank rank = 0;
    std::string host;    ///< empty before it has joined
    std::string device;  ///< empty before it has joined
    WorkerActivity activity = WorkerActivity::starting;
    std::uint64_t done = 0;        ///< tasks that it has finished
    std::uint64_t failed = 0;      ///< tasks that failed on it, for good or not
    std::uint32_t running = 0;     ///< tasks it has started
    std::uint32_t queued = 0;      ///< tasks it holds beside those
    std::uint32_t free_slots = 0;  ///< tasks it could start at once
    double tasks_per_s = 0.0;      ///< done and failed, from its joining to the last of them
    double silent_s = 0.0;         ///< since it was last heard of; before it joins since the start
    std::string_view deed;         ///< what it did last, e.g. "finished"; empty if nothing yet
    Id128 deed_task;               ///< with which task
    double since_deed_s = 0.0;
    std::string why;  ///< why it computes nothing, or less than it could; empty if it has all it can take
};

}  // namespace memcap::sched
