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

/// Where a row has what.
struct Columns {
    std::size_t count = 0;
    std::size_t text = 0;
    std::optional<std::size_t> prefix;
};

/// A row as a sample. Throws DataError for one that is none.
RawSample sample_of(const TextFile& file, const CsvReader& reader, std::vector<std::string>& fields,
                    const Columns& columns) {
    if (fields.size() != columns.count) {
        throw file.error_at(reader.record_offset(),
                            {.what = fmt::format("the row has {} fields, the first line has {}",
                                                 fields.size(), columns.count),
                             .where = {},
                             .why = {},
                             .advice = "Put fields with commas or line ends in quotes"});
    }
    if (is_blank(fields[columns.text])) {
        throw file.error_at(
            reader.record_offset(),
            {.what = "the text of this row is empty", .where = {}, .why = {}, .advice = "Remove the row"});
    }
    RawSample sample{std::move(fields[columns.text]), std::nullopt, {}};
    if (columns.prefix) sample.prefix = std::move(fields[*columns.prefix]);
    return sample;
}

}  // namespace

RawCorpus read_csv_samples(const std::filesystem::path& path, std::size_t limit) {
    const TextFile file(path);
    file.require_line_ends();
    CsvReader reader(file);
    std::vector<std::string> header;
    reader.next(header);
    const Columns columns{.count = header.size(),
                          .text = require_text_column(file, header),
                          .prefix = find_column(file, header, "prefix")};

    RawCorpus corpus;
    BadTexts bad(path);
    SourceLines lines(file);
    std::vector<std::string> fields;
    while (corpus.samples.size() + bad.count() < limit && reader.next(fields)) {
        try {
            corpus.samples.push_back(sample_of(file, reader, fields, columns));
            corpus.samples.back().source = lines.at(reader.record_offset());
        } catch (const DataError& error) {
            bad.add(error);
        }
    }
    bad.throw_if_any();
    return corpus;
}

}  // namespace memcap::text::detail
