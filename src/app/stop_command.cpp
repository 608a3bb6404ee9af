// memcap stop: asks a run, on whatever host it is, to keep what it has and end.
#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "app/amounts.hpp"
#include "app/options.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/store/journal/folder_lock.hpp"
#include "memcap/store/journal/run_status.hpp"

namespace memcap::app {

namespace {

// A file is seen within seconds everywhere, and trials are left within half a minute.
constexpr double kPatience_s = 90.0;
constexpr std::chrono::milliseconds kGlance{100};

/// True once nobody holds the folder.
bool waits_until_free(const store::RunFolder& folder) {
    const double until_s = monotonic_s() + kPatience_s;
    while (store::read_lock(folder.lock_file())) {
        if (monotonic_s() > until_s) return false;
        std::this_thread::sleep_for(kGlance);
    }
    return true;
}

}  // namespace

int stop_run(const Arguments& arguments) {
    const auto parsed = parse_options(
        {.usage = "memcap stop DIR",
         .purpose =
             "Asks the run of this folder, on whatever host it is, to keep what it has and to end with "
             "75, and waits for that. A batch job of it is not started again; memcap run goes on.",
         .options = {},
         .fewest_files = 1,
         .most_files = 1},
        arguments);
    if (!parsed) return kDone;
    const store::RunFolder folder(parsed->files.front());
    const store::RunStatus before = store::read_status(folder);
    const auto owner = before.owner;
    if (const std::string death = death_text(before); !owner || !death.empty()) {
        fmt::print("nothing runs in {}{}{}\n", folder.root().string(), death.empty() ? "" : ": ", death);
        return kDone;
    }
    write_file_atomically(folder.stop_file(), "stop\n");
    if (!waits_until_free(folder)) {
        throw StoreError(
            folder.root(),
            {.what = fmt::format("the run did not end within {:.0f} s", kPatience_s),
             .where = {},
             .why = fmt::format("process {} on {} still holds the folder, or died without giving it back",
                                owner->pid, owner->host),
             .advice = "`memcap status` says whether it lives; where it does, it stops as soon as it can"});
    }
    const store::RunStatus status = store::read_status(folder);
    fmt::print("stopped: {} done, {} failed, {} open\n", count_text(status.done, "trial"), status.failed,
               status.open());
    return kDone;
}

}  // namespace memcap::app
