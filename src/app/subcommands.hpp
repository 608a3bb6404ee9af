// The subcommands of memcap; each is one file and one row of the table in command_line.cpp.
#pragma once

#include <string>
#include <vector>

namespace memcap::app {

using Arguments = std::vector<std::string>;

/// Each returns the exit status; results go to stdout, messages to stderr. They throw UsageError,
/// ConfigError, DataError, StoreError, ToolError.
int run_experiment(const Arguments& arguments);
int plan_experiment(const Arguments& arguments);
int show_status(const Arguments& arguments);
int explain_run(const Arguments& arguments);
int stop_run(const Arguments& arguments);
int rebuild_results(const Arguments& arguments);
int merge_results(const Arguments& arguments);
int verify_results(const Arguments& arguments);
int decode_trial_text(const Arguments& arguments);
int describe_model(const Arguments& arguments);
int report_results(const Arguments& arguments);
int bench_device(const Arguments& arguments);
/// Not for people: `run` starts them.
int compute_for_agent(const Arguments& arguments);
int export_for_run(const Arguments& arguments);

}  // namespace memcap::app
