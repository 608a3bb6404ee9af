// memcap report: runs the analysis package, which makes the page.
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "app/machine.hpp"
#include "app/options.hpp"
#include "app/report_snapshots.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/build_info.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/text/helper_paths.hpp"

extern char** environ;

namespace memcap::app {

int report_results(const Arguments& arguments) {
    CommandSyntax syntax{
        .usage = "memcap report DIR... [--out FILE.html] [--export FOLDER]",
        .purpose =
            "Makes a page with tables and figures that opens offline (default: DIR/report.html), at any "
            "moment of a run.",
        .options = boost::program_options::options_description(),
        .fewest_files = 1,
        .most_files = SIZE_MAX};
    syntax.options.add_options()("out", boost::program_options::value<std::string>(), "the page")(
        "export", boost::program_options::value<std::string>(),
        "also write tables (CSV) and figures (PNG, SVG) there");
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    if (parsed->has("out") && std::filesystem::is_directory(parsed->text("out"))) {
        throw UsageError(
            {.what = fmt::format("--out {} is a folder, a page is a file", parsed->text("out")),
             .where = {},
             .why = {},
             .advice = fmt::format("Name the page: --out {}",
                                   (std::filesystem::path(parsed->text("out")) / "report.html").string())});
    }
    const std::string python = text::find_python({}, executable_path()).string();
    // Isolated: neither modules of the current folder nor those of a user's own site come before the
    // environment's.
    constexpr const char* kStart =
        "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
        "runpy.run_module('memcap_analysis.report', run_name='__main__', alter_sys=True)";
    std::vector<std::string> command{python,
                                     "-I",
                                     "-X",
                                     "utf8",
                                     "-c",
                                     kStart,
                                     (std::filesystem::path(kSourceFolder) / "analysis").string()};
    const ReportSnapshots snapshots(parsed->files);
    command.insert(command.end(), snapshots.arguments().begin(), snapshots.arguments().end());
    for (const char* option : {"out", "export"}) {
        if (!parsed->has(option)) continue;
        command.push_back(std::string("--") + option);
        command.push_back(parsed->text(option));
    }
    // What begins with a dash is a folder here, too.
    command.emplace_back("--");
    command.insert(command.end(), parsed->files.begin(), parsed->files.end());
    std::vector<char*> argv;
    for (auto& part : command) argv.push_back(part.data());
    argv.push_back(nullptr);
    // Pictures go to files, whatever window or notebook the shell is made for.
    ::setenv("MPLBACKEND", "agg", 1);
    pid_t child = 0;
    const int problem = posix_spawn(&child, python.c_str(), nullptr, nullptr, argv.data(), environ);
    int status = 0;
    if (problem != 0 || waitpid(child, &status, 0) != child) {
        throw ToolError({.what = "cannot start the analysis package",
                         .where = python,
                         .why = {},
                         .advice = "Run ./quickstart, which makes the Python environment"});
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : kDefect;
}

}  // namespace memcap::app
