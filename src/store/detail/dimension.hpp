// Dimensions as netCDF-4 has them, so that xarray and other readers of netCDF know which columns belong
// together.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "store/detail/hdf5.hpp"

namespace memcap::store::detail {

/// A dimension of the datasets in a group and in the groups below it.
class Dimension {
  public:
    /// Has a length and no values: a dataset that takes no room.
    Dimension(const Handle& group, const std::string& name, std::uint64_t length);
    /// Has the values of this column, whose name it takes.
    Dimension(Handle column, const std::string& name);

    /// Makes it the dimension of that axis of the dataset.
    void attach(const Handle& dataset, unsigned axis = 0) const;

  private:
    Handle scale_;
};

/// Gives the columns `start` and `count` of a ragged part the dimension `trial`, and its values `element`.
void attach_ragged(const Handle& group, const std::string& element,
                   std::initializer_list<const char*> values);

}  // namespace memcap::store::detail
