// Dimension scales of HDF5, marked the way netCDF-4 marks them.
#include "store/detail/dimension.hpp"

#include <fmt/format.h>
#include <hdf5_hl.h>

namespace memcap::store::detail {

namespace {

/// A dataset whose values nobody writes or reads.
Handle create_hollow(const Handle& group, const std::string& name, std::uint64_t length) {
    const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "make a property list");
    checked(H5Pset_obj_track_times(creation.get(), 0), "leave out time stamps");
    checked(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_LATE), "take no room");
    checked(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), "take no room");
    const Handle space = line_space(length);
    return {H5Dcreate2(group.get(), name.c_str(), H5T_IEEE_F32BE, space.get(), H5P_DEFAULT, creation.get(),
                       H5P_DEFAULT),
            H5Dclose, "make the dimension " + name};
}

}  // namespace

Dimension::Dimension(const Handle& group, const std::string& name, std::uint64_t length)
    : scale_(create_hollow(group, name, length)) {
    // The words and the width of the number are netCDF's.
    const std::string mark =
        fmt::format("This is a netCDF dimension but not a netCDF variable.{:10}", length);
    checked(H5DSset_scale(scale_.get(), mark.c_str()), "make the dimension " + name);
}

Dimension::Dimension(Handle column, const std::string& name) : scale_(std::move(column)) {
    checked(H5DSset_scale(scale_.get(), name.c_str()), "make the dimension " + name);
}

void Dimension::attach(const Handle& dataset, unsigned axis) const {
    checked(H5DSattach_scale(dataset.get(), scale_.get(), axis), "attach a dimension");
}

void attach_ragged(const Handle& group, const std::string& element,
                   std::initializer_list<const char*> values) {
    const Handle start = open_dataset(group, "start");
    const Dimension trials(group, "trial", element_count(start));
    trials.attach(start);
    trials.attach(open_dataset(group, "count"));
    const Dimension elements(group, element, element_count(open_dataset(group, *values.begin())));
    for (const char* name : values) elements.attach(open_dataset(group, name));
}

}  // namespace memcap::store::detail
