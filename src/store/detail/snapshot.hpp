// From the state of a run to its result file.
#pragma once

#include <functional>

#include "memcap/store/journal/run_state.hpp"
#include "memcap/store/run_store.hpp"
#include "store/detail/array_library.hpp"

namespace memcap::store::detail {

/// Deletes what interrupted writes left: temporary files, and bulk files whose segment is in place. Only the
/// holder of the lock may do that.
void finish_interrupted_work(const RunFolder& folder, const ArrayLibrary& library);

/// Turns the bulk files below `end`, none of which may still be written to, into segments. `keep_folder` is
/// called now and then, and throws if the folder is not this process's any more: nothing is put in place
/// after that.
void publish_bulk_files(const RunFolder& folder, const RunState& state, ArrayLibrary& library,
                        std::uint32_t end, const std::function<void()>& keep_folder);

/// Replaces results.h5.
SnapshotReport write_snapshot(const RunFolder& folder, const RunState& state, ArrayLibrary& library);

}  // namespace memcap::store::detail
