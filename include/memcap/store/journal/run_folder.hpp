// The layout of a run folder.
#pragma once

#include <cstdint>
#include <filesystem>

namespace memcap::store {

/// Names of everything in a run folder; values only, touches no file but in create().
class RunFolder {
  public:
    explicit RunFolder(std::filesystem::path root) : root_(std::move(root)) {}

    const std::filesystem::path& root() const noexcept { return root_; }
    std::filesystem::path experiment_file() const { return root_ / "experiment.yaml"; }
    std::filesystem::path results_file() const { return root_ / "results.h5"; }
    std::filesystem::path report_file() const { return root_ / "report.html"; }
    std::filesystem::path journal() const { return root_ / "journal"; }
    std::filesystem::path lock_file() const { return journal() / "lock"; }
    /// What the journal comes to; derived from it.
    std::filesystem::path index_file() const { return journal() / "index"; }
    /// While it is there a run is to end.
    std::filesystem::path stop_file() const { return journal() / "stop"; }
    /// Which part of an experiment is run here; not there where all of it is.
    std::filesystem::path shard_file() const { return root_ / "shard"; }
    std::filesystem::path log_segment(std::uint32_t number) const;
    std::filesystem::path bulk_file(std::uint32_t number) const;
    std::filesystem::path vectors() const { return root_ / "vectors"; }
    /// The immutable segment that a bulk file of the same number becomes. `content` is a hash of the run and
    /// of all that the segment holds, so that a file which refers to it never finds another run's in its
    /// place.
    std::filesystem::path vectors_segment(std::uint32_t number, std::uint64_t content) const;
    std::filesystem::path tokens() const { return root_ / "tokens"; }
    /// Hashes of model files, kept from launch to launch.
    std::filesystem::path hashes() const { return root_ / "hashes.json"; }
    std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
    std::filesystem::path log() const { return root_ / "log"; }
    std::filesystem::path log_file(int rank) const;
    /// What rank 0 last said of its workers.
    std::filesystem::path workers_file() const { return log() / "workers"; }

    /// Throws DataError if a run that begins here would replace files that no run has made.
    void expect_run_or_free() const;
    /// Throws DataError if there is no run here.
    void expect_run() const;
    /// Makes the folder and those in it; throws StoreError.
    void create() const;
    /// Whether there is a run here, i.e. a journal folder.
    bool exists() const;

  private:
    std::filesystem::path root_;
};

}  // namespace memcap::store
