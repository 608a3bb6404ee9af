// Two requests to the helper a corpus and tokenizer: the texts, and the prefixes where any are asked for.
#include "memcap/text/tokenise.hpp"

#include <algorithm>

namespace memcap::text {

namespace {

void add_spelled(TokenisedCorpus& corpus, const EncodedTexts& encoded) {
    for (const auto& [number, tokens] : encoded.spelled) {
        auto& all = corpus.spelled[number];
        for (const auto& token : tokens) {
            if (std::ranges::find(all, token) == all.end()) all.push_back(token);
        }
    }
    corpus.splits_special = encoded.splits_special;
    if (corpus.differs.empty()) corpus.differs = encoded.differs;
}

void add_problems(TokenisedCorpus& corpus, const std::map<std::size_t, std::string>& problems,
                  const std::string& of_what) {
    for (const auto& [number, problem] : problems) {
        corpus.samples[number] = {.text = {}, .prefix = {}, .problem = of_what + problem};
    }
}

}  // namespace

TokenisedCorpus tokenise(TokenizerClient& client, const std::filesystem::path& tokenizer,
                         std::span<const SampleText> samples, const TokenLimits& limits) {
    TokenisedCorpus corpus;
    corpus.tokenizer = client.open(tokenizer);
    corpus.samples.resize(samples.size());
    std::vector<std::string> texts;
    std::vector<std::string> prefixes;
    for (const auto& sample : samples) {
        texts.push_back(sample.text);
        // Without a prefix nothing stands before the text either.
        if (limits.prefix > 0) prefixes.push_back(sample.prefix.empty() ? "" : sample.prefix + sample.joint);
    }
    const std::size_t opening = limits.prefix > 0 ? corpus.tokenizer.opening.size() : 0;
    auto encoded = client.encode(tokenizer, texts, {.max_length = limits.text + opening});
    for (std::size_t i = 0; i < samples.size(); ++i) corpus.samples[i].text = std::move(encoded.ids[i]);
    add_spelled(corpus, encoded);
    if (limits.prefix > 0) {
        auto before = client.encode(
            tokenizer, prefixes,
            {.special_tokens = SpecialTokens::none, .max_length = limits.prefix, .keep = Keep::last});
        for (std::size_t i = 0; i < samples.size(); ++i) corpus.samples[i].prefix = std::move(before.ids[i]);
        add_spelled(corpus, before);
        add_problems(corpus, before.problems, "its prefix: ");
    }
    add_problems(corpus, encoded.problems, "");
    return corpus;
}

}  // namespace memcap::text
