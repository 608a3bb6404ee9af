// Sentences about texts, and the two rules by which a few bad ones stop no run.
#include "app/corpus_texts.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"

namespace memcap::app {

namespace {

constexpr std::size_t kNamed = 10;

/// "chunks.csv:12", or "sample 3" where no file is known.
std::string name_of(const std::string& source, std::size_t sample) {
    return source.empty() ? fmt::format("sample {}", sample) : source;
}

/// Texts of one corpus that cannot be used with one model, each with its reason.
void tell_unusable(const std::string& model, const std::string& corpus, std::span<const std::string> texts,
                   std::size_t samples, const std::filesystem::path& folder) {
    if (texts.empty()) return;
    if (texts.size() * 2 > samples) {
        throw DataError(
            folder, {.what = fmt::format("{} of {} texts of corpus '{}' cannot be encoded for model '{}'",
                                         texts.size(), samples, corpus, model),
                     .where = {},
                     .why = listed(texts, kNamed),
                     .advice = "Fetch the tokenizer files that belong to the model, or change the texts"});
    }
    log::warning(fmt::format("corpus '{}', model '{}': {} of {} texts cannot be encoded and are skipped: {}",
                             corpus, model, texts.size(), samples, listed(texts, kNamed)));
}

void tell_spelled(const std::string& model, const std::string& corpus, const text::TokenisedCorpus& tokenised,
                  std::span<const text::SampleText> samples) {
    if (tokenised.spelled.empty()) return;
    std::set<std::string> tokens;
    std::vector<std::string> texts;
    for (const auto& [number, spelled] : tokenised.spelled) {
        tokens.insert(spelled.begin(), spelled.end());
        texts.push_back(name_of(samples[number].source, number));
    }
    const std::vector<std::string> names(tokens.begin(), tokens.end());
    log::warning(
        fmt::format("corpus '{}': {} of {} texts spell special tokens of model '{}' ({}), which are {}: {}",
                    corpus, texts.size(), samples.size(), model, listed(names, kNamed),
                    tokenised.splits_special ? "read as ordinary text" : "taken for these tokens",
                    listed(texts, kNamed)));
}

}  // namespace

std::string listed(std::span<const std::string> entries, std::size_t most) {
    const auto named = entries.first(std::min(most, entries.size()));
    std::string text = fmt::format("{}", fmt::join(named, ", "));
    if (entries.size() > most) text += fmt::format(" and {} more", entries.size() - most);
    return text;
}

std::string left_out_text(const CorpusTexts& texts) {
    std::vector<std::string> entries;
    for (const auto& [name, why] : texts.left_out) entries.push_back(fmt::format("{} ({})", name, why));
    return listed(entries, kNamed);
}

void tell_tokenised(const config::Model& model, const std::string& corpus,
                    std::span<const text::SampleText> samples, const text::TokenisedCorpus& tokenised) {
    if (!tokenised.differs.empty()) {
        log::warning(fmt::format("model '{}', corpus '{}': token ids are those of {}; {}", model.name, corpus,
                                 tokenised.tokenizer.source, tokenised.differs));
    }
    tell_spelled(model.name, corpus, tokenised, samples);
    std::vector<std::string> unusable;
    for (std::size_t i = 0; i < samples.size(); ++i) {
        const std::string& problem = tokenised.samples[i].problem;
        if (!problem.empty())
            unusable.push_back(fmt::format("{}: {}", name_of(samples[i].source, i), problem));
    }
    tell_unusable(model.name, corpus, unusable, samples.size(), model.path);
}

std::vector<plan::TokenSample> planned_samples(const config::Corpus& corpus,
                                               std::span<const text::SampleText> samples,
                                               text::TokenisedCorpus tokenised) {
    const auto& opening = tokenised.tokenizer.opening;
    std::vector<plan::TokenSample> planned;
    for (std::size_t i = 0; i < samples.size(); ++i) {
        auto& sample = tokenised.samples[i];
        planned.push_back({.text = std::move(sample.text),
                           .prefix = std::move(sample.prefix),
                           .opening = static_cast<std::int32_t>(opening.size()),
                           .source = samples[i].source,
                           .problem = std::move(sample.problem)});
        if (corpus.opened == config::Opened::always) planned.back().lead = opening;
    }
    return planned;
}

void drop_foreign_tokens(plan::TokenTable& table, const plan::ModelFacts& model) {
    std::vector<std::string> unusable;
    for (std::size_t i = 0; i < table.samples.size(); ++i) {
        auto& sample = table.samples[i];
        for (const auto* tokens : {&sample.text, &sample.prefix, &sample.lead}) {
            const auto foreign = std::ranges::find_if(
                *tokens, [&](std::int32_t token) { return token < 0 || token >= model.vocabulary_size; });
            if (foreign == tokens->end()) continue;
            sample.problem =
                fmt::format("the tokenizer gives token {}, the model's vocabulary has {} entries", *foreign,
                            model.vocabulary_size);
            unusable.push_back(fmt::format("{}: {}", name_of(sample.source, i), sample.problem));
            break;
        }
    }
    tell_unusable(model.name, table.corpus, unusable, table.samples.size(), model.path);
}

std::vector<record::SampleRow> sample_rows(std::span<const plan::TokenTable> tables) {
    std::set<std::string> corpora;
    std::vector<record::SampleRow> rows;
    for (const auto& table : tables) {
        if (table.seed || !corpora.insert(table.corpus).second) continue;
        for (std::size_t i = 0; i < table.samples.size(); ++i) {
            const std::string& source = table.samples[i].source;
            if (!source.empty()) rows.push_back({table.corpus, static_cast<std::int32_t>(i), source});
        }
    }
    return rows;
}

}  // namespace memcap::app
