// What the batch system knows of a job.
#pragma once

#include <string>

#include "memcap/store/journal/lock_verdict.hpp"

namespace memcap::store {

/// Asks Slurm's `squeue`. Unknown where there is none, where it does not answer within `timeout_s`, and
/// whenever its answer leaves a doubt.
JobSight ask_slurm(const std::string& job_id, double timeout_s = 5.0);

/// What an answer of `squeue -h -j JOB -o %T` says: its exit status, stdout and stderr.
JobSight job_sight(int status, const std::string& states, const std::string& complaint);

}  // namespace memcap::store
