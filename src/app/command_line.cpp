// The table of subcommands, and the last place where errors are caught.
#include "memcap/app/command_line.hpp"

#include <fmt/format.h>
#include <torch/version.h>

#include <array>
#include <cstdio>
#include <exception>
#include <string_view>

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

constexpr std::array kSubcommands{
    Subcommand{"run", "run what is not done yet of an experiment, alone or under mpirun or srun",
               run_experiment},
    Subcommand{"plan", "say what an experiment would do and cost, without running it", plan_experiment},
    Subcommand{"status", "say how far a run is", show_status},
    Subcommand{"report", "make the page with tables and figures of runs", report_results},
    Subcommand{"rebuild", "make results.h5 of a run again from its journal", rebuild_results},
    Subcommand{"merge", "make one results file of several runs", merge_results},
    Subcommand{"verify", "evaluate and decode each stored vector again and compare with the record",
               verify_results},
    Subcommand{"decode", "print the text that a stored vector gives back", decode_trial_text},
    Subcommand{"describe", "say what a model folder holds", describe_model},
    Subcommand{"bench", "measure this device, and what the slots engine makes of it", bench_device},
};

void print_help() {
    fmt::print(
        "usage: memcap COMMAND [arguments]\n\n"
        "Measures how many tokens fit into a language model's input vectors.\n\n");
    for (const auto& command : kSubcommands) fmt::print("  {:<9} {}\n", command.name, command.summary);
    fmt::print("\nmemcap COMMAND --help tells more. memcap --version prints the build's facts.\n");
}

void print_version() {
    fmt::print("memcap {} ({})\nbuilt by {} as {}, libtorch {}\n", kVersion, kGitRevision, kCompiler,
               kBuildType, TORCH_VERSION);
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

}  // namespace

int run_command_line(int argc, char** argv) {
    const Arguments arguments(argv + 1, argv + argc);
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
    } catch (const std::exception& problem) {
        log::error(problem.what());
        return kDefect;
    }
}

}  // namespace memcap::app
