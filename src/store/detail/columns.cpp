// Datasets and attributes of texts and numbers.
#include "store/detail/columns.hpp"

#include <algorithm>
#include <cstring>

namespace memcap::store::detail {

namespace {

constexpr std::uint64_t kChunkBytes = std::uint64_t{256} * 1024;
constexpr unsigned kGzipLevel = 4;

Handle text_type() {
    Handle type(H5Tcopy(H5T_C_S1), H5Tclose, "describe a text");
    checked(H5Tset_size(type.get(), H5T_VARIABLE), "describe a text");
    checked(H5Tset_cset(type.get(), H5T_CSET_UTF8), "describe a text");
    return type;
}

Handle scalar_space() {
    return {H5Screate(H5S_SCALAR), H5Sclose, "describe a single value"};
}

Handle create_attribute(const Handle& object, const std::string& name, hid_t type) {
    const Handle space = scalar_space();
    return {H5Acreate2(object.get(), name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
            "make the attribute " + name};
}

Handle open_attribute(const Handle& object, const std::string& name) {
    return {H5Aopen(object.get(), name.c_str(), H5P_DEFAULT), H5Aclose, "find the attribute " + name};
}

void write_labels(const Handle& dataset, const ColumnLabel& label) {
    write_attribute(dataset, "long_name", label.long_name);
    if (!label.units.empty()) write_attribute(dataset, "units", label.units);
}

/// Texts of the fixed-length columns of earlier versions: each ends at its first zero or at the full size.
std::vector<std::string> split_fixed(const std::vector<char>& bytes, std::size_t size) {
    std::vector<std::string> texts;
    for (std::size_t at = 0; at + size <= bytes.size(); at += size) {
        texts.emplace_back(bytes.data() + at, ::strnlen(bytes.data() + at, size));
    }
    return texts;
}

std::vector<std::string> read_variable(const Handle& dataset, std::uint64_t count) {
    const Handle type = text_type();
    const Handle space(H5Dget_space(dataset.get()), H5Sclose, "ask for the size of a dataset");
    std::vector<char*> pointers(count, nullptr);
    checked(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()), "read texts");
    std::vector<std::string> texts;
    for (const char* text : pointers) texts.emplace_back(text != nullptr ? text : "");
    H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, pointers.data());
    return texts;
}

}  // namespace

void write_attribute(const Handle& object, const std::string& name, std::string_view text) {
    const Handle type = text_type();
    const Handle attribute = create_attribute(object, name, type.get());
    const std::string terminated(text);
    const char* pointer = terminated.c_str();
    checked(H5Awrite(attribute.get(), type.get(), &pointer), "write the attribute " + name);
}

void write_attribute(const Handle& object, const std::string& name, std::int32_t value) {
    const Handle attribute = create_attribute(object, name, H5T_STD_I32LE);
    checked(H5Awrite(attribute.get(), H5T_NATIVE_INT32, &value), "write the attribute " + name);
}

void write_attribute(const Handle& object, const std::string& name, std::int64_t value) {
    const Handle attribute = create_attribute(object, name, H5T_STD_I64LE);
    checked(H5Awrite(attribute.get(), H5T_NATIVE_INT64, &value), "write the attribute " + name);
}

bool has_attribute(const Handle& object, const std::string& name) {
    return H5Aexists(object.get(), name.c_str()) > 0;
}

std::string read_text_attribute(const Handle& object, const std::string& name) {
    const Handle attribute = open_attribute(object, name);
    const Handle type = text_type();
    char* pointer = nullptr;
    checked(H5Aread(attribute.get(), type.get(), &pointer), "read the attribute " + name);
    std::string text = pointer != nullptr ? pointer : "";
    const Handle space = scalar_space();
    H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, &pointer);
    return text;
}

std::int32_t read_int_attribute(const Handle& object, const std::string& name) {
    const Handle attribute = open_attribute(object, name);
    std::int32_t value = 0;
    checked(H5Aread(attribute.get(), H5T_NATIVE_INT32, &value), "read the attribute " + name);
    return value;
}

Handle create_line(const Handle& group, const ColumnLabel& label, hid_t type, std::uint64_t count,
                   Compression compression) {
    const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "make a property list");
    checked(H5Pset_obj_track_times(creation.get(), 0), "leave out time stamps");
    // A dataset of no elements cannot have chunks.
    if (compression == Compression::shuffle_gzip && count > 0) {
        const hsize_t chunk = std::clamp<hsize_t>(kChunkBytes / H5Tget_size(type), 1, count);
        checked(H5Pset_chunk(creation.get(), 1, &chunk), "set the chunk size");
        checked(H5Pset_shuffle(creation.get()), "set the shuffle filter");
        checked(H5Pset_deflate(creation.get(), kGzipLevel), "set the gzip filter");
    }
    const Handle space = line_space(count);
    Handle dataset(H5Dcreate2(group.get(), label.name.c_str(), type, space.get(), H5P_DEFAULT, creation.get(),
                              H5P_DEFAULT),
                   H5Dclose, "make the dataset " + label.name);
    write_labels(dataset, label);
    return dataset;
}

Handle write_pairs(const Handle& group, const ColumnLabel& label, const std::vector<double>& values) {
    const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "make a property list");
    checked(H5Pset_obj_track_times(creation.get(), 0), "leave out time stamps");
    const hsize_t shape[] = {values.size() / 2, 2};
    const Handle space(H5Screate_simple(2, shape, nullptr), H5Sclose, "describe pairs");
    Handle dataset(H5Dcreate2(group.get(), label.name.c_str(), H5T_NATIVE_DOUBLE, space.get(), H5P_DEFAULT,
                              creation.get(), H5P_DEFAULT),
                   H5Dclose, "make the dataset " + label.name);
    write_labels(dataset, label);
    if (!values.empty()) {
        checked(H5Dwrite(dataset.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
                "write pairs");
    }
    return dataset;
}

std::vector<double> read_pairs(const Handle& group, const std::string& name) {
    const Handle dataset = open_dataset(group, name);
    std::vector<double> values(element_count(dataset));
    if (!values.empty()) {
        checked(H5Dread(dataset.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
                "read pairs");
    }
    return values;
}

Handle write_text_column(const Handle& group, const ColumnLabel& label,
                         const std::vector<std::string_view>& values) {
    const std::vector<std::string> terminated(values.begin(), values.end());
    std::vector<const char*> pointers;
    for (const auto& text : terminated) pointers.push_back(text.c_str());
    const Handle type = text_type();
    Handle dataset = create_line(group, label, type.get(), values.size(), Compression::shuffle_gzip);
    if (!values.empty()) {
        checked(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()),
                "write texts");
    }
    return dataset;
}

Handle write_text(const Handle& group, const ColumnLabel& label, const std::string& text) {
    const Handle type = text_type();
    const Handle space = scalar_space();
    const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "make a property list");
    checked(H5Pset_obj_track_times(creation.get(), 0), "leave out time stamps");
    Handle dataset(H5Dcreate2(group.get(), label.name.c_str(), type.get(), space.get(), H5P_DEFAULT,
                              creation.get(), H5P_DEFAULT),
                   H5Dclose, "make the dataset " + label.name);
    write_labels(dataset, label);
    const char* pointer = text.c_str();
    checked(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, &pointer), "write a text");
    return dataset;
}

std::vector<std::string> read_text_column(const Handle& group, const std::string& name) {
    const Handle dataset = open_dataset(group, name);
    const std::uint64_t count = element_count(dataset);
    if (count == 0) return {};
    const Handle type(H5Dget_type(dataset.get()), H5Tclose, "ask for the type of " + name);
    if (H5Tget_class(type.get()) != H5T_STRING)
        throw Hdf5Failure("the column " + name + " does not hold texts");
    if (H5Tis_variable_str(type.get()) > 0) return read_variable(dataset, count);
    const std::size_t size = H5Tget_size(type.get());
    std::vector<char> bytes(size * count);
    checked(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), "read texts");
    return split_fixed(bytes, size);
}

}  // namespace memcap::store::detail
