// Everything before the first trial: experiment, models, tokens, plan; where defects of the input come to
// light.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/corpus_texts.hpp"
#include "app/preparation_watch.hpp"
#include "memcap/config/experiment.hpp"
#include "memcap/hub/hash_cache.hpp"
#include "memcap/hub/model_identity.hpp"
#include "memcap/models/description.hpp"
#include "memcap/plan/expand.hpp"
#include "memcap/plan/tokens.hpp"
#include "memcap/record/run_tables.hpp"
#include "memcap/store/journal/token_cache.hpp"
#include "memcap/text/tokenizer_client.hpp"

namespace memcap::app {

/// How much of the models is looked at.
enum class ModelCheck : std::uint8_t {
    config_only,  ///< shapes from config.json: enough for a plan; nothing is hashed, and ids of trials and
                  ///< token tables are not those of a run. Texts stand in for corpora and tokenizers that
                  ///< are not here
    weights,      ///< every tensor is read and checked, and the weights are hashed
};

struct Preparation {
    config::Experiment experiment;
    std::vector<plan::ModelFacts> models;        ///< of the experiment, in its order
    std::vector<hub::ModelIdentity> identities;  ///< of models; empty with config_only
    std::vector<record::ModelRow> model_rows;
    std::vector<record::CorpusRow> corpus_rows;
    std::vector<plan::TokenTable> tokens;
    plan::Plan plan;
    text::HelperVersions helper;            ///< empty if no tokenizer was needed
    std::vector<CorpusTexts> corpus_texts;  ///< what was left out only of corpora that were read now
    std::map<std::string, std::string>
        tokenizers;  ///< of models whose texts were encoded now: what read them
    /// With config_only: what is not here, and what was assumed instead, in words.
    std::vector<std::string> assumptions;
};

/// What a model's trials cost and where they end, as the planner counts it; no name, path or hashes.
plan::ModelFacts facts_of(const models::Description& description);

/// Loads and checks an experiment. Tokens come from `cache` where it has them, else from the tokenizer
/// helper. Weights that `hashes` knew from an earlier launch were checked then, and are not read again.
/// Throws ConfigError, DataError or ToolError for anything that a run could not use, and PreparationStopped.
Preparation prepare(const std::filesystem::path& file, const std::vector<std::string>& overrides,
                    ModelCheck check, const std::optional<store::TokenCache>& cache, hub::HashCache& hashes,
                    PreparationWatch& watch);

/// Saves the token tables that `cache` lacks. Throws StoreError.
void save_tokens(const Preparation& preparation, const store::TokenCache& cache);

/// The tables of a run: its plan and inputs, with one launch. `created_utc` is now.
record::RunTables run_tables(const Preparation& preparation, record::LaunchRow launch);

}  // namespace memcap::app
