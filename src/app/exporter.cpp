// When exports start, what they are told, and how they end.
#include "app/exporter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "memcap/app/command_line.hpp"
#include "memcap/base/bytes.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"

namespace memcap::app {

namespace {

constexpr double kEvery_s = 180.0;
// An export reads the whole journal and writes all columns: at most a twentieth of the time.
constexpr double kTimesItsLength = 20.0;
// At the end results.h5 is made anew anyway.
constexpr double kPatience_s = 5.0;
constexpr std::chrono::milliseconds kGlance{10};
constexpr double kBeat_s = 1.0;
constexpr std::string_view kGoodEnd = "ended with status 0";

std::vector<std::string> export_command(const store::RunFolder& folder, const store::ExportPoint& point) {
    return {"export", folder.root().string(), std::to_string(point.journal.segment),
            std::to_string(point.journal.size_bytes), std::to_string(point.bulk_end)};
}

/// Waits for a process to end; returns what it has said. Throws StoreError unless it ends well.
std::string hear_out(agent::ChildProcess& process, const std::function<void()>& keep_folder,
                     const std::filesystem::path& file, const ErrorText& text) {
    std::string said;
    for (;;) {
        if (const auto word = process.word())
            said.append(reinterpret_cast<const char*>(word->data()), word->size());
        if (const auto ending = process.ending()) {
            if (*ending == kGoodEnd) break;
            ErrorText problem = text;
            problem.why = "the process that makes it " + *ending;
            throw StoreError(file, problem);
        }
        keep_folder();
        process.wait(kBeat_s);
    }
    // It had said it before it ended.
    if (const auto word = process.word())
        said.append(reinterpret_cast<const char*>(word->data()), word->size());
    return said;
}

std::string ask_for_results(const std::vector<std::string>& command, store::RunStore& store,
                            Standby& standby) {
    const store::RunFolder& folder = store.folder();
    auto process = standby.take();
    if (process && !process->ending()) {
        ByteWriter words;
        for (const auto& word : command) words.text(word);
        process->tell(std::move(words).bytes());
    } else {
        process = std::make_unique<agent::ChildProcess>(agent::this_program(command));
    }
    return hear_out(*process, [&store] { store.beat(monotonic_s()); }, folder.results_file(),
                    {.what = "results.h5 does not show what the run has on record",
                     .where = {},
                     .why = {},
                     .advice = "The journal has everything: `memcap rebuild " + folder.root().string() +
                               "` makes it, once what is said above is mended"});
}

}  // namespace

Exporter::Exporter() : next_s_(monotonic_s() + kEvery_s) {}

Exporter::~Exporter() = default;

void Exporter::step(store::RunStore& store) {
    note_end();
    const double now_s = monotonic_s();
    if (process_ || now_s < next_s_) return;
    const store::ExportPoint point = store.next_export();
    started_s_ = now_s;
    next_s_ = now_s + kEvery_s;
    try {
        process_ =
            std::make_unique<agent::ChildProcess>(agent::this_program(export_command(store.folder(), point)));
    } catch (const ToolError& problem) {
        log::warning(problem.what());
    }
}

/// The journal is the record: an export that failed is made up for by the next one, or at the end.
void Exporter::note_end() {
    if (!process_) return;
    const auto ending = process_->ending();
    if (!ending) return;
    if (*ending != kGoodEnd)
        log::warning(fmt::format("results.h5 was not brought up to date: its process {}", *ending));
    process_.reset();
    next_s_ = monotonic_s() + std::max(kEvery_s, kTimesItsLength * (monotonic_s() - started_s_));
}

void Exporter::finish(store::RunStore& store) {
    const double until_s = monotonic_s() + kPatience_s;
    while (process_ && monotonic_s() < until_s) {
        note_end();
        store.beat(monotonic_s());
        std::this_thread::sleep_for(kGlance);
    }
    process_.reset();
}

Standby::Standby()
    : process_(agent::ChildProcess::copy([] {
          agent::become_child_process("memcap-export");
          const auto words = agent::parents_word();
          if (!words) return kDone;
          std::vector<std::string> command{"memcap"};
          for (ByteReader reader(*words); !reader.at_end();) command.push_back(reader.text());
          std::vector<char*> arguments;
          for (auto& word : command) arguments.push_back(word.data());
          return run_command_line(static_cast<int>(arguments.size()), arguments.data());
      })) {}

std::string export_all(store::RunStore& store, Standby& standby) {
    auto command = export_command(store.folder(), store.last_export());
    command.emplace_back("show");
    return ask_for_results(command, store, standby);
}

std::string shown_results(store::RunStore& store, Standby& standby) {
    return ask_for_results({"export", store.folder().root().string(), "show"}, store, standby);
}

void make_index(const std::filesystem::path& root, const std::function<void()>& keep_folder) {
    agent::ChildProcess process(agent::this_program({"export", root.string(), "index"}));
    hear_out(process, keep_folder, store::RunFolder(root).index_file(),
             {.what = "cannot tell from the journal what has been done",
              .where = {},
              .why = {},
              .advice = "Mend what is said above and run again; what was recorded is safe"});
}

}  // namespace memcap::app
