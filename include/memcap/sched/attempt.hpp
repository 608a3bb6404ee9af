// What became of executions of tasks, for those who ask later; no decision rests on it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "memcap/base/ids.hpp"
#include "memcap/sched/task.hpp"

namespace memcap::sched {

/// How an attempt begins, and how it ends without a result. `failed` ones are tried again; `lost`: its worker
/// fell silent or could not be stopped in time.
enum class AttemptEvent : std::uint8_t { started, failed, crashed, lost, given_back };

struct AttemptNote {
    struct Attempt {
        Id128 task;  ///< Task::key
        std::uint32_t number = 1;
    };
    AttemptEvent event = AttemptEvent::started;
    Rank rank = -1;
    std::string host;
    std::string device;
    std::vector<Attempt> attempts;
    std::string reason;  ///< empty where the event says it all
};

}  // namespace memcap::sched
