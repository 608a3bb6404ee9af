// Columns: one-dimensional datasets with units and a long name, and the attributes of files and groups.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/detail/hdf5.hpp"

namespace memcap::store::detail {

void write_attribute(const Handle& object, const std::string& name, std::string_view text);
void write_attribute(const Handle& object, const std::string& name, std::int32_t value);
void write_attribute(const Handle& object, const std::string& name, std::int64_t value);
bool has_attribute(const Handle& object, const std::string& name);
std::string read_text_attribute(const Handle& object, const std::string& name);
std::int32_t read_int_attribute(const Handle& object, const std::string& name);

/// What a reader should know of a column.
struct ColumnLabel {
    std::string name;
    std::string long_name;
    std::string units;  ///< empty: none
};

enum class Compression : std::uint8_t { none, shuffle_gzip };

/// An empty one-dimensional dataset, chunked where it is compressed.
Handle create_line(const Handle& group, const ColumnLabel& label, hid_t type, std::uint64_t count,
                   Compression compression);

/// Writes elements [start, start + values.size()) of a line.
template <class T>
void write_stretch(const Handle& dataset, std::uint64_t start, std::span<const T> values) {
    if (values.empty()) return;
    const Handle memory = line_space(values.size());
    const Handle file = stretch_of_line(element_count(dataset), start, values.size());
    checked(H5Dwrite(dataset.get(), memory_type<T>(), memory.get(), file.get(), H5P_DEFAULT, values.data()),
            "write values");
}

/// Reads elements [start, start + count) of a line.
template <class T>
std::vector<T> read_stretch(const Handle& dataset, std::uint64_t start, std::uint64_t count) {
    std::vector<T> values(count);
    if (count == 0) return values;
    const std::uint64_t total = element_count(dataset);
    if (start > total || count > total - start)
        throw Hdf5Failure("a row refers to values beyond the end of its dataset");
    const Handle memory = line_space(count);
    const Handle file = stretch_of_line(total, start, count);
    checked(H5Dread(dataset.get(), memory_type<T>(), memory.get(), file.get(), H5P_DEFAULT, values.data()),
            "read values");
    return values;
}

template <class T>
Handle write_column(const Handle& group, const ColumnLabel& label, const std::vector<T>& values) {
    Handle dataset = create_line(group, label, memory_type<T>(), values.size(), Compression::shuffle_gzip);
    write_stretch<T>(dataset, 0, values);
    return dataset;
}

/// Pairs of numbers, one after another: a dataset [rows, 2].
Handle write_pairs(const Handle& group, const ColumnLabel& label, const std::vector<double>& values);
std::vector<double> read_pairs(const Handle& group, const std::string& name);

/// Texts: variable-length UTF-8, which every reader gives as text (texts of fixed length come out of some as
/// bytes).
Handle write_text_column(const Handle& group, const ColumnLabel& label,
                         const std::vector<std::string_view>& values);
/// A single variable-length UTF-8 text.
Handle write_text(const Handle& group, const ColumnLabel& label, const std::string& text);

template <class T>
std::vector<T> read_column(const Handle& group, const std::string& name) {
    const Handle dataset = open_dataset(group, name);
    return read_stretch<T>(dataset, 0, element_count(dataset));
}
/// Texts of either kind of column, also of a scalar.
std::vector<std::string> read_text_column(const Handle& group, const std::string& name);

}  // namespace memcap::store::detail
