// The table of subcommands, and the last place where errors are caught.
#include "memcap/app/command_line.hpp"

#include <fmt/format.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <string_view>
#include <system_error>

#include "app/handshake.hpp"
#include "app/options.hpp"
#include "app/output.hpp"
#include "app/self_check.hpp"
#include "app/subcommands.hpp"
#include "memcap/base/build_info.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"

namespace memcap::app {

namespace {

struct Subcommand {
    std::string_view name;
    std::string_view summary;
    int (*run)(const Arguments& arguments);
};

/// A subcommand without a summary is not shown.
constexpr std::array kSubcommands{
    Subcommand{"run", "run what is not done yet of an experiment, alone or under mpirun or srun",
               run_experiment},
    Subcommand{"plan", "say what an experiment would do and cost, without running it", plan_experiment},
    Subcommand{"status", "say how far a run is", show_status},
    Subcommand{"explain", "say what happened to a trial, or why workers wait", explain_run},
    Subcommand{"stop", "end a run wherever it is, keeping what it has", stop_run},
    Subcommand{"report", "make the page with tables and figures of runs", report_results},
    Subcommand{"rebuild", "make results.h5 of a run again from its journal", rebuild_results},
    Subcommand{"merge", "make one results file of several runs", merge_results},
    Subcommand{"verify", "evaluate and decode each stored vector again and compare with the record",
               verify_results},
    Subcommand{"decode", "print the text that a stored vector gives back", decode_trial_text},
    Subcommand{"describe", "say what a model folder holds", describe_model},
    Subcommand{"bench", "measure this device, and what the slots engine makes of it", bench_device},
    Subcommand{"compute", "", compute_for_agent},
    Subcommand{"export", "", export_for_run},
};

void print_help() {
    fmt::print(
        "usage: memcap COMMAND [arguments]\n\n"
        "Measures how many tokens fit into a language model's input vectors.\n\n");
    for (const auto& command : kSubcommands) {
        if (!command.summary.empty()) fmt::print("  {:<9} {}\n", command.name, command.summary);
    }
    fmt::print("\nmemcap COMMAND --help tells more. memcap --version prints the build's facts.\n\n{}\n",
               kExitStatuses);
}

void print_version() {
    fmt::print("{}\nbuilt by {} as {}, libtorch {}\n", own_build(), kCompiler, kBuildType, TORCH_VERSION);
}

int dispatch(std::string_view name, const Arguments& arguments) {
    for (const auto& command : kSubcommands) {
        if (command.name == name) return command.run(arguments);
    }
    throw UsageError({.what = fmt::format("there is no command '{}'", name),
                      .where = {},
                      .why = {},
                      .advice = "memcap --help lists the commands"});
}

int run_command(const Arguments& arguments, int& output_error) {
    try {
        if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
            print_help();
            return arguments.empty() ? kUsage : kDone;
        }
        if (arguments[0] == "--version") {
            print_version();
            return kDone;
        }
        return dispatch(arguments[0], Arguments(arguments.begin() + 1, arguments.end()));
    } catch (const StoreError& problem) {
        log::error(problem.what());
        return kDefect;
    } catch (const WrongNumbers& problem) {
        log::error(problem.what());
        return kDefect;
    } catch (const TransportError& problem) {
        log::error(problem.what());
        return kDefect;
    } catch (const Error& problem) {
        log::error(problem.what());
        return kUsage;
    } catch (const std::system_error& problem) {
        // fmt::print throws what stdout does not take; finish_output() has the words for it.
        if (std::ferror(stdout) != 0) {
            output_error = problem.code().value();
        } else {
            log::error(problem.what());
        }
        return kDefect;
    } catch (const std::exception& problem) {
        log::error(problem.what());
        return kDefect;
    }
}

}  // namespace

int run_command_line(int argc, char** argv) {
    open_standard_streams();
    // The program's own name may be missing, too.
    const Arguments arguments(argv + std::min(argc, 1), argv + argc);
    int output_error = 0;
    const int status = run_command(arguments, output_error);
    return finish_output(status, output_error);
}

}  // namespace memcap::app
