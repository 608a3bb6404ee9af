// Corpus kind `text`: a folder of .txt files in name order, or one file.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "memcap/base/errors.hpp"
#include "memcap/base/utf8.hpp"
#include "text/detail/corpus_readers.hpp"
#include "text/detail/text_file.hpp"

namespace memcap::text::detail {

namespace {

/// Why an entry of a corpus folder is no sample; empty if it is one.
std::string_view why_left_out(const std::filesystem::directory_entry& entry) {
    std::error_code error;
    if (entry.path().filename().string().starts_with('.')) return "a hidden file";
    if (entry.is_directory(error)) return "a folder";
    if (!is_text_name(entry.path())) return "not a .txt file";
    if (!entry.exists(error)) return "a link to nothing";
    return entry.is_regular_file(error) ? "" : "not a regular file";
}

struct Listing {
    std::vector<std::filesystem::path> files;
    std::vector<LeftOut> left_out;
};

Listing list_texts(const std::filesystem::path& folder) {
    Listing listing;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (const auto why = why_left_out(entry); !why.empty()) {
            listing.left_out.push_back({printable(name), std::string(why)});
            continue;
        }
        if (find_invalid_utf8(name)) {
            throw DataError(folder, {.what = fmt::format("the file name '{}' is not UTF-8", printable(name)),
                                     .where = {},
                                     .why = "files of results hold names as UTF-8",
                                     .advice = "Rename the file, e.g. with convmv -f latin1 -t utf8"});
        }
        listing.files.push_back(entry.path());
    }
    std::sort(listing.files.begin(), listing.files.end());
    std::ranges::sort(listing.left_out, {}, &LeftOut::name);
    return listing;
}

}  // namespace

RawCorpus read_text_samples(const std::filesystem::path& path, std::size_t limit) {
    Listing listing{.files = {path}, .left_out = {}};
    if (std::filesystem::is_directory(path)) {
        listing = list_texts(path);
        if (listing.files.empty()) {
            throw DataError(path, {.what = "the folder has no .txt file",
                                   .where = {},
                                   .why = {},
                                   .advice = "Put one text file a sample into it, or correct the path"});
        }
    }
    RawCorpus corpus{.samples = {}, .left_out = std::move(listing.left_out)};
    BadTexts bad(path);
    for (const auto& file : listing.files) {
        if (corpus.samples.size() + bad.count() == limit) break;
        try {
            corpus.samples.push_back(
                {std::string(TextFile(file).content()), std::nullopt, file.filename().string()});
        } catch (const DataError& error) {
            bad.add(error);
        }
    }
    bad.throw_if_any();
    return corpus;
}

}  // namespace memcap::text::detail
