// Halves of a text: which sentences are compressed and which may stand before them.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace memcap::text {

/// Which part of a text is compressed.
enum class Part {
    second_half,  ///< the paper's: the sentences from the middle one on
    first_half,   ///< the sentences before the middle one
    all           ///< the text as it is
};

/// Who splits texts into sentences.
enum class SentenceRule {
    rule,  ///< the splitter built into the tokenizer helper
    punkt  ///< NLTK's, the paper's; needs its data
};

std::string_view to_string(SentenceRule rule);

/// The two halves of a text, each joined by single spaces. The middle sentence of an odd number belongs to
/// the second, as in the paper's code (sentences[len/2:]).
struct Halves {
    std::string first;
    std::string second;
};

Halves halve(std::span<const std::string> sentences);

}  // namespace memcap::text
