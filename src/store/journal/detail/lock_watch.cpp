// Looks at a lock, one after another.
#include "store/journal/detail/lock_watch.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "memcap/base/clock.hpp"

namespace memcap::store::detail {

namespace {
constexpr double kAskJobEvery_s = 30.0;
}

void LockWatch::remember(const LockFile& found) {
    const double now_s = monotonic_s();
    if (text_ && *text_ == found.text) {
        // Time in which this process could not look (it was stopped, or the file system hung, for the owner
        // too) proves nothing.
        unchanged_s_ += std::min(now_s - last_look_s_, 2.0 * request_.times.look_every_s);
    } else {
        const auto before = text_ ? parse_owner(*text_) : std::nullopt;
        const auto owner = parse_owner(found.text);
        moved_ = before && owner && owner->beating() && before->token == owner->token;
        unchanged_s_ = 0.0;
        text_ = found.text;
    }
    last_look_s_ = now_s;
}

JobSight LockWatch::job_of(const LockOwner& owner) {
    if (owner.job_id.empty() || !share_jobs(owner, request_.self)) return JobSight::unknown;
    if (job_id_ != owner.job_id || monotonic_s() >= next_question_s_) {
        job_id_ = owner.job_id;
        job_ = request_.ask_job(job_id_);
        next_question_s_ = monotonic_s() + kAskJobEvery_s;
    }
    return job_;
}

LockJudgement LockWatch::judge(const LockFile& found) {
    remember(found);
    const auto owner = parse_owner(found.text);
    LockSight sight{.kernel_lock = found.kernel_lock,
                    .process = owner ? look_at_process(*owner) : ProcessSight::unknown,
                    .job = JobSight::unknown,
                    .device = found.device,
                    .moved = moved_,
                    .unchanged_s = unchanged_s_};
    const auto judged = [&] {
        return judge_lock(found.text, sight, request_.self, request_.times.silence_s);
    };
    LockJudgement judgement = judged();
    // The batch system is asked only where nothing else tells.
    if (judgement.verdict != Verdict::wait || !owner) return judgement;
    sight.job = job_of(*owner);
    return judged();
}

void pause(const LockRequest& request, double seconds) {
    constexpr double kSlice_s = 0.1;
    const double end_s = monotonic_s() + seconds;
    for (double left_s = seconds; left_s > 0.0; left_s = end_s - monotonic_s()) {
        if (request.while_waiting) request.while_waiting();
        std::this_thread::sleep_for(std::chrono::duration<double>(std::min(left_s, kSlice_s)));
    }
}

}  // namespace memcap::store::detail
