// What `memcap run` has a process of its own do: all that needs HDF5.
#include <fmt/format.h>
#include <sys/resource.h>

#include <charconv>
#include <string>

#include "app/capacity_table.hpp"
#include "app/subcommands.hpp"
#include "memcap/agent/child_process.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/store/journal/shards.hpp"
#include "memcap/store/result_file.hpp"
#include "memcap/store/run_store.hpp"

namespace memcap::app {

namespace {

template <class T>
T number_of(const std::string& text) {
    T value{};
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

/// What the end of a run says, from results.h5.
void show_results(const store::RunFolder& folder) {
    const auto file = store::ResultFile::open(folder.results_file());
    std::string text = capacity_table(file.statistics());
    if (const auto shard = store::read_shard(folder)) {
        const std::string whole = folder.root().parent_path().string();
        text += fmt::format(
            "shard {}: it has {} of {} trials; memcap report {} shows those of all shards, and memcap merge "
            "OUT.h5 {} joins them\n",
            shard->text(), file.planned_trials() - file.open_trials(), file.planned_trials(), whole, whole);
    } else if (file.open_trials() > 0) {
        text += fmt::format(
            "not finished: {} of {} trials are open; the capacity of a row is known once none of its trials "
            "is\n",
            file.open_trials(), file.planned_trials());
    }
    text += fmt::format("results: {}\n", folder.results_file().string());
    const auto bytes = as_bytes(text);
    agent::tell_parent({bytes.begin(), bytes.end()});
}

}  // namespace

int export_for_run(const Arguments& arguments) {
    agent::become_child_process("memcap-export");
    const std::size_t count = arguments.size();
    const bool shows = count >= 2 && arguments.back() == "show";
    const bool indexes = count == 2 && arguments.back() == "index";
    const std::size_t words = count - (shows ? 1 : 0);
    if (!indexes && words != 4 && !(shows && words == 1)) {
        throw UsageError({.what = "export is not for people",
                          .where = {},
                          .why = "`memcap run` calls it",
                          .advice = "`memcap rebuild DIR` makes results.h5 of a run that does not go on"});
    }
    const store::RunFolder folder(arguments[0]);
    if (indexes) store::make_index(folder.root());
    if (words == 4) {
        // While trials go on, what computes comes first.
        constexpr int kNice = 10;
        if (!shows) ::setpriority(PRIO_PROCESS, 0, kNice);
        store::export_results(folder.root(),
                              {.journal = {.segment = number_of<std::uint32_t>(arguments[1]),
                                           .size_bytes = number_of<std::uint64_t>(arguments[2])},
                               .bulk_end = number_of<std::uint32_t>(arguments[3])});
    }
    if (shows) show_results(folder);
    return kDone;
}

}  // namespace memcap::app
