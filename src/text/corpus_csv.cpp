// Corpus kind `csv`: column `text`, and `prefix` where the file has it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "text/detail/corpus_readers.hpp"
#include "text/detail/csv_reader.hpp"
#include "text/detail/text_file.hpp"

namespace memcap::text::detail {

namespace {

std::optional<std::size_t> find_column(const TextFile& file, const std::vector<std::string>& header,
                                       const std::string& name) {
    const auto found = std::find(header.begin(), header.end(), name);
    if (found == header.end()) return std::nullopt;
    if (std::find(found + 1, header.end(), name) != header.end()) {
        throw file.error_at(0, {.what = fmt::format("there are two columns `{}`", name),
                                .where = {},
                                .why = {},
                                .advice = "Rename one of them"});
    }
    return static_cast<std::size_t>(found - header.begin());
}

std::size_t require_text_column(const TextFile& file, const std::vector<std::string>& header) {
    if (const auto column = find_column(file, header, "text")) return *column;
    throw file.error_at(0, {.what = "there is no column `text`",
                            .where = {},
                            .why = fmt::format("the columns are: `{}`", fmt::join(header, "`, `")),
                            .advice = "Name the column with the texts `text` in the first line"});
}

}  // namespace

std::vector<RawSample> read_csv_samples(const std::filesystem::path& path, std::size_t limit) {
    const TextFile file(path);
    CsvReader reader(file);
    std::vector<std::string> header;
    reader.next(header);
    const std::size_t text = require_text_column(file, header);
    const auto prefix = find_column(file, header, "prefix");

    std::vector<RawSample> samples;
    std::vector<std::string> fields;
    while (samples.size() < limit && reader.next(fields)) {
        if (fields.size() != header.size()) {
            throw file.error_at(reader.record_offset(),
                                {.what = fmt::format("the row has {} fields, the first line has {}",
                                                     fields.size(), header.size()),
                                 .where = {},
                                 .why = {},
                                 .advice = "Put fields with commas or line ends in quotes"});
        }
        if (is_blank(fields[text])) {
            throw file.error_at(reader.record_offset(), {.what = "the text of this row is empty",
                                                         .where = {},
                                                         .why = {},
                                                         .advice = "Remove the row"});
        }
        samples.push_back({std::move(fields[text]), std::nullopt});
        if (prefix) samples.back().prefix = std::move(fields[*prefix]);
    }
    return samples;
}

}  // namespace memcap::text::detail
