// The table /trials of a result file.
#pragma once

#include "store/detail/hdf5.hpp"
#include "store/detail/result_writer.hpp"

namespace memcap::store::detail {

void write_trials(const Handle& file, const ResultContent& content);

}  // namespace memcap::store::detail
