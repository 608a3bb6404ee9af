// One description of each small table, walked by a writer and by a reader.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/protocol_keys.hpp"
#include "store/detail/columns.hpp"
#include "store/detail/dimension.hpp"

namespace memcap::store::detail {

/// Writes one dataset a column into a new group, all with one dimension. The getters of all its functions
/// take a row and return a reference.
template <class Row>
class TableWriter {
  public:
    /// `dimension`: the name of that of the rows; `pairs`: that of a pair's two numbers.
    TableWriter(const Handle& parent, const std::string& name, const std::string& dimension,
                const Dimension& pairs, const std::vector<Row>& rows)
        : group_(create_group(parent, name)),
          dimension_(group_, dimension, rows.size()),
          pairs_(pairs),
          rows_(rows) {}

    template <class Get>
    void text(const ColumnLabel& label, Get get) {
        std::vector<std::string_view> values;
        for (const Row& row : rows_) values.push_back(get(row));
        dimension_.attach(write_text_column(group_, label, values));
    }
    /// Columns that files of earlier versions do not have.
    template <class Get>
    void newer_text(const ColumnLabel& label, Get get) {
        text(label, get);
    }
    template <class Get>
    void newer_number(const ColumnLabel& label, Get get) {
        number(label, get);
    }
    template <class Get>
    void number(const ColumnLabel& label, Get get) {
        std::vector<std::remove_cvref_t<decltype(get(rows_.front()))>> values;
        for (const Row& row : rows_) values.push_back(get(row));
        dimension_.attach(write_column(group_, label, values));
    }
    template <class Get>
    void flag(const ColumnLabel& label, Get get) {
        std::vector<std::uint8_t> values;
        for (const Row& row : rows_) values.push_back(get(row) ? 1 : 0);
        dimension_.attach(write_column(group_, label, values));
    }
    template <class Get, class Parse>
    void enumerator(const ColumnLabel& label, Get get, Parse) {
        text(label, [get](const Row& row) { return to_string(get(row)); });
    }
    /// `get`: of the protocol of a row.
    template <class Get>
    void choice(const ColumnLabel& label, const ChoiceField& field, Get get) {
        std::vector<std::string_view> values;
        for (const Row& row : rows_) values.push_back(field.names[field.get(get(row))]);
        dimension_.attach(write_text_column(group_, label, values));
    }
    template <class First, class Second>
    void pair(const ColumnLabel& label, First first, Second second) {
        std::vector<double> values;
        for (const Row& row : rows_) values.insert(values.end(), {first(row), second(row)});
        const Handle column = write_pairs(group_, label, values);
        dimension_.attach(column);
        pairs_.attach(column, 1);
    }

  private:
    Handle group_;
    Dimension dimension_;
    const Dimension& pairs_;
    const std::vector<Row>& rows_;
};

/// Fills rows from the columns of a group; the first column decides how many there are.
template <class Row>
class TableReader {
  public:
    TableReader(const Handle& parent, const std::string& name, std::vector<Row>& rows)
        : group_(open_group(parent, name)), rows_(rows) {}

    template <class Get>
    void text(const ColumnLabel& label, Get get) {
        fill(label, read_text_column(group_, label.name),
             [&](Row& row, std::string& value) { get(row) = std::move(value); });
    }
    template <class Get>
    void newer_text(const ColumnLabel& label, Get get) {
        if (has_link(group_, label.name)) text(label, get);
    }
    /// A number that files of earlier versions do not have; their rows keep what they were made with.
    template <class Get>
    void newer_number(const ColumnLabel& label, Get get) {
        if (has_link(group_, label.name)) number(label, get);
    }
    template <class Get>
    void number(const ColumnLabel& label, Get get) {
        using Value = std::remove_cvref_t<decltype(get(rows_.front()))>;
        fill(label, read_column<Value>(group_, label.name), [&](Row& row, Value value) { get(row) = value; });
    }
    template <class Get>
    void flag(const ColumnLabel& label, Get get) {
        fill(label, read_column<std::uint8_t>(group_, label.name),
             [&](Row& row, std::uint8_t value) { get(row) = value != 0; });
    }
    template <class Get, class Parse>
    void enumerator(const ColumnLabel& label, Get get, Parse parse) {
        fill(label, read_text_column(group_, label.name), [&](Row& row, const std::string& value) {
            const auto parsed = parse(value);
            if (!parsed) fail(label, value);
            get(row) = *parsed;
        });
    }
    /// Files of earlier versions do not have each choice: their rows keep what they were made with.
    template <class Get>
    void choice(const ColumnLabel& label, const ChoiceField& field, Get get) {
        if (!has_link(group_, label.name)) return;
        fill(label, read_text_column(group_, label.name), [&](Row& row, const std::string& value) {
            const auto place = std::ranges::find(field.names, std::string_view(value));
            if (place == field.names.end()) fail(label, value);
            field.set(get(row), static_cast<std::uint8_t>(place - field.names.begin()));
        });
    }
    template <class First, class Second>
    void pair(const ColumnLabel& label, First first, Second second) {
        const std::vector<double> values = read_pairs(group_, label.name);
        std::size_t at = 0;
        fill(label, std::vector<char>(values.size() / 2), [&](Row& row, char) {
            first(row) = values[at++];
            second(row) = values[at++];
        });
    }

  private:
    [[noreturn]] static void fail(const ColumnLabel& label, const std::string& value) {
        throw Hdf5Failure("the column " + label.name + " holds '" + value +
                          "', which this memcap does not know");
    }

    template <class Values, class Set>
    void fill(const ColumnLabel& label, Values values, Set set) {
        if (rows_.empty()) rows_.resize(values.size());
        if (rows_.size() != values.size())
            throw Hdf5Failure("the column " + label.name + " has another length than those before it");
        for (std::size_t row = 0; row < rows_.size(); ++row) set(rows_[row], values[row]);
    }

    Handle group_;
    std::vector<Row>& rows_;
};

}  // namespace memcap::store::detail
