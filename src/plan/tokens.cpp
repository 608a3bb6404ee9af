// Which tokens the sweeps of an experiment need.
#include "memcap/plan/tokens.hpp"

#include <algorithm>

#include "memcap/base/contracts.hpp"
#include "memcap/base/random.hpp"

namespace memcap::plan {

namespace {

/// The longest text that a sweep takes from the samples of one seed.
std::int32_t longest_text(const config::Sweep& sweep, const config::Corpus& corpus, std::uint64_t seed) {
    if (!sweep.drawn_lengths) return *std::max_element(sweep.lengths.begin(), sweep.lengths.end());
    std::int32_t longest = 0;
    for (std::int32_t sample = 0; sample < corpus.samples; ++sample) {
        const auto [lowest, highest] = *sweep.drawn_lengths;
        longest = std::max(longest, drawn_length(seed, sample, lowest, highest));
    }
    return longest;
}

/// Adds a request, or widens the one for the same texts.
void add(std::vector<TokenRequest>& requests, const TokenRequest& wanted) {
    const auto same = std::find_if(requests.begin(), requests.end(), [&](const TokenRequest& request) {
        return request.model == wanted.model && request.corpus == wanted.corpus &&
               request.seed == wanted.seed;
    });
    if (same == requests.end()) {
        requests.push_back(wanted);
        return;
    }
    same->text_tokens = std::max(same->text_tokens, wanted.text_tokens);
    same->prefix_tokens = std::max(same->prefix_tokens, wanted.prefix_tokens);
}

}  // namespace

std::vector<TokenRequest> token_requests(const config::Experiment& experiment) {
    std::vector<TokenRequest> requests;
    for (const config::Sweep& sweep : experiment.sweeps) {
        for (const std::string& model : sweep.models) {
            for (const std::string& name : sweep.corpora) {
                const config::Corpus& corpus = config::corpus_named(experiment, name);
                const bool is_random = corpus.kind == config::CorpusKind::random_words;
                TokenRequest request{
                    .model = model, .corpus = name, .seed = std::nullopt, .samples = corpus.samples};
                request.prefix_tokens = *std::max_element(sweep.prefixes.begin(), sweep.prefixes.end());
                for (const std::uint64_t seed : sweep.seeds) {
                    if (is_random) request.seed = seed;
                    request.text_tokens = longest_text(sweep, corpus, seed);
                    add(requests, request);
                    if (!is_random) break;
                }
            }
        }
    }
    return requests;
}

std::vector<std::int32_t> prefix_of(const TokenSample& sample, std::int32_t prefix_tokens) {
    std::vector<std::int32_t> tokens;
    const auto wanted = static_cast<std::ptrdiff_t>(prefix_tokens);
    const auto first = std::min(wanted, std::ssize(sample.lead));
    MEMCAP_EXPECT(wanted - first <= std::ssize(sample.prefix));
    tokens.assign(sample.lead.begin(), sample.lead.begin() + first);
    tokens.insert(tokens.end(), sample.prefix.end() - (wanted - first), sample.prefix.end());
    return tokens;
}

std::span<const std::int32_t> text_of(const TokenSample& sample, std::int32_t prefix_tokens) {
    const std::span<const std::int32_t> text = sample.text;
    const auto opening = prefix_tokens > 0 ? static_cast<std::size_t>(sample.opening) : 0;
    return text.subspan(std::min(opening, text.size()));
}

std::int32_t drawn_length(std::uint64_t seed, std::int32_t sample, std::int32_t lowest,
                          std::int32_t highest) {
    MEMCAP_EXPECT(sample >= 0);
    MEMCAP_EXPECT(lowest <= highest);
    const auto count = static_cast<std::uint64_t>(highest) - static_cast<std::uint64_t>(lowest) + 1;
    RandomStream stream = RandomStream::of_sample(seed, static_cast<std::uint64_t>(sample), "length");
    return lowest + static_cast<std::int32_t>(stream.below(count));
}

}  // namespace memcap::plan
