// One look at a journal that is being written, and the results file it makes.
#include <fmt/format.h>
#include <sys/resource.h>

#include <charconv>

#include "app/subcommands.hpp"
#include "memcap/agent/child_process.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/store/run_store.hpp"

namespace memcap::app {

int export_for_run(const Arguments& arguments) {
    agent::become_child_process("memcap-export");
    if (arguments.size() != 2) {
        throw UsageError({.what = "export is not for people",
                          .where = {},
                          .why = "`memcap run` calls it",
                          .advice = "`memcap rebuild DIR` makes results.h5 of a run that does not go on"});
    }
    // What computes comes first.
    constexpr int kNice = 10;
    ::setpriority(PRIO_PROCESS, 0, kNice);
    std::uint32_t end = 0;
    std::from_chars(arguments[1].data(), arguments[1].data() + arguments[1].size(), end);
    store::export_results(arguments[0], end);
    return kDone;
}

}  // namespace memcap::app
