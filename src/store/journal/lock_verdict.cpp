// The rules by which a lock is taken over, from the surest to the slowest.
#include "memcap/store/journal/lock_verdict.hpp"

#include <fmt/format.h>

namespace memcap::store {

namespace {

bool same_kernel(const LockOwner& a, const LockOwner& b) {
    return !a.boot_id.empty() && a.boot_id == b.boot_id;
}

bool is_earlier_start(const LockOwner& owner, const LockOwner& self) {
    // Not each memcap writes down which cluster it runs on.
    const bool same_cluster = owner.cluster.empty() || self.cluster.empty() || owner.cluster == self.cluster;
    return !self.job_id.empty() && self.job_id == owner.job_id && same_cluster &&
           self.restart_count > owner.restart_count;
}

LockJudgement take(std::string why) {
    return {.verdict = Verdict::take, .why = std::move(why)};
}

LockJudgement held(std::string why) {
    return {.verdict = Verdict::held, .why = std::move(why)};
}

/// What only time can tell.
LockJudgement judge_silence(const LockSight& sight, double silence_s) {
    if (sight.moved) return held("its heartbeat goes on");
    if (sight.unchanged_s >= silence_s)
        return take(fmt::format("which has given no sign of life for {:.0f} s", sight.unchanged_s));
    return {.verdict = Verdict::wait,
            .why = "it cannot be seen from here whether that process lives",
            .left_s = silence_s - sight.unchanged_s};
}

/// A lock of a memcap that does not show that it lives.
LockJudgement judge_without_heartbeat(const LockOwner& owner, const LockSight& sight, const LockOwner& self) {
    if (owner.host == self.host && sight.kernel_lock == KernelLock::free)
        return take("which ended without giving it back");
    if (sight.kernel_lock == KernelLock::somebody_else) return held("it holds a lock of the file system");
    return held("its version of memcap shows no sign of life, so this one cannot tell");
}

}  // namespace

bool share_processes(const LockOwner& a, const LockOwner& b) {
    return same_kernel(a, b) && a.pid_namespace != 0 && a.pid_namespace == b.pid_namespace;
}

bool share_jobs(const LockOwner& a, const LockOwner& b) {
    return !a.cluster.empty() && a.cluster == b.cluster;
}

LockJudgement judge_lock(std::string_view text, const LockSight& sight, const LockOwner& self,
                         double silence_s) {
    const auto owner = parse_owner(text);
    if (!owner) return judge_silence(sight, silence_s);
    if (is_earlier_start(*owner, self)) return take("an earlier start of this job");
    if (share_processes(*owner, self)) {
        if (sight.process == ProcessSight::dead) return take("which ended without giving it back");
        if (sight.process == ProcessSight::alive) return held("that process lives");
    }
    // Equal names of a file system can only mean another one if the owner's is not mounted any more.
    if (same_kernel(*owner, self) && owner->kernel_lock && owner->device == sight.device) {
        if (sight.kernel_lock == KernelLock::free) return take("which ended without giving it back");
        if (sight.kernel_lock == KernelLock::somebody_else) return held("it holds a lock of this kernel");
    }
    if (sight.job == JobSight::gone && share_jobs(*owner, self))
        return take(fmt::format("whose job {} has ended", owner->job_id));
    if (!owner->beating()) return judge_without_heartbeat(*owner, sight, self);
    return judge_silence(sight, silence_s);
}

}  // namespace memcap::store
