// Workers in words.
#pragma once

#include <string>
#include <vector>

#include "app/worker_file.hpp"

namespace memcap::app {

/// "rank 3 (n2, cpu, 8 threads)"; without what is not known.
std::string place_text(std::int32_t rank, const std::string& host, const std::string& device);

/// A line for each worker, those in trouble first; of many only the first, and how many more there are.
std::vector<std::string> worker_lines(std::vector<WorkerLine> workers);

/// A line for each worker that computes nothing, or less than it could, and why.
std::vector<std::string> idle_lines(const std::vector<WorkerLine>& workers);

/// Whether a worker can do no more, by a fault of its own.
bool is_in_trouble(const WorkerLine& worker);

}  // namespace memcap::app
