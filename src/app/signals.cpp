// Handlers that only set a flag.
#include "app/signals.hpp"

#include <signal.h>
#include <unistd.h>

#include <cstring>

namespace memcap::app {

namespace {

std::atomic<bool> stop_requested{false};
std::atomic<int> stop_signal{0};
constexpr int kByCommand = -1;

extern "C" void request_stop(int signal) {
    if (signal == SIGINT && stop_requested.load()) _exit(128 + SIGINT);
    stop_signal.store(signal);
    stop_requested.store(true);
}

}  // namespace

const std::atomic<bool>& install_stop_signals() {
    static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
                  "only lock-free atomics may be used in signal handlers");
    struct sigaction action {};
    action.sa_handler = request_stop;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
    // A terminal that closes is a stop too, unless nohup has it ignored.
    struct sigaction was {};
    sigaction(SIGHUP, nullptr, &was);
    if (was.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
    // A reader that goes away (a pipe into head) must not kill a run.
    ::signal(SIGPIPE, SIG_IGN);
    // A limit of file sizes is then an error of the write, as a full disk is.
    ::signal(SIGXFSZ, SIG_IGN);
    return stop_requested;
}

void request_stop_by_command() {
    stop_signal.store(kByCommand);
    stop_requested.store(true);
}

std::string stop_signal_name() {
    if (stop_signal.load() == kByCommand) return "memcap stop";
    const char* name = sigabbrev_np(stop_signal.load());
    return name == nullptr ? "" : std::string("SIG") + name;
}

}  // namespace memcap::app
