// What the exporter does at the end of a run, in this process.
#pragma once

#include "memcap/store/run_store.hpp"

namespace memcap::store::testing {

inline SnapshotReport snapshot(RunStore& store) {
    const ExportPoint point = store.last_export();
    return export_results(store.folder().root(), point);
}

}  // namespace memcap::store::testing
