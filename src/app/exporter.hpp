// results.h5 while a run goes on: made from the journal by a process of its own, so that no trial waits for
// HDF5 and nothing that goes wrong there reaches the run.
#pragma once

#include <filesystem>
#include <memory>

#include "memcap/agent/child_process.hpp"
#include "memcap/store/run_store.hpp"

namespace memcap::app {

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

}  // namespace memcap::app
