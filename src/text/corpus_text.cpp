// Corpus kind `text`: a folder of .txt files in name order, or one file.
#include <fmt/format.h>

#include <algorithm>

#include "memcap/base/errors.hpp"
#include "memcap/base/utf8.hpp"
#include "text/detail/corpus_readers.hpp"
#include "text/detail/text_file.hpp"

namespace memcap::text::detail {

namespace {

std::vector<std::filesystem::path> text_files_in(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const bool hidden = entry.path().filename().string().starts_with('.');
        if (hidden || entry.path().extension() != ".txt" || !entry.is_regular_file()) continue;
        if (const std::string name = entry.path().filename().string(); find_invalid_utf8(name)) {
            throw DataError(folder, {.what = fmt::format("the file name '{}' is not UTF-8", printable(name)),
                                     .where = {},
                                     .why = "files of results hold names as UTF-8",
                                     .advice = "Rename the file, e.g. with convmv -f latin1 -t utf8"});
        }
        paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

}  // namespace

std::vector<RawSample> read_text_samples(const std::filesystem::path& path, std::size_t limit) {
    std::vector<std::filesystem::path> paths{path};
    if (std::filesystem::is_directory(path)) {
        paths = text_files_in(path);
        if (paths.empty()) {
            throw DataError(path, {.what = "the folder has no .txt file",
                                   .where = {},
                                   .why = {},
                                   .advice = "Put one text file a sample into it, or correct the path"});
        }
    }
    std::vector<RawSample> samples;
    for (const auto& file : paths) {
        if (samples.size() == limit) break;
        samples.push_back({std::string(TextFile(file).content()), std::nullopt});
    }
    return samples;
}

}  // namespace memcap::text::detail
