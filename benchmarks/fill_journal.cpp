// Puts results on record for all trials of a run's plan but some, as if they had been computed:
//
//   memcap_fill_journal DIR LEFT_OPEN
#include <cstdio>
#include <cstdlib>
#include <unordered_set>

#include "memcap/base/clock.hpp"
#include "memcap/store/journal/folder_lock.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace {

using namespace memcap;

record::TrialRecord made_up(const record::PlannedRow& row, std::size_t number) {
    const auto part = static_cast<double>(number % 1000) / 1000.0;
    record::TrialRecord record;
    record.trial_id = row.trial_id;
    record.scored_tokens = row.scored_tokens;
    record.evaluations = 200 + static_cast<std::int32_t>(number % 1800);
    record.best_evaluation = record.evaluations - 100;
    record.stop_reason = record::StopReason::max_steps;
    record.loss_nomem_nats = 5.0 + part;
    record.accuracy_nomem = 0.1 * part;
    record.loss_nats = part;
    record.loss_min_nats = 0.9 * part;
    record.correct_tokens = row.scored_tokens - static_cast<std::int32_t>(number % 2);
    record.exact = record.correct_tokens == row.scored_tokens;
    record.accuracy = static_cast<double>(record.correct_tokens) / row.scored_tokens;
    record.elapsed_s = 10.0 * part;
    record.rank = static_cast<std::int32_t>(number % 64);
    record.host = "node" + std::to_string(record.rank / 8);
    record.device = "NVIDIA H100 80GB HBM3 (GPU-00000000)";
    record.finished_utc = utc_now();
    return record;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 3) {
        std::fputs("usage: memcap_fill_journal DIR LEFT_OPEN\n", stderr);
        return 2;
    }
    const store::RunFolder folder(arguments[1]);
    auto lock = store::FolderLock::acquire(folder.lock_file(), {});
    const store::RunState state =
        store::replay(folder, store::bulk_files_check(folder), store::TornTails::cut);
    auto writer = store::JournalWriter::create(folder, state.run_id(), {.ends = state.segment_ends()});
    std::unordered_set<Id128> trials;
    for (const auto& row : state.tables().rows) trials.insert(row.trial_id);
    std::size_t left = trials.size() - state.records().size();
    const auto left_open = static_cast<std::size_t>(std::atoll(arguments[2]));
    std::size_t number = 0;
    for (const auto& row : state.tables().rows) {
        if (left <= left_open) break;
        if (trials.erase(row.trial_id) == 0 || state.find(row.trial_id) != nullptr) continue;
        writer.append(made_up(row, number++));
        --left;
    }
    writer.sync();
    lock.release();
    std::printf("%zu results put on record, %zu trials left open\n", number, left);
    return 0;
}
