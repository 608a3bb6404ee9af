// HDF5 files, groups and dataspaces.
#include "store/detail/hdf5.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

namespace memcap::store::detail {

namespace {

herr_t keep_innermost(unsigned depth, const H5E_error2_t* error, void* data) {
    // The walk goes from the innermost call outwards; its message names the system's error.
    if (depth == 0 && error->desc != nullptr) *static_cast<std::string*>(data) = error->desc;
    return 0;
}

void prepare_hdf5() {
    // What a result file refers to lies where the file says. This variable would have HDF5 look elsewhere
    // first, for instance among the vectors of another run.
    ::unsetenv("HDF5_VDS_PREFIX");
    // Errors are reported as exceptions, so HDF5 must not print them as well.
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Handle properties(hid_t kind) {
    return {H5Pcreate(kind), H5Pclose, "make a property list"};
}

Handle file_access(hbool_t locking) {
    prepare_hdf5();
    Handle access = properties(H5P_FILE_ACCESS);
    // Best effort: some cluster file systems refuse locks. The lock of the run folder is what excludes other
    // writers.
    H5Pset_file_locking(access.get(), locking, 1);
    // Closing a file must mean that it is closed: with objects left open it is to fail, not to wait for them.
    checked(H5Pset_fclose_degree(access.get(), H5F_CLOSE_SEMI), "set how files close");
    return access;
}

}  // namespace

void fail_hdf5(const std::string& what) {
    std::string why;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &why);
    throw Hdf5Failure("HDF5 cannot " + what + (why.empty() ? "" : ": " + why));
}

void require_space(const std::filesystem::path& path, std::uint64_t size_bytes) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor < 0) throw Hdf5Failure(std::string("the file cannot be made: ") + std::strerror(errno));
    const int problem = ::posix_fallocate(descriptor, 0, static_cast<off_t>(size_bytes));
    ::close(descriptor);
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    if (problem != 0) throw Hdf5Failure(std::string("no room for the file: ") + std::strerror(problem));
}

Handle create_file(const std::filesystem::path& path) {
    const Handle access = file_access(1);
    const Handle creation = properties(H5P_FILE_CREATE);
    checked(H5Pset_link_creation_order(creation.get(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED),
            "track the order of creation");
    return {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose, "make the file"};
}

Handle open_file(const std::filesystem::path& path) {
    const Handle access = file_access(0);
    return {H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose, "open the file"};
}

Handle create_group(const Handle& parent, const std::string& name) {
    const Handle creation = properties(H5P_GROUP_CREATE);
    checked(H5Pset_link_creation_order(creation.get(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED),
            "track the order of creation");
    checked(H5Pset_obj_track_times(creation.get(), 0), "leave out time stamps");
    return {H5Gcreate2(parent.get(), name.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT), H5Gclose,
            "make the group " + name};
}

Handle open_group(const Handle& parent, const std::string& name) {
    return {H5Gopen2(parent.get(), name.c_str(), H5P_DEFAULT), H5Gclose, "open the group " + name};
}

Handle open_dataset(const Handle& parent, const std::string& name) {
    return {H5Dopen2(parent.get(), name.c_str(), H5P_DEFAULT), H5Dclose, "open the dataset " + name};
}

bool has_link(const Handle& parent, const std::string& name) {
    return H5Lexists(parent.get(), name.c_str(), H5P_DEFAULT) > 0;
}

Handle line_space(std::uint64_t count) {
    const hsize_t size = count;
    return {H5Screate_simple(1, &size, nullptr), H5Sclose, "describe a line of elements"};
}

Handle stretch_of_line(std::uint64_t total, std::uint64_t start, std::uint64_t count) {
    Handle space = line_space(total);
    const hsize_t first = start;
    const hsize_t size = count;
    if (count == 0) {
        checked(H5Sselect_none(space.get()), "select elements");
    } else {
        checked(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &first, nullptr, &size, nullptr),
                "select elements");
    }
    return space;
}

std::uint64_t element_count(const Handle& dataset) {
    const Handle space(H5Dget_space(dataset.get()), H5Sclose, "ask for the size of a dataset");
    return static_cast<std::uint64_t>(
        checked(H5Sget_simple_extent_npoints(space.get()), "ask for the size of a dataset"));
}

}  // namespace memcap::store::detail
