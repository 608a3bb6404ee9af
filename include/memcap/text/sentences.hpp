// Halves of a text: which sentences are compressed and which may stand before them.
#pragma once

#include <cstdint>
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

/// What stands between the sentences of a half.
enum class Joined : std::uint8_t {
    as_written,  ///< the white space of the text itself: halves are parts of it, byte by byte
    space        ///< the paper's: one space
};

std::string_view to_string(SentenceRule rule);

/// The two halves of a text. The middle sentence of an odd number belongs to the second, as in the paper's
/// code (sentences[len/2:]).
struct Halves {
    std::string first;
    std::string second;
    std::string joint;  ///< what stands between them
};

/// `sentences` are those of `text`, in their order, without the white space between them. Throws ToolError
/// where they are not, which only a splitter that changes a text can cause.
Halves halve(std::string_view text, std::span<const std::string> sentences, Joined joined);

}  // namespace memcap::text
