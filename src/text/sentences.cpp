// Joining of sentences to halves.
#include "memcap/text/sentences.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace memcap::text {

std::string_view to_string(SentenceRule rule) {
    return rule == SentenceRule::punkt ? "punkt" : "rule";
}

Halves halve(std::span<const std::string> sentences) {
    const std::size_t middle = sentences.size() / 2;
    return {.first = fmt::format("{}", fmt::join(sentences.first(middle), " ")),
            .second = fmt::format("{}", fmt::join(sentences.subspan(middle), " "))};
}

}  // namespace memcap::text
