// The option --shard, and commands that take the folder of all shards.
#include "app/shards.hpp"

#include <fmt/format.h>

#include "memcap/base/errors.hpp"
#include "memcap/store/journal/shards.hpp"

namespace memcap::app {

Shard shard_of_option(const std::string& text) {
    if (const auto shard = parse_shard(text)) return *shard;
    throw UsageError(
        {.what = fmt::format("--shard {} is not I/N", text),
         .where = {},
         .why = "shards are counted from 0: with N of them, I is 0 to N - 1",
         .advice = "Give for instance --shard 0/8; in a job array --array=0-7 it is --shard %a/8"});
}

RunsOfFolder runs_of(const std::string& folder) {
    RunsOfFolder found;
    if (const auto shards = store::find_shards(folder)) {
        for (const auto& [index, run] : shards->begun) found.runs.push_back(run);
        found.missing = shards->missing();
        found.are_shards = true;
        return found;
    }
    found.runs.emplace_back(folder);
    found.runs.front().expect_run();
    return found;
}

}  // namespace memcap::app
