// A compute process for tests of the agent: computes honestly, but for what its argument says.
//
//   memcap_agent_child honest | crash TASK | crash-once FILE | hang FILE | stop FILE | sick FILE | end FILE |
//   deaf | leave-at-once
//
// With FILE the fault happens once: whoever finds the file computes honestly.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "memcap/agent/child_process.hpp"
#include "memcap/agent/compute_link.hpp"
#include "sched/stub_executors.hpp"

namespace memcap::agent::testing {
namespace {

using namespace sched::testing;

/// True for the first process that asks.
bool is_first(const std::string& file) {
    const int descriptor = ::open(file.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (descriptor >= 0) ::close(descriptor);
    return descriptor >= 0;
}

struct Fault {
    std::string kind;
    std::string argument;

    void meet(const sched::LeasedTask& leased, Life& life) const {
        const std::uint32_t index = leased.task.id.value;
        if (kind == "crash" && index == std::stoul(argument)) std::raise(SIGSEGV);
        if (index != 5) return;
        if (kind == "crash-once" && is_first(argument)) std::raise(SIGSEGV);
        if (kind == "end" && is_first(argument)) life.end_process("the device is gone");
        if (kind == "stop" && is_first(argument)) std::raise(SIGSTOP);
        // Alive for the agent, and deaf to the end of the run.
        if (kind == "deaf") sleep_s(3600.0);
        if (kind == "hang" && is_first(argument)) {
            life.sign(0.2);
            sleep_s(3600.0);
        }
    }
};

int compute(const Fault& fault) {
    become_child_process("memcap-child");
    // A fault of a test leaves no core.
    std::signal(SIGSEGV, SIG_DFL);
    ComputeLink link;
    if (fault.kind == "leave-at-once") return 3;
    const auto transport = link.scheduler_transport(0, 1);
    Life life;
    const bool is_sick = fault.kind == "sick" && is_first(fault.argument);
    const sched::ExecutorFactory factory = [&](std::span<const std::byte>) {
        return std::make_unique<StubExecutor>(2, [&](const sched::LeasedTask& leased) {
            fault.meet(leased, life);
            sched::TaskResult result = honest(leased);
            result.payload = bytes_of(text_of(result.payload) + " with " + text_of(link.place()));
            if (is_sick)
                result.failure =
                    sched::TaskFailure{sched::FailureCategory::device_lost, "the device is sick"};
            return result;
        });
    };
    const std::atomic<bool> never = false;
    sched::run_worker(*transport, {"host", "cpu", 1.0, {}}, factory, never, [&] {
        link.require_alive(life);
        return false;
    });
    return 0;
}

}  // namespace
}  // namespace memcap::agent::testing

int main(int argc, char** argv) {
    return memcap::agent::testing::compute({argc > 1 ? argv[1] : "honest", argc > 2 ? argv[2] : ""});
}
