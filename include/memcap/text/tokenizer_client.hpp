// The tokenizer helper's client: starts the Python process and turns calls into requests and answers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/text/helper_paths.hpp"
#include "memcap/text/sentences.hpp"

namespace memcap::text {

/// What the helper runs on, for the record; empty where a package is not installed.
struct HelperVersions {
    std::string python;
    std::string transformers;
    std::string tokenizers;
    std::string sentencepiece;
    std::string nltk;
};

/// How the tokenizer of a folder is read.
struct TokenizerFacts {
    std::string source;                 ///< its file and what reads it: "tokenizer.json, tokenizers 0.23.3"
    std::vector<std::int32_t> opening;  ///< the ids that stand before each text
    std::string opening_text;           ///< what they spell
    std::int64_t size = 0;              ///< one more than its largest id
};

/// Texts in token ids, and what is to be said of some of them, by their number.
struct EncodedTexts {
    std::vector<std::vector<std::int32_t>> ids;
    std::map<std::size_t, std::string> problems;  ///< why a text cannot be encoded; its ids are empty
    std::map<std::size_t, std::vector<std::string>> spelled;  ///< special tokens that a text spells
    bool splits_special = true;  ///< whether these are ordinary text; else they are the tokens
    std::string differs;  ///< in what transformers' AutoTokenizer differs on the first texts; may be empty
};

/// How long the client waits before it gives the helper up, in seconds.
struct HelperDeadlines {
    double start_s = 60;    ///< until the first answer; Python on a busy shared file system is slow to start
    double answer_s = 900;  ///< until any later answer
    double finish_s = 2;    ///< until the helper has left after its input ended; then it is killed
};

/// Which special tokens `encode` puts before a text: those of the tokenizer's own rules (BOS and the like),
/// or none. None is put after it.
enum class SpecialTokens { own_rules, none };

/// Which ids `encode` keeps of a text that has more than max_length.
enum class Keep { first, last };

/// How texts are encoded.
struct EncodeOptions {
    SpecialTokens special_tokens = SpecialTokens::own_rules;
    std::optional<std::size_t> max_length =
        std::nullopt;  ///< ids kept of each text, special tokens counted; nothing: all
    Keep keep = Keep::first;
};

/// One running tokenizer helper. Not for several threads at once.
///
/// Errors: DataError for a tokenizer folder that is missing, has no tokenizer or a broken one; ToolError when
/// the helper cannot be started, lacks a package or data, ends, answers with rubbish, or stays silent. After
/// the last three the client is of no more use.
class TokenizerClient {
  public:
    /// Starts the helper and waits for its first answer.
    explicit TokenizerClient(const HelperCommand& command, const HelperDeadlines& deadlines = {});
    ~TokenizerClient();
    TokenizerClient(TokenizerClient&&) noexcept;
    TokenizerClient& operator=(TokenizerClient&&) noexcept;

    const HelperVersions& versions() const noexcept { return versions_; }

    /// Opens the folder `tokenizer`.
    TokenizerFacts open(const std::filesystem::path& tokenizer);

    /// The token ids of each text, as the files of the folder `tokenizer` say.
    EncodedTexts encode(const std::filesystem::path& tokenizer, std::span<const std::string> texts,
                        const EncodeOptions& options = {});

    /// The text that token ids spell, special tokens included.
    std::string decode(const std::filesystem::path& tokenizer, std::span<const std::int32_t> ids);

    /// The sentences of each text, without the white space between them.
    std::vector<std::vector<std::string>> split(std::span<const std::string> texts, SentenceRule rule);

  private:
    class Connection;

    std::unique_ptr<Connection> connection_;
    HelperVersions versions_;
};

}  // namespace memcap::text
