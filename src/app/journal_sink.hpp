// Where the manager's results go: the run folder, from which results.h5 is made every few minutes. The first
// failure of each kind is told at once.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "app/exporter.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/ids.hpp"
#include "memcap/sched/result_sink.hpp"
#include "memcap/store/run_store.hpp"

namespace memcap::app {

class JournalSink : public sched::ResultSink {
  public:
    /// `store` must outlive the sink. `former_attempts`: attempts of each trial in earlier launches.
    JournalSink(store::RunStore& store, std::unordered_map<Id128, std::int32_t> former_attempts);

    void append(const sched::Task& task, const sched::TaskResult& result) override;
    void crashed(const sched::Task& task, const std::string& reason) override;
    void attempted(const sched::AttemptNote& note) override;
    void checkpoint(const sched::Task& task, std::span<const std::byte> state) override;
    void sync() override;
    /// No export runs any more after that.
    void finish() { exporter_.finish(store_); }
    /// To be called at least once a minute, whatever happens. Throws StoreError if another run has taken the
    /// folder over.
    void beat() { store_.beat(monotonic_s()); }

    /// How many processes have died with a trial, in all launches.
    std::uint32_t crashes(const Id128& trial) const { return store_.crashes(trial); }
    /// What the task can go on from when it is leased now; none if it starts anew.
    std::optional<Bytes> checkpoint_for(const sched::Task& task);
    const store::RunFolder& folder() const noexcept { return store_.folder(); }

    /// Steps (evaluations) of all trials that have ended since the start.
    std::int64_t steps() const noexcept { return steps_; }

  private:
    store::RunStore& store_;
    std::unordered_map<Id128, std::int32_t> former_attempts_;
    std::unordered_set<std::string> warned_;  ///< kinds of failure
    std::unordered_set<Id128> resumed_;       ///< trials leased with a checkpoint, until they start
    std::int64_t steps_ = 0;
    Exporter exporter_;
};

}  // namespace memcap::app
