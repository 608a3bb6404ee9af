// Pointers, error pages and links.
#include "hub/detail/stand_ins.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/git_lfs.hpp"

namespace memcap::hub::detail {

namespace {

namespace fs = std::filesystem;

/// Whether a text begins as a web page does, or is the whole answer of the hub for a file that it has not.
bool is_web_page(std::string_view first_bytes) {
    constexpr std::array<std::string_view, 2> kBeginnings{"<!doctype html", "<html"};
    const std::size_t begin =
        std::min(first_bytes.find_first_not_of("\xef\xbb\xbf \t\r\n"), first_bytes.size());
    std::string text(first_bytes.substr(begin, 32));
    std::ranges::transform(text, text.begin(), [](unsigned char letter) { return std::tolower(letter); });
    return std::ranges::any_of(kBeginnings, [&](auto beginning) { return text.starts_with(beginning); }) ||
           text == "entry not found";
}

}  // namespace

void refuse_stand_in(const fs::path& file, std::string_view first_bytes) {
    if (is_git_lfs_pointer(first_bytes)) {
        throw DataError(file, {.what = "this is a Git LFS pointer, not the file itself",
                               .where = {},
                               .why = "the repository was cloned without its large files",
                               .advice = "Run `git lfs pull` in the clone that the folder came from"});
    }
    if (is_web_page(first_bytes)) {
        throw DataError(file, {.what = "this is a page of a web server, not the file itself",
                               .where = {},
                               .why = "the download gave an error or asked for a login",
                               .advice = "Open the file in an editor to see what the page says, and download "
                                         "it again"});
    }
}

void refuse_dangling_link(const fs::path& file) {
    const auto end = end_of_dangling_link(file);
    if (!end) return;
    throw DataError(file,
                    {.what = fmt::format("this link leads nowhere: {} is not there", end->string()),
                     .where = {},
                     .why = "a folder of links, as in a hub cache, was copied or moved without what they "
                            "lead to, or was cleaned up",
                     .advice = "Download the model again, or copy its folder with `cp -rL` from where "
                               "the links work"});
}

void refuse_adapter(const fs::path& folder) {
    const auto file = folder / "adapter_config.json";
    if (!fs::exists(file)) return;
    const bool beside_model = fs::exists(folder / "config.json");
    throw DataError(
        file,
        {.what =
             beside_model ? "beside the model lies an adapter" : "the folder holds an adapter, not a model",
         .where = {},
         .why = "transformers with peft adds such weights to those of a model; memcap does not",
         .advice = fmt::format(
             "Merge them in Python: peft.AutoPeftModelForCausalLM.from_pretrained(FOLDER).merge_and_unload()."
             "save_pretrained(MERGED), and copy the tokenizer's files to MERGED{}",
             beside_model ? "; or take adapter_config.json away, to measure the model without it" : "")});
}

}  // namespace memcap::hub::detail
