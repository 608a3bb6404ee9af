// results.h5 and the index of the journal: made by a process of its own, so that no trial waits for HDF5 and
// nothing that goes wrong there reaches the run.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "memcap/agent/child_process.hpp"
#include "memcap/store/run_store.hpp"

namespace memcap::app {

/// Exports while a run goes on.
class Exporter {
  public:
    Exporter();
    ~Exporter();

    /// Starts an export if one is due and none runs; never waits. Throws StoreError if the journal cannot be
    /// brought to the disk.
    void step(store::RunStore& store);
    /// Waits until no export runs, ending one that takes too long.
    void finish(store::RunStore& store);

  private:
    void note_end();

    std::unique_ptr<agent::ChildProcess> process_;
    double started_s_ = 0.0;
    double next_s_;
};

/// A process that is there already when the end of a run waits for it: loading one takes a quarter of a
/// second. It does one thing, and is not needed for anything to be done.
class Standby {
  public:
    /// To be made before MPI is called and threads are started.
    Standby();
    /// Once; null if there is none.
    std::unique_ptr<agent::ChildProcess> take() { return std::move(process_); }

  private:
    std::unique_ptr<agent::ChildProcess> process_;
};

/// Lets results.h5 show all that is on record, while the store's lock is kept; returns what the results say.
/// Throws StoreError if that fails; the journal has everything.
std::string export_all(store::RunStore& store, Standby& standby);
/// What results.h5 says, for people. Throws StoreError if it cannot be read.
std::string shown_results(store::RunStore& store, Standby& standby);
/// Makes the journal's index, for store::OpenOptions. Throws StoreError.
void make_index(const std::filesystem::path& root, const std::function<void()>& keep_folder);

}  // namespace memcap::app
