// When a lock may be taken over: each rule, and what must not be taken for a proof.
#include "memcap/store/journal/lock_verdict.hpp"
#include "memcap/store/journal/batch_job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace memcap::store {
namespace {

constexpr double kSilence_s = 300.0;

LockOwner owner_here() {
    return {.host = "n1",
            .pid = 4711,
            .job_id = "77",
            .cluster = "big",
            .restart_count = 0,
            .started_utc = "2026-03-01T12:00:00Z",
            .boot_id = "boot-a",
            .pid_namespace = 4026531836,
            .process_start = 1234,
            .device = 2049,
            .kernel_lock = true,
            .generation = 3,
            .token = "0123",
            .beats = 17,
            .beat_utc = "2026-03-01T12:02:50Z"};
}

struct Scene {
    LockOwner owner;
    LockSight sight;
    LockOwner self;
};

/// One row: what differs from an owner and a newcomer on one machine, and the verdict.
struct Row {
    const char* name;
    std::function<void(Scene&)> change;
    Verdict verdict;
};

void PrintTo(const Row& row, std::ostream* out) {
    *out << row.name;
}

LockJudgement judged(const Row& row) {
    Scene scene{.owner = owner_here(),
                .sight = {.kernel_lock = KernelLock::unsupported, .device = 2049},
                .self = owner_here()};
    scene.self.pid = 4712;
    scene.self.process_start = 9999;
    scene.self.job_id = "78";
    row.change(scene);
    return judge_lock(to_text(scene.owner), scene.sight, scene.self, kSilence_s);
}

/// A memcap that knew nothing of heartbeats left the lock.
void make_old(LockOwner& owner) {
    LockOwner old;
    old.host = owner.host;
    old.pid = owner.pid;
    old.job_id = owner.job_id;
    old.started_utc = owner.started_utc;
    owner = old;
}

class LockTable : public ::testing::TestWithParam<Row> {};

TEST_P(LockTable, HasTheVerdict) {
    const LockJudgement judgement = judged(GetParam());
    EXPECT_EQ(judgement.verdict, GetParam().verdict) << judgement.why;
    EXPECT_EQ(judgement.left_s > 0.0, judgement.verdict == Verdict::wait);
}

const Row kRows[] = {
    {"dead_process_here", [](Scene& s) { s.sight.process = ProcessSight::dead; }, Verdict::take},
    {"living_process_here", [](Scene& s) { s.sight.process = ProcessSight::alive; }, Verdict::held},
    {"living_process_here_though_silent",
     [](Scene& s) {
         s.sight.process = ProcessSight::alive;
         s.sight.unchanged_s = 1e6;
     },
     Verdict::held},
    {"living_process_here_without_flock_is_this_very_one",
     [](Scene& s) {
         s.sight.process = ProcessSight::alive;
         s.owner.kernel_lock = false;
         s.self.pid = s.owner.pid;
         s.self.process_start = s.owner.process_start;
     },
     Verdict::held},
    {"other_name_of_this_machine",
     [](Scene& s) {
         s.owner.host = "container-1";
         s.sight.process = ProcessSight::dead;
     },
     Verdict::take},
    {"dead_number_in_another_namespace",
     [](Scene& s) {
         s.owner.pid_namespace = 5;
         s.owner.kernel_lock = false;
         s.sight.process = ProcessSight::dead;
     },
     Verdict::wait},
    {"living_number_in_another_namespace",
     [](Scene& s) {
         s.owner.pid_namespace = 5;
         s.owner.kernel_lock = false;
         s.sight.process = ProcessSight::alive;
         s.sight.unchanged_s = kSilence_s;
     },
     Verdict::take},
    {"unknown_namespace",
     [](Scene& s) {
         s.owner.pid_namespace = s.self.pid_namespace = 0;
         s.owner.kernel_lock = false;
         s.sight.process = ProcessSight::dead;
     },
     Verdict::wait},
    {"another_namespace_but_the_kernel_lock_is_free",
     [](Scene& s) {
         s.owner.pid_namespace = 5;
         s.sight.kernel_lock = KernelLock::free;
     },
     Verdict::take},
    {"another_namespace_and_the_kernel_lock_is_held",
     [](Scene& s) {
         s.owner.pid_namespace = 5;
         s.sight.kernel_lock = KernelLock::somebody_else;
         s.sight.unchanged_s = 1e6;
     },
     Verdict::held},
    {"another_namespace_and_mount_where_kernel_locks_do_not_meet",
     [](Scene& s) {
         s.owner.pid_namespace = 5;
         s.owner.device = 77;
         s.sight.kernel_lock = KernelLock::free;
     },
     Verdict::wait},
    {"dead_process_whose_child_keeps_the_kernel_lock",
     [](Scene& s) {
         s.sight.process = ProcessSight::dead;
         s.sight.kernel_lock = KernelLock::somebody_else;
     },
     Verdict::take},
    {"dead_number_after_another_boot",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.sight.process = ProcessSight::dead;
         s.sight.kernel_lock = KernelLock::free;
     },
     Verdict::wait},
    {"two_kernels_that_do_not_say_their_boot",
     [](Scene& s) {
         s.owner.boot_id = s.self.boot_id = "";
         s.sight.process = ProcessSight::dead;
         s.sight.kernel_lock = KernelLock::free;
     },
     Verdict::wait},
    {"other_host_not_yet_silent_for_long",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.sight.unchanged_s = kSilence_s - 1;
     },
     Verdict::wait},
    {"other_host_silent",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.sight.unchanged_s = kSilence_s;
     },
     Verdict::take},
    {"other_host_silent_with_a_file_lock_that_died_with_it",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.sight.kernel_lock = KernelLock::somebody_else;
         s.sight.unchanged_s = kSilence_s;
     },
     Verdict::take},
    {"other_host_alive",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.sight.moved = true;
     },
     Verdict::held},
    {"job_gone",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.sight.job = JobSight::gone;
     },
     Verdict::take},
    {"job_there",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.sight.job = JobSight::alive;
     },
     Verdict::wait},
    {"job_of_another_cluster_unknown_here",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.owner.cluster = "small";
         s.sight.job = JobSight::gone;
     },
     Verdict::wait},
    {"job_of_an_unknown_cluster",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.owner.cluster = s.self.cluster = "";
         s.sight.job = JobSight::gone;
     },
     Verdict::wait},
    {"earlier_start_of_this_job",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.self.job_id = "77";
         s.self.restart_count = 1;
     },
     Verdict::take},
    {"earlier_start_of_a_job_of_this_number_elsewhere",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.owner.cluster = "small";
         s.self.job_id = "77";
         s.self.restart_count = 1;
     },
     Verdict::wait},
    {"same_start_of_this_job_on_another_host",
     [](Scene& s) {
         s.owner.boot_id = "boot-b";
         s.self.job_id = "77";
     },
     Verdict::wait},
    {"old_lock_of_this_host_that_the_kernel_has_dropped",
     [](Scene& s) {
         make_old(s.owner);
         s.sight.kernel_lock = KernelLock::free;
     },
     Verdict::take},
    {"old_lock_of_this_host_that_the_kernel_holds",
     [](Scene& s) {
         make_old(s.owner);
         s.sight.kernel_lock = KernelLock::somebody_else;
         s.sight.unchanged_s = 1e6;
     },
     Verdict::held},
    {"old_lock_of_a_host_of_this_name_without_kernel_locks",
     [](Scene& s) {
         make_old(s.owner);
         s.sight.process = ProcessSight::dead;
     },
     Verdict::held},
    {"old_lock_of_another_host_never_beats",
     [](Scene& s) {
         make_old(s.owner);
         s.owner.host = "n2";
         s.sight.unchanged_s = 1e6;
     },
     Verdict::held},
    {"old_lock_of_an_earlier_start_of_this_job",
     [](Scene& s) {
         make_old(s.owner);
         s.owner.host = "n2";
         s.self.job_id = "77";
         s.self.restart_count = 1;
     },
     Verdict::take},
};

INSTANTIATE_TEST_SUITE_P(Lock, LockTable, ::testing::ValuesIn(kRows),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(LockVerdict, OfATextThatWasCutRestsOnSilenceAlone) {
    const LockOwner self = owner_here();
    const std::string text = to_text(owner_here());
    for (std::size_t size = 0; size + 1 < text.size(); size += 7) {
        LockSight sight{.process = ProcessSight::dead};
        EXPECT_EQ(judge_lock(text.substr(0, size), sight, self, kSilence_s).verdict, Verdict::wait);
        sight.unchanged_s = kSilence_s;
        EXPECT_EQ(judge_lock(text.substr(0, size), sight, self, kSilence_s).verdict, Verdict::take);
    }
}

TEST(LockVerdict, SaysHowMuchSilenceIsLeft) {
    const auto judgement = judged({"",
                                   [](Scene& s) {
                                       s.owner.boot_id = "b";
                                       s.sight.unchanged_s = 120;
                                   },
                                   Verdict::wait});
    EXPECT_DOUBLE_EQ(judgement.left_s, 180.0);
}

TEST(LockText, SurvivesWritingAndReading) {
    const LockOwner owner = owner_here();
    const auto read = parse_owner(to_text(owner));
    ASSERT_TRUE(read);
    EXPECT_EQ(to_text(*read), to_text(owner));
    EXPECT_EQ(read->beats, 17U);
    EXPECT_EQ(read->last_sign_utc(), "2026-03-01T12:02:50Z");
}

TEST(LockText, KeepsItsSizeWhileItBeats) {
    LockOwner owner = owner_here();
    const auto size = to_text(owner).size();
    owner.beats = 9'999'999'999;
    owner.beat_utc = "9999-12-31T23:59:59Z";
    EXPECT_EQ(to_text(owner).size(), size);
}

TEST(LockText, WithKeysOfALaterMemcapIsRead) {
    std::string text = to_text(owner_here());
    text.insert(text.find("beat="), "colour=green\n");
    ASSERT_TRUE(parse_owner(text));
    EXPECT_EQ(parse_owner(text)->token, "0123");
}

TEST(LockText, OfAMemcapWithoutHeartbeatIsRead) {
    const auto owner =
        parse_owner("host=n1\npid=12\njob=77\nrestarts=1\nstarted=2026-03-01T12:00:00Z\nend\n");
    ASSERT_TRUE(owner);
    EXPECT_FALSE(owner->beating());
    EXPECT_EQ(owner->pid, 12);
    EXPECT_EQ(owner->last_sign_utc(), "2026-03-01T12:00:00Z");
}

TEST(LockText, TellsThisProcessFromOthers) {
    const LockOwner first = this_process();
    const LockOwner second = this_process();
    EXPECT_NE(first.token, second.token);
    EXPECT_TRUE(share_processes(first, second));
    EXPECT_GT(first.process_start, 0U);
    EXPECT_EQ(first.boot_id.size(), 36U);
}

TEST(BatchJob, IsGoneOnlyIfSlurmSaysSo) {
    const auto exit_with = [](int status) { return status << 8; };
    EXPECT_EQ(job_sight(exit_with(0), "", ""), JobSight::gone);
    EXPECT_EQ(job_sight(exit_with(0), "RUNNING\n", ""), JobSight::alive);
    EXPECT_EQ(job_sight(exit_with(0), "COMPLETING\n", ""), JobSight::alive);
    EXPECT_EQ(job_sight(exit_with(0), "NODE_FAIL\n", ""), JobSight::gone);
    EXPECT_EQ(job_sight(exit_with(0), "", "something odd"), JobSight::unknown);
    EXPECT_EQ(job_sight(exit_with(1), "", "slurm_load_jobs error: Invalid job id specified\n"),
              JobSight::gone);
    EXPECT_EQ(job_sight(exit_with(1), "", "slurm_load_jobs error: Unable to contact slurm controller\n"),
              JobSight::unknown);
    EXPECT_EQ(job_sight(9, "", ""), JobSight::unknown);  // killed
}

}  // namespace
}  // namespace memcap::store
