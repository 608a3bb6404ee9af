// Two requests to the helper a corpus and tokenizer: the texts, and the prefixes where any are asked for.
#include "memcap/text/tokenise.hpp"

namespace memcap::text {

std::vector<TokenisedSample> tokenise(TokenizerClient& client, const std::filesystem::path& tokenizer,
                                      std::span<const SampleText> samples, const TokenLimits& limits) {
    std::vector<std::string> texts;
    std::vector<std::string> prefixes;
    for (const auto& sample : samples) {
        texts.push_back(sample.text);
        // Without a prefix there is no space before the text either.
        prefixes.push_back(sample.prefix.empty() ? "" : sample.prefix + " ");
    }
    auto text_ids = client.encode(tokenizer, texts, {.max_length = limits.text});
    std::vector<std::vector<std::int32_t>> prefix_ids(samples.size());
    if (limits.prefix > 0) {
        prefix_ids = client.encode(
            tokenizer, prefixes,
            {.special_tokens = SpecialTokens::none, .max_length = limits.prefix, .keep = Keep::last});
    }
    std::vector<TokenisedSample> tokenised(samples.size());
    for (std::size_t i = 0; i < samples.size(); ++i) {
        tokenised[i] = {.text = std::move(text_ids[i]), .prefix = std::move(prefix_ids[i])};
    }
    return tokenised;
}

}  // namespace memcap::text
