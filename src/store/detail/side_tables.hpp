// The tables of a result file beside /trials: skipped, statistics, models, corpora, protocols, provenance.
#pragma once

#include <vector>

#include "memcap/metrics/statistics.hpp"
#include "memcap/record/run_tables.hpp"
#include "store/detail/hdf5.hpp"

namespace memcap::store::detail {

void write_side_tables(const Handle& file, const record::RunTables& tables,
                       const std::vector<metrics::StatisticsRow>& statistics);

/// Reads back everything but `rows`.
record::RunTables read_side_tables(const Handle& file);
std::vector<metrics::StatisticsRow> read_statistics(const Handle& file);

}  // namespace memcap::store::detail
