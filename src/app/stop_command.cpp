// memcap stop: asks a run, on whatever host it is, to keep what it has and end.
#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "app/amounts.hpp"
#include "app/options.hpp"
#include "app/shards.hpp"
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

/// A run that was asked to stop.
struct Asked {
    store::RunFolder folder;
    store::LockOwner owner;
};

/// Asks the run of a folder to stop; says so and returns nothing if none runs there.
std::optional<Asked> ask(const store::RunFolder& folder) {
    const store::RunStatus status = store::read_status(folder);
    const std::string death = death_text(status);
    if (!status.owner || !death.empty()) {
        fmt::print("nothing runs in {}{}{}\n", folder.root().string(), death.empty() ? "" : ": ", death);
        return std::nullopt;
    }
    write_file_atomically(folder.stop_file(), "stop\n");
    return Asked{folder, *status.owner};
}

/// Waits until nobody holds the folder.
void wait_for(const Asked& asked, double until_s) {
    while (store::read_lock(asked.folder.lock_file())) {
        if (monotonic_s() > until_s) {
            throw StoreError(
                asked.folder.root(),
                {.what = fmt::format("the run did not end within {:.0f} s", kPatience_s),
                 .where = {},
                 .why = fmt::format("process {} on {} still holds the folder, or died without giving it back",
                                    asked.owner.pid, asked.owner.host),
                 .advice =
                     "`memcap status` says whether it lives; where it does, it stops as soon as it can"});
        }
        std::this_thread::sleep_for(kGlance);
    }
}

}  // namespace

int stop_run(const Arguments& arguments) {
    const auto parsed = parse_options({.usage = "memcap stop DIR",
                                       .purpose = "Asks the run of this folder, or all shards in it, on "
                                                  "whatever hosts they are, to keep what they "
                                                  "have and to end with 75, and waits for that. A batch job "
                                                  "of it is not started again; memcap run "
                                                  "goes on.",
                                       .options = {},
                                       .fewest_files = 1,
                                       .most_files = 1},
                                      arguments);
    if (!parsed) return kDone;
    std::vector<Asked> asked;
    for (const auto& run : runs_of(parsed->files.front()).runs) {
        if (auto one = ask(run)) asked.push_back(std::move(*one));
    }
    const double until_s = monotonic_s() + kPatience_s;
    for (const Asked& one : asked) wait_for(one, until_s);
    for (const Asked& one : asked) {
        const store::RunStatus status = store::read_status(one.folder);
        fmt::print("stopped{}: {} done, {} failed, {} open\n",
                   status.shard ? " shard " + status.shard->text() : "", count_text(status.done, "trial"),
                   status.failed, status.open());
    }
    return kDone;
}

}  // namespace memcap::app
