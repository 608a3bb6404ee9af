// memcap rebuild and memcap merge: results.h5 from journals.
#include <fmt/format.h>

#include <algorithm>

#include "app/amounts.hpp"
#include "app/options.hpp"
#include "app/shards.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/store/merge.hpp"
#include "memcap/store/rebuild.hpp"

namespace memcap::app {

namespace {

/// "1 row", "2 rows".
std::string counted(std::uint64_t count, const char* noun) {
    return count_text(static_cast<std::int64_t>(count), noun);
}

void print_written(const store::SnapshotReport& written) {
    fmt::print("{} written\n", counted(written.rows, "row"));
    if (written.rows_without_tokens > 0)
        fmt::print("{} without tokens: their file in tokens/ is gone\n",
                   counted(written.rows_without_tokens, "row"));
    if (written.rows_without_arrays > 0) {
        fmt::print("{} without vector: {}\n", counted(written.rows_without_arrays, "row"),
                   store::lost_text(written));
    }
    if (written.rows_with_young_arrays > 0) {
        fmt::print(
            "{} without vector: it is still in the journal, where no other file can refer to it; merge "
            "with --self-contained copies it\n",
            counted(written.rows_with_young_arrays, "row"));
    }
}

void print_near(std::uint64_t near, const std::string& largest) {
    if (near > 0)
        fmt::print("{} again with numbers that differ by rounding, at most {}\n", counted(near, "trial"),
                   largest);
}

void rebuild_one(const store::RunFolder& folder) {
    const auto report = store::rebuild(folder.root(), {});
    const auto& journal = report.journal;
    fmt::print("{}, {}, {}: {}\n", counted(journal.segments, "segment"), counted(journal.frames, "frame"),
               counted(journal.results, "result"), counted(report.trials, "trial"));
    fmt::print("{} damaged bytes, {} bytes of torn tails, {} unreadable frames, {} double results\n",
               journal.damaged_bytes, journal.torn_bytes, journal.unreadable_frames, journal.duplicates);
    for (const auto& conflict : journal.conflicts) fmt::print("conflict: {}\n", conflict);
    for (const auto& note : journal.notes) fmt::print("note: {}\n", note);
    print_near(journal.near, fmt::format("{:.1e}", journal.largest_near_difference));
    std::uint64_t unexplained = report.trials_in_no_plan;
    for (const auto& [reason, count] : report.dropped) {
        fmt::print("{}\n", store::dropped_text(reason, count));
        unexplained -= std::min(unexplained, count);
    }
    if (unexplained > 0)
        fmt::print("{} in no plan of the journal and without a row\n", counted(unexplained, "trial"));
    print_written(report.written);
}

}  // namespace

int rebuild_results(const Arguments& arguments) {
    const CommandSyntax syntax{
        .usage = "memcap rebuild DIR",
        .purpose =
            "Makes results.h5 again from the journal, of each shard if there are any, and says what was "
            "damaged, double or in conflict.",
        .options = boost::program_options::options_description(),
        .fewest_files = 1,
        .most_files = 1};
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    const RunsOfFolder found = runs_of(parsed->files.front());
    for (const auto& folder : found.runs) {
        if (found.are_shards) fmt::print("{}:\n", folder.root().string());
        rebuild_one(folder);
    }
    return kDone;
}

int merge_results(const Arguments& arguments) {
    CommandSyntax syntax{.usage = "memcap merge OUT.h5 DIR... [--self-contained]",
                         .purpose =
                             "Makes one results file of several run folders, or of the shards in them, which "
                             "are only read.",
                         .options = boost::program_options::options_description(),
                         .fewest_files = 2,
                         .most_files = SIZE_MAX};
    syntax.options.add_options()("self-contained", "copy vectors and curves into the file");
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    std::vector<std::filesystem::path> folders;
    for (std::size_t file = 1; file < parsed->files.size(); ++file) {
        const RunsOfFolder found = runs_of(parsed->files[file]);
        for (const auto& run : found.runs) folders.push_back(run.root());
        for (const std::uint32_t index : found.missing)
            fmt::print("note: shard {} of {} has not begun: its trials are open\n", index,
                       parsed->files[file]);
    }
    const bool is_there = std::filesystem::exists(parsed->files.front());
    const auto report =
        store::merge(parsed->files.front(), folders,
                     parsed->has("self-contained") ? store::MergeArrays::copy : store::MergeArrays::refer);
    for (const auto& conflict : report.conflicts) fmt::print("conflict: {}\n", conflict);
    for (const auto& note : report.notes) fmt::print("note: {}\n", note);
    if (folders.size() > 1) {
        fmt::print("{} {} in more than one folder\n", counted(report.duplicates, "trial"),
                   report.duplicates == 1 ? "was" : "were");
    }
    print_near(report.near, report.largest_near);
    print_written(report.written);
    fmt::print("{}: {}\n", is_there ? "replaced" : "results", parsed->files.front());
    return kDone;
}

}  // namespace memcap::app
