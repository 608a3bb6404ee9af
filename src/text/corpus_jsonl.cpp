// Corpus kind `jsonl`: one JSON object a line with the key `text`.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "text/detail/corpus_readers.hpp"
#include "text/detail/text_file.hpp"

namespace memcap::text::detail {

namespace {

using Json = nlohmann::json;

Json parse_line(const TextFile& file, std::size_t offset, std::string_view line) {
    std::set<std::string> keys;
    std::string twice;
    // Without a callback the last of two values would win in silence.
    const auto note_keys = [&](int depth, Json::parse_event_t event, const Json& parsed) {
        const bool key = event == Json::parse_event_t::key && depth == 1;
        if (key && !keys.insert(parsed.get<std::string>()).second) twice = parsed.get<std::string>();
        return true;
    };
    try {
        auto row = Json::parse(line, note_keys);
        if (twice.empty()) return row;
    } catch (const Json::parse_error& error) {
        const std::size_t within = error.byte > 0 ? error.byte - 1 : 0;
        throw file.error_at(offset + std::min(within, line.size()),
                            {.what = "the line is not JSON",
                             .where = {},
                             .why = error.what(),
                             .advice = "Write one whole JSON object a line"});
    }
    throw file.error_at(offset, {.what = fmt::format("the key `{}` is given twice", twice),
                                 .where = {},
                                 .why = {},
                                 .advice = "Leave one of them"});
}

std::string keys_of(const Json& object) {
    std::string keys;
    for (const auto& [key, value] : object.items())
        keys += fmt::format("{}`{}`", keys.empty() ? "" : ", ", key);
    return keys.empty() ? "none" : keys;
}

std::string text_of(const TextFile& file, std::size_t offset, const Json& row) {
    const auto fail = [&](std::string what, std::string why) {
        throw file.error_at(offset, {.what = std::move(what),
                                     .where = {},
                                     .why = std::move(why),
                                     .advice = "Write lines like {\"text\": \"...\"}"});
    };
    if (!row.is_object())
        fail("the line is no JSON object", fmt::format("it is of type {}", row.type_name()));
    const auto found = row.find("text");
    if (found == row.end()) fail("there is no key `text`", fmt::format("the keys are: {}", keys_of(row)));
    if (!found->is_string()) fail("`text` is no string", fmt::format("it is of type {}", found->type_name()));
    auto text = found->get<std::string>();
    if (is_blank(text)) fail("the text of this line is empty", {});
    if (text.find('\0') != std::string::npos) fail("the text of this line has a NUL character (\\u0000)", {});
    return text;
}

}  // namespace

RawCorpus read_jsonl_samples(const std::filesystem::path& path, std::size_t limit) {
    const TextFile file(path);
    file.require_line_ends();
    RawCorpus corpus;
    BadTexts bad(path);
    SourceLines lines(file);
    for (auto rest = file.content(); corpus.samples.size() + bad.count() < limit && !rest.empty();) {
        const std::size_t offset = file.content().size() - rest.size();
        const auto line = take_line(rest);
        if (is_blank(line)) continue;
        try {
            corpus.samples.push_back(
                {text_of(file, offset, parse_line(file, offset, line)), std::nullopt, lines.at(offset)});
        } catch (const DataError& error) {
            bad.add(error);
        }
    }
    bad.throw_if_any();
    return corpus;
}

}  // namespace memcap::text::detail
