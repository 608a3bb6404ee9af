// What is to be said about the texts of an experiment: where they came from, which were left out, and what
// tokenizers made of them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "memcap/config/experiment.hpp"
#include "memcap/plan/tokens.hpp"
#include "memcap/plan/trial.hpp"
#include "memcap/record/run_tables.hpp"
#include "memcap/text/tokenise.hpp"

namespace memcap::app {

/// The files behind a corpus.
struct CorpusTexts {
    std::string corpus;
    std::vector<std::string> sources;  ///< one a sample
    std::vector<text::LeftOut> left_out;
};

/// "a, b, c and 5 more": at most `most` of the entries.
std::string listed(std::span<const std::string> entries, std::size_t most);

/// "old.txt (a folder), notes.md (not a .txt file)".
std::string left_out_text(const CorpusTexts& texts);

/// Logs, once a corpus and model, what the texts came to: how the tokenizer is read where transformers
/// differs, special tokens that texts spell, texts that cannot be encoded. Throws DataError where that is
/// most of them.
void tell_tokenised(const config::Model& model, const std::string& corpus,
                    std::span<const text::SampleText> samples, const text::TokenisedCorpus& tokenised);

/// The samples of a corpus in tokens as the planner takes them.
std::vector<plan::TokenSample> planned_samples(const config::Corpus& corpus,
                                               std::span<const text::SampleText> samples,
                                               text::TokenisedCorpus tokenised);

/// Gives samples that have a token beyond the model's vocabulary a problem instead of tokens. Throws
/// DataError where that is most of them.
void drop_foreign_tokens(plan::TokenTable& table, const plan::ModelFacts& model);

/// Where the samples of corpora that are read from files came from.
std::vector<record::SampleRow> sample_rows(std::span<const plan::TokenTable> tables);

}  // namespace memcap::app
