// The lock file's text, and what a process says of itself in it.
#include "memcap/store/journal/lock_owner.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "memcap/base/bytes.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/host.hpp"
#include "store/journal/detail/process_facts.hpp"

namespace memcap::store {

namespace {

template <class Number>
void parse_number(std::string_view text, Number& number) {
    std::from_chars(text.data(), text.data() + text.size(), number);
}

std::string boot_id() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string id;
    std::getline(file, id);
    return id;
}

std::uint64_t pid_namespace() {
    struct stat facts {};
    return ::stat("/proc/self/ns/pid", &facts) == 0 ? facts.st_ino : 0;
}

std::string new_token(const LockOwner& owner) {
    static std::atomic<std::uint64_t> count = 0;
    ByteWriter writer;
    writer.text(owner.host);
    writer.text(owner.boot_id);
    writer.text(utc_now());
    writer.number(owner.pid_namespace);
    writer.number(owner.process_start);
    writer.number(owner.pid);
    writer.number(monotonic_s());
    writer.number(++count);
    return hash128(writer.bytes()).hex();
}

void take_beat(std::string_view value, LockOwner& owner) {
    parse_number(value, owner.beats);
    const auto space = value.find(' ');
    if (space != std::string_view::npos) owner.beat_utc = value.substr(space + 1);
}

void take(std::string_view key, std::string_view value, LockOwner& owner) {
    if (key == "host") owner.host = value;
    if (key == "pid") parse_number(value, owner.pid);
    if (key == "job") owner.job_id = value;
    if (key == "cluster") owner.cluster = value;
    if (key == "restarts") parse_number(value, owner.restart_count);
    if (key == "started") owner.started_utc = value;
    if (key == "boot") owner.boot_id = value;
    if (key == "pid_namespace") parse_number(value, owner.pid_namespace);
    if (key == "process_start") parse_number(value, owner.process_start);
    if (key == "device") parse_number(value, owner.device);
    if (key == "kernel_lock") owner.kernel_lock = value == "1";
    if (key == "generation") parse_number(value, owner.generation);
    if (key == "token") owner.token = value;
    if (key == "beat") take_beat(value, owner);
}

}  // namespace

LockOwner this_process() {
    LockOwner owner;
    owner.host = host_name();
    owner.pid = ::getpid();
    owner.started_utc = utc_now();
    owner.boot_id = boot_id();
    owner.pid_namespace = pid_namespace();
    if (const auto facts = detail::process_facts(owner.pid)) owner.process_start = facts->start;
    if (const char* cluster = std::getenv("SLURM_CLUSTER_NAME")) owner.cluster = cluster;
    owner.token = new_token(owner);
    return owner;
}

std::string beat_line(const LockOwner& owner) {
    return fmt::format("beat={:010} {}\n", owner.beats, owner.beat_utc);
}

std::string to_text(const LockOwner& owner) {
    std::string text = fmt::format("host={}\npid={}\njob={}\nrestarts={}\nstarted={}\n", owner.host,
                                   owner.pid, owner.job_id, owner.restart_count, owner.started_utc);
    if (owner.beating()) {
        text += fmt::format(
            "cluster={}\nboot={}\npid_namespace={}\nprocess_start={}\ndevice={}\nkernel_lock={}\n"
            "generation={}\ntoken={}\n",
            owner.cluster, owner.boot_id, owner.pid_namespace, owner.process_start, owner.device,
            owner.kernel_lock ? 1 : 0, owner.generation, owner.token);
        text += beat_line(owner);
    }
    return text + "end\n";
}

std::optional<LockOwner> parse_owner(std::string_view text) {
    LockOwner owner;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        if (line == "end") return owner;
        const auto equals = line.find('=');
        if (equals == std::string::npos) break;
        take(std::string_view(line).substr(0, equals), std::string_view(line).substr(equals + 1), owner);
    }
    return std::nullopt;
}

std::string describe(const LockOwner& owner) {
    return fmt::format("process {} on host {}{}", owner.pid, owner.host,
                       owner.job_id.empty() ? "" : " (job " + owner.job_id + ")");
}

}  // namespace memcap::store
