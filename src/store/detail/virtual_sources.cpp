// Asking HDF5 where a virtual dataset comes from, and whether that is there.
#include "store/detail/virtual_sources.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "store/detail/segment_file.hpp"

namespace memcap::store::detail {

namespace {

/// Undoes the doubling by which a % in a name is no pattern.
std::string plain_name(std::string name) {
    for (auto at = name.find("%%"); at != std::string::npos; at = name.find("%%", at + 1)) name.erase(at, 1);
    return name;
}

std::string source_name(const Handle& creation, std::size_t number) {
    const auto length =
        checked(H5Pget_virtual_filename(creation.get(), number, nullptr, 0), "ask for a segment");
    std::string name(static_cast<std::size_t>(length) + 1, '\0');
    checked(H5Pget_virtual_filename(creation.get(), number, name.data(), name.size()), "ask for a segment");
    name.pop_back();
    return plain_name(std::move(name));
}

}  // namespace

std::vector<VirtualSource> virtual_sources(const Handle& dataset) {
    const Handle creation(H5Dget_create_plist(dataset.get()), H5Pclose, "ask how a dataset lies in the file");
    if (H5Pget_layout(creation.get()) != H5D_VIRTUAL) return {};
    std::size_t count = 0;
    checked(H5Pget_virtual_count(creation.get(), &count), "ask for the segments");
    std::vector<VirtualSource> sources;
    for (std::size_t i = 0; i < count; ++i) {
        const Handle space(H5Pget_virtual_vspace(creation.get(), i), H5Sclose, "ask for a segment's place");
        hsize_t first = 0;
        hsize_t last = 0;
        checked(H5Sget_select_bounds(space.get(), &first, &last), "ask for a segment's place");
        sources.push_back({.file = source_name(creation, i), .start = first, .count = last - first + 1});
    }
    return sources;
}

std::string why_unreadable(const std::filesystem::path& file) {
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) return "missing";
    try {
        const SegmentReader reader(file);
        return "";
    } catch (const Hdf5Failure& failure) {
        return failure.what();
    }
}

}  // namespace memcap::store::detail
