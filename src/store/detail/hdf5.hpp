// HDF5 handles that close themselves, and its errors as exceptions.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace memcap::store::detail {

/// A call into HDF5 failed; what() says which and why. Callers add the file and turn it into the error of
/// their layer.
class Hdf5Failure : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Throws Hdf5Failure with the innermost message of HDF5's error stack.
[[noreturn]] void fail_hdf5(const std::string& what);

/// Passes a result through unless it is negative.
template <class Result>
Result checked(Result result, const std::string& what) {
    if (result < 0) fail_hdf5(what);
    return result;
}

/// Makes sure that a file of this size can be written at `path`, which is left absent or empty; throws
/// Hdf5Failure if not. HDF5 1.10 may crash when the disk fills up under an open file, so it must not get
/// there.
void require_space(const std::filesystem::path& path, std::uint64_t size_bytes);

/// Owns one HDF5 identifier.
class Handle {
  public:
    using Closer = herr_t (*)(hid_t);

    Handle() = default;
    /// Throws Hdf5Failure if `id` is not valid; `what` says what was tried.
    Handle(hid_t id, Closer closer, const std::string& what) : id_(checked(id, what)), closer_(closer) {}
    Handle(Handle&& other) noexcept
        : id_(std::exchange(other.id_, H5I_INVALID_HID)), closer_(other.closer_) {}
    Handle& operator=(Handle&& other) noexcept {
        reset();
        id_ = std::exchange(other.id_, H5I_INVALID_HID);
        closer_ = other.closer_;
        return *this;
    }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { reset(); }

    hid_t get() const noexcept { return id_; }
    /// Closes now; for files that is when the last bytes are written, and so where a full disk shows.
    void close(const std::string& what) { checked(closer_(std::exchange(id_, H5I_INVALID_HID)), what); }

  private:
    void reset() noexcept {
        if (id_ >= 0) closer_(std::exchange(id_, H5I_INVALID_HID));
    }

    hid_t id_ = H5I_INVALID_HID;
    Closer closer_ = nullptr;
};

/// The HDF5 type of a C++ number as it lies in memory.
template <class T>
hid_t memory_type() {
    if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
    if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
    if constexpr (std::is_same_v<T, std::uint8_t>) return H5T_NATIVE_UINT8;
    if constexpr (std::is_same_v<T, std::int32_t>) return H5T_NATIVE_INT32;
    if constexpr (std::is_same_v<T, std::int64_t>) return H5T_NATIVE_INT64;
    if constexpr (std::is_same_v<T, std::uint64_t>) return H5T_NATIVE_UINT64;
}

/// A new file, empty but for the tracking of creation order, which netCDF-4 wants. Nothing in it depends on
/// the clock.
Handle create_file(const std::filesystem::path& path);
/// An existing file, for reading, without locks: memcap replaces its files whole and never writes into them.
Handle open_file(const std::filesystem::path& path);
Handle create_group(const Handle& parent, const std::string& name);
Handle open_group(const Handle& parent, const std::string& name);
Handle open_dataset(const Handle& parent, const std::string& name);
bool has_link(const Handle& parent, const std::string& name);
/// A one-dimensional dataspace.
Handle line_space(std::uint64_t count);
/// The same with one contiguous stretch of it selected.
Handle stretch_of_line(std::uint64_t total, std::uint64_t start, std::uint64_t count);
/// Elements of a one-dimensional dataset.
std::uint64_t element_count(const Handle& dataset);

}  // namespace memcap::store::detail
