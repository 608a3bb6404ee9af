// Names of the failure categories.
#include "memcap/sched/task.hpp"

namespace memcap::sched {

std::string_view to_string(FailureCategory value) {
    switch (value) {
        case FailureCategory::retryable:
            return "retryable";
        case FailureCategory::permanent:
            return "permanent";
        case FailureCategory::device_lost:
            return "device lost";
        case FailureCategory::host:
            return "host";
    }
    return "unknown";
}

}  // namespace memcap::sched
