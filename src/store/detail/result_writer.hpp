// Writes a result file from rows, tables and the libraries that hold their arrays.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "memcap/record/run_tables.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/merge.hpp"
#include "memcap/store/run_store.hpp"
#include "store/detail/array_library.hpp"

namespace memcap::store::detail {

/// A run folder that rows come from. Borrowed.
struct ContentFolder {
    const RunFolder* folder;
    ArrayLibrary* library;
};

/// One row of the file: its axes, its record, and the folder that holds its tokens and arrays.
struct ContentRow {
    const record::PlannedRow* planned;
    const StoredRecord* stored;
    std::size_t folder = 0;        ///< that the record and its arrays come from
    std::size_t token_folder = 0;  ///< that the row and its tokens come from
};

/// All that a result file says. Borrowed parts must outlive the writing.
struct ResultContent {
    const record::RunTables* tables;  ///< its `rows` are not looked at
    std::vector<ContentRow> rows;
    std::vector<ContentFolder> folders;
    MergeArrays arrays = MergeArrays::refer;
    PlanProgress progress;
    std::vector<const Axes*> open;                   ///< axes of planned rows that are still to run
    std::map<std::string, std::uint64_t> dropped{};  ///< as RunState::dropped()
};

/// Replaces the file at `path`: temporary name, close, fsync, rename. Throws StoreError and then leaves what
/// was there.
SnapshotReport write_results(const std::filesystem::path& path, const ResultContent& content);

}  // namespace memcap::store::detail
