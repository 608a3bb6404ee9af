// Drawing of words and lengths from the streams of base.
#include "memcap/text/random_words.hpp"

#include "memcap/base/contracts.hpp"
#include "memcap/base/random.hpp"
#include "text/detail/text_file.hpp"

namespace memcap::text {

std::vector<std::string> read_vocabulary(const std::filesystem::path& path) {
    const detail::TextFile file(path);
    file.require_line_ends();
    std::vector<std::string> words;
    for (auto rest = file.content(); !rest.empty();) {
        const std::size_t offset = file.content().size() - rest.size();
        const auto word = detail::take_line(rest);
        if (word.empty()) continue;
        if (word.find_first_of(" \t") != std::string_view::npos) {
            throw file.error_at(
                offset, {.what = "the line is not a single word",
                         .where = {},
                         .why = "a vocabulary has one word a line and no white space in it",
                         .advice = "Keep the words alone (of a file of word vectors: cut -d' ' -f1)"});
        }
        words.emplace_back(word);
    }
    return words;
}

std::string random_text(std::span<const std::string> vocabulary, std::uint64_t seed, std::uint64_t index,
                        std::size_t words) {
    MEMCAP_EXPECT(!vocabulary.empty());
    auto stream = RandomStream::of_sample(seed, index, "words");
    std::string text;
    for (std::size_t i = 0; i < words; ++i) {
        if (i > 0) text += ' ';
        text += vocabulary[stream.below(vocabulary.size())];
    }
    return text;
}

std::int32_t random_length(std::uint64_t seed, std::uint64_t index, std::int32_t lowest,
                           std::int32_t highest) {
    MEMCAP_EXPECT(lowest <= highest);
    auto stream = RandomStream::of_sample(seed, index, "length");
    const auto choices = static_cast<std::uint64_t>(std::int64_t{highest} - lowest + 1);
    return static_cast<std::int32_t>(lowest + static_cast<std::int64_t>(stream.below(choices)));
}

}  // namespace memcap::text
