// From the state of a run to its result file.
#pragma once

#include <functional>

#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/run_store.hpp"
#include "store/detail/array_library.hpp"

namespace memcap::store::detail {

/// Deletes the temporary files that interrupted writes left. Only the holder of the lock may do that.
void remove_unfinished_files(const RunFolder& folder);

/// Turns the bulk files below `end`, none of which may still be written to, into segments, and deletes those
/// whose segment is in place already. `keep_folder` is
/// called now and then, and throws if the folder is not this process's any more: nothing is put in place
/// after that.
void publish_bulk_files(const RunFolder& folder, const RunState& state, ArrayLibrary& library,
                        std::uint32_t end, const std::function<void()>& keep_folder);

/// Replaces results.h5.
SnapshotReport write_snapshot(const RunFolder& folder, const RunState& state, ArrayLibrary& library);

}  // namespace memcap::store::detail
