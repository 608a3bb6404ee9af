// Picking one trial's frames out of a journal.
#include "memcap/store/journal/trial_history.hpp"

#include <algorithm>
#include <utility>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/store/journal/frame.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/journal/segment_ends.hpp"

namespace memcap::store {

namespace {

class Historian {
  public:
    explicit Historian(const Id128& trial) : trial_(trial) {}

    void begin_segment() { has_launch_ = false; }

    void read(const Frame& frame) {
        try {
            switch (frame.type) {
                case FrameType::tables:
                    for (const auto& launch : record::decode_tables(frame.payload).launches)
                        add_launch(launch);
                    return;
                case FrameType::launch:
                    return add_launch(record::decode_launch(frame.payload));
                case FrameType::attempts:
                    return add_attempts(decode_attempts(frame.payload));
                case FrameType::crash:
                    return add_crash(decode_crash(frame.payload));
                case FrameType::result:
                    return add_result(std::move(decode_result(frame.payload).record));
                default:
                    return;
            }
        } catch (const TransportError&) {
            // `memcap rebuild` tells what of a journal cannot be understood.
        }
    }

    TrialHistory take() { return std::move(history_); }

  private:
    /// A segment is of one launch, whose row is written again when it ends.
    void add_launch(const record::LaunchRow& launch) {
        if (std::exchange(has_launch_, true)) {
            history_.launches.back() = launch;
        } else {
            history_.launches.push_back(launch);
        }
    }

    void add_attempts(AttemptsPayload payload) {
        const auto own = std::ranges::find(payload.attempts, trial_, &AttemptsPayload::Attempt::trial);
        if (own == payload.attempts.end()) return;
        history_.events.push_back({.launch = history_.launches.size(),
                                   .utc = std::move(payload.utc),
                                   .attempt = own->number,
                                   .rank = payload.rank,
                                   .host = std::move(payload.host),
                                   .device = std::move(payload.device),
                                   .event = payload.event,
                                   .result = std::nullopt,
                                   .reason = std::move(payload.reason)});
    }

    /// The event before says the same, with more; older versions have none.
    void add_crash(const CrashPayload& crash) {
        if (crash.trial != trial_) return;
        const auto same = [&](const TrialEvent& event) {
            return event.event == AttemptEvent::crashed && !event.utc.empty() &&
                   event.reason == crash.reason && event.launch == history_.launches.size();
        };
        if (!history_.events.empty() && same(history_.events.back())) return;
        TrialEvent event;
        event.launch = history_.launches.size();
        event.event = AttemptEvent::crashed;
        event.reason = crash.reason;
        history_.events.push_back(std::move(event));
    }

    void add_result(record::TrialRecord record) {
        if (record.trial_id != trial_) return;
        TrialEvent event;
        event.launch = history_.launches.size();
        event.utc = record.finished_utc;
        event.attempt = record.attempt;
        event.rank = record.rank;
        event.host = record.host;
        event.device = record.device;
        event.result = std::move(record);
        history_.events.push_back(std::move(event));
    }

    Id128 trial_;
    bool has_launch_ = false;
    TrialHistory history_;
};

}  // namespace

TrialHistory read_history(const RunFolder& folder, const Id128& trial) {
    const SegmentEnds ends = read_ends(folder);
    Historian historian(trial);
    for (const std::uint32_t number : numbered_files(folder.journal(), ".log")) {
        const std::string text = read_text_file(folder.log_segment(number));
        auto bytes = as_bytes(text);
        // What a writer added after it had lost the folder is no part of what happened.
        if (const auto end = ends.find(number); end != ends.end())
            bytes = bytes.first(std::min<std::size_t>(bytes.size(), end->second.size_bytes));
        historian.begin_segment();
        scan_segment(bytes, [&](const Frame& frame) { historian.read(frame); });
    }
    return historian.take();
}

}  // namespace memcap::store
