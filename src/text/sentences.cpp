// Halves from sentences: joined anew, or cut out of the text.
#include "memcap/text/sentences.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "memcap/base/errors.hpp"

namespace memcap::text {

namespace {

/// Where each sentence begins in the text.
std::vector<std::size_t> places_of(std::string_view text, std::span<const std::string> sentences) {
    std::vector<std::size_t> places;
    std::size_t end = 0;
    for (const auto& sentence : sentences) {
        const std::size_t begin = text.find(sentence, end);
        if (begin == std::string_view::npos) {
            throw ToolError({.what = "the sentence splitter changes the text",
                             .where = {},
                             .why = fmt::format("the text has no '{}'", sentence.substr(0, 40)),
                             .advice = "Use `sentences: rule`, or `joined: space`"});
        }
        places.push_back(begin);
        end = begin + sentence.size();
    }
    return places;
}

}  // namespace

std::string_view to_string(SentenceRule rule) {
    return rule == SentenceRule::punkt ? "punkt" : "rule";
}

Halves halve(std::string_view text, std::span<const std::string> sentences, Joined joined) {
    const std::size_t middle = sentences.size() / 2;
    if (joined == Joined::space || sentences.empty()) {
        return {.first = fmt::format("{}", fmt::join(sentences.first(middle), " ")),
                .second = fmt::format("{}", fmt::join(sentences.subspan(middle), " ")),
                .joint = " "};
    }
    const auto places = places_of(text, sentences);
    const std::size_t end = places.back() + sentences.back().size();
    const std::size_t second = places[middle];
    if (middle == 0)
        return {.first = {}, .second = std::string(text.substr(second, end - second)), .joint = {}};
    const std::size_t first_end = places[middle - 1] + sentences[middle - 1].size();
    return {.first = std::string(text.substr(places.front(), first_end - places.front())),
            .second = std::string(text.substr(second, end - second)),
            .joint = std::string(text.substr(first_end, second - first_end))};
}

}  // namespace memcap::text
