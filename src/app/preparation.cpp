// Models, texts and tokens of an experiment, gathered into a plan.
#include "app/preparation.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "app/machine.hpp"
#include "app/model_warnings.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/log.hpp"
#include "memcap/config/load.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/hub/tokenizer_files.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/text/corpus.hpp"
#include "memcap/text/helper_paths.hpp"
#include "memcap/text/tokenise.hpp"

namespace memcap::app {

namespace {

namespace fs = std::filesystem;

std::set<std::string> used_models(const config::Experiment& experiment) {
    std::set<std::string> names;
    for (const auto& sweep : experiment.sweeps) names.insert(sweep.models.begin(), sweep.models.end());
    return names;
}

void prepare_model(Preparation& preparation, const config::Model& model, ModelCheck check,
                   hub::HashCache& hashes, PreparationWatch& watch) {
    watch.at(fmt::format("checking model '{}'", model.name));
    const models::Description description = models::describe(model.path);
    const std::string ignored = fmt::format("{}", fmt::join(description.ignored_config_keys, ", "));
    if (!ignored.empty()) {
        log::warning(
            fmt::format("model '{}': config.json has keys of no meaning to transformers or memcap: {}",
                        model.name, ignored));
    }
    plan::ModelFacts facts = facts_of(description);
    facts.name = model.name;
    facts.path = model.path.string();
    facts.config_sha256 = hub::config_sha256(model.path);
    std::string unread;
    if (check == ModelCheck::weights) {
        unread = tell_unread_weights(model.name, model.path);
        auto files = hub::weight_files(model.path);
        files.push_back(model.path / "config.json");
        // On the meta device every tensor is read and checked, and none is kept.
        if (!hashes.knew(files)) models::load(model.path, Precision::float32, at::kMeta);
        watch.at(fmt::format("hashing the weights of model '{}'", model.name));
        const auto& identity = preparation.identities.emplace_back(hub::identify(model.path, hashes));
        facts.config_sha256 = identity.config_sha256;
        facts.weights_sha256 = identity.weights_sha256;
    }
    preparation.model_rows.push_back({.name = model.name,
                                      .family = facts.family,
                                      .path = facts.path,
                                      .config_sha256 = facts.config_sha256,
                                      .weights_sha256 = facts.weights_sha256,
                                      .parameters = description.parameters(),
                                      .memory_width = facts.memory_width,
                                      .vocabulary_size = facts.vocabulary_size,
                                      .context_tokens = facts.context_tokens,
                                      .layers = facts.layers,
                                      .ignored_config_keys = ignored,
                                      .unread_weights = unread});
    preparation.models.push_back(std::move(facts));
}

/// Tells of each model that cannot be used, then throws: who has a list of them mends it once.
void prepare_models(Preparation& preparation, ModelCheck check, hub::HashCache& hashes,
                    PreparationWatch& watch) {
    const auto used = used_models(preparation.experiment);
    std::vector<DataError> problems;
    for (const auto& model : preparation.experiment.models) {
        if (!used.contains(model.name)) {
            log::warning(fmt::format("{}: model '{}' is in no sweep", model.where.text(), model.name));
            continue;
        }
        try {
            prepare_model(preparation, model, check, hashes, watch);
        } catch (const DataError& problem) {
            problems.push_back(problem);
        }
    }
    if (problems.empty()) return;
    for (std::size_t i = 0; i + 1 < problems.size(); ++i) log::error(problems[i].what());
    throw DataError(problems.back());
}

/// SHA-256 of a file, or of the names and hashes of a folder's .txt files.
std::string corpus_sha256(const fs::path& path) {
    if (!fs::is_directory(path)) return sha256_file_hex(path);
    std::vector<fs::path> files;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(path)) {
        // What is no sample (a folder, a link to nothing) has no part in it; hidden files do, as ever.
        if (text::is_text_name(entry.path()) && fs::is_regular_file(entry.path(), ignored))
            files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::string lines;
    for (const auto& file : files) lines += file.filename().string() + " " + sha256_file_hex(file) + "\n";
    return sha256_hex(as_bytes(lines));
}

void prepare_corpora(Preparation& preparation, ModelCheck check, PreparationWatch& watch) {
    for (const auto& corpus : preparation.experiment.corpora) {
        watch.at(fmt::format("reading corpus '{}'", corpus.name));
        bool drawn = false;
        for (const auto& sweep : preparation.experiment.sweeps) {
            const bool uses = std::ranges::find(sweep.corpora, corpus.name) != sweep.corpora.end();
            drawn = drawn || (uses && sweep.drawn_lengths.has_value());
        }
        const bool is_whole =
            corpus.part == config::Part::all || corpus.kind == config::CorpusKind::random_words;
        preparation.corpus_rows.push_back(
            {.name = corpus.name,
             .kind = std::string(to_string(corpus.kind)),
             .path = corpus.path.string(),
             .part = std::string(to_string(corpus.part)),
             .sentences = std::string(to_string(corpus.sentences)),
             .samples = corpus.samples,
             .drawn_lengths = drawn,
             .sha256 = check == ModelCheck::weights ? corpus_sha256(corpus.path) : "",
             .joined = is_whole ? "" : std::string(to_string(corpus.joined)),
             .opened = std::string(to_string(corpus.opened))});
    }
}

/// Hash of all small files of a model folder that a tokenizer may be read from.
Id128 tokenizer_hash(const fs::path& folder) {
    constexpr std::array kFiles{
        "tokenizer.json",     "tokenizer_config.json", "special_tokens_map.json", "vocab.json",
        "merges.txt",         "added_tokens.json",     "tokenizer.model",         "config.json",
        "chat_template.jinja"};
    ByteWriter content;
    for (const char* name : kFiles) {
        if (!fs::exists(folder / name)) continue;
        content.text(name);
        content.text(read_text_file(folder / name));
    }
    return hash128(content.bytes());
}

text::TextSource source_of(const config::Corpus& corpus, const plan::TokenRequest& request) {
    constexpr std::array kKinds{std::pair{config::CorpusKind::text, text::CorpusKind::text},
                                std::pair{config::CorpusKind::csv, text::CorpusKind::csv},
                                std::pair{config::CorpusKind::jsonl, text::CorpusKind::jsonl},
                                std::pair{config::CorpusKind::random_words, text::CorpusKind::random_words}};
    constexpr std::array kParts{std::pair{config::Part::second_half, text::Part::second_half},
                                std::pair{config::Part::first_half, text::Part::first_half},
                                std::pair{config::Part::all, text::Part::all}};
    text::TextSource source;
    for (const auto& [from, to] : kKinds) {
        if (from == corpus.kind) source.kind = to;
    }
    for (const auto& [from, to] : kParts) {
        if (from == corpus.part) source.part = to;
    }
    source.sentences =
        corpus.sentences == config::Sentences::punkt ? text::SentenceRule::punkt : text::SentenceRule::rule;
    source.joined = corpus.joined == config::Joined::space ? text::Joined::space : text::Joined::as_written;
    source.path = corpus.path;
    source.samples = static_cast<std::size_t>(request.samples);
    source.seed = request.seed.value_or(0);
    source.length = static_cast<std::size_t>(request.text_tokens);
    return source;
}

/// Turns token requests into tables: from the cache where it has them, else by the helper, started when first
/// needed.
class Tokenisation {
  public:
    Tokenisation(Preparation& preparation, ModelCheck check, const std::optional<store::TokenCache>& cache)
        : preparation_(preparation), check_(check), cache_(cache) {}

    plan::TokenTable answer(const plan::TokenRequest& request) {
        const auto& model = config::model_named(preparation_.experiment, request.model);
        const auto& corpus = config::corpus_named(preparation_.experiment, request.corpus);
        if (const auto samples = samples_to_assume(request, model, corpus))
            return stand_in(request, *samples);
        plan::TokenTable table{.model = request.model,
                               .corpus = request.corpus,
                               .seed = request.seed,
                               .id = check_ == ModelCheck::weights ? key(request, model, corpus) : Id128{},
                               .samples = {}};
        if (cache_) {
            if (auto saved = cache_->load(table.id)) {
                for (auto& sample : *saved) {
                    table.samples.push_back({.text = std::move(sample.text),
                                             .prefix = std::move(sample.prefix),
                                             .opening = sample.opening,
                                             .lead = std::move(sample.lead),
                                             .source = std::move(sample.source),
                                             .problem = std::move(sample.problem)});
                }
                tell_sources(corpus, table.samples);
                return table;
            }
        }
        hub::check_tokenizer_files(model.path);
        const auto read = text::read_corpus(source_of(corpus, request), [this](auto texts, auto rule) {
            return client().split(texts, rule);
        });
        const text::TokenLimits limits{.text = static_cast<std::size_t>(request.text_tokens),
                                       .prefix = static_cast<std::size_t>(request.prefix_tokens)};
        auto tokenised = text::tokenise(client(), model.path, read.samples, limits);
        tell_sources(corpus, read.samples, read.left_out);
        tell_tokenised(model, corpus.name, read.samples, tokenised);
        preparation_.tokenizers[model.name] = tokenised.tokenizer.source;
        table.samples = planned_samples(corpus, read.samples, std::move(tokenised));
        return table;
    }

  private:
    /// Once a corpus: what is in it.
    template <class Samples>
    void tell_sources(const config::Corpus& corpus, const Samples& samples,
                      const std::vector<text::LeftOut>& left_out = {}) {
        auto& known = preparation_.corpus_texts;
        const bool is_random = corpus.kind == config::CorpusKind::random_words;
        if (is_random || std::ranges::find(known, corpus.name, &CorpusTexts::corpus) != known.end()) return;
        CorpusTexts texts{.corpus = corpus.name, .sources = {}, .left_out = left_out};
        for (const auto& sample : samples) texts.sources.push_back(sample.source);
        if (!texts.left_out.empty()) {
            log::info(fmt::format("corpus '{}': left out of {}: {}", corpus.name, corpus.path.string(),
                                  left_out_text(texts)));
        }
        known.push_back(std::move(texts));
    }

    /// For how many samples something has to stand in; nothing where the texts can be encoded.
    std::optional<std::size_t> samples_to_assume(const plan::TokenRequest& request,
                                                 const config::Model& model, const config::Corpus& corpus) {
        if (check_ != ModelCheck::config_only) return std::nullopt;
        const auto assume = [this](std::string what) {
            auto& said = preparation_.assumptions;
            if (std::ranges::find(said, what) == said.end()) said.push_back(std::move(what));
        };
        const auto asked = static_cast<std::size_t>(std::max(request.samples, 1));
        if (!fs::exists(corpus.path)) {
            assume(fmt::format("corpus '{}': {} is not here; its {} texts are taken to be long enough",
                               corpus.name, corpus.path.string(), asked));
            return asked;
        }
        if (has_seed_like(request)) return asked;
        if (hub::has_tokenizer(model.path)) return std::nullopt;
        assume(fmt::format("model '{}': no tokenizer in {}; texts are taken to be long enough", model.name,
                           model.path.string()));
        return count_texts(request, corpus);
    }

    /// Of a corpus that no tokenizer is there for.
    std::size_t count_texts(const plan::TokenRequest& request, const config::Corpus& corpus) {
        text::TextSource source = source_of(corpus, request);
        source.part = text::Part::all;  // to count texts none has to be split
        const auto read = text::read_corpus(source, {});
        tell_sources(corpus, read.samples, read.left_out);
        return read.samples.size();
    }

    /// Whether another seed's random words are there. They cost a plan what those of this seed would, and
    /// words of a thousand seeds take longer to tokenise than all the rest of a plan.
    bool has_seed_like(const plan::TokenRequest& request) const {
        return request.seed && std::ranges::any_of(preparation_.tokens, [&](const plan::TokenTable& table) {
                   return table.model == request.model && table.corpus == request.corpus;
               });
    }

    /// As many tokens as asked for, of no meaning; no two samples, corpora or seeds have the same.
    plan::TokenTable stand_in(const plan::TokenRequest& request, std::size_t samples) const {
        const auto model = std::ranges::find(preparation_.models, request.model, &plan::ModelFacts::name);
        plan::TokenTable table{.model = request.model,
                               .corpus = request.corpus,
                               .seed = request.seed,
                               .id = hash128(as_bytes(request.model + "/" + request.corpus)),
                               .samples = {}};
        const auto tokens = [&](std::int32_t sample, std::int64_t count, const char* part) {
            const std::string name =
                fmt::format("{}/{}/{}/{}", request.corpus, request.seed.value_or(0), sample, part);
            const std::uint64_t first = hash64(as_bytes(name)) >> 1U;
            const auto entries = static_cast<std::uint64_t>(model->vocabulary_size);
            std::vector<std::int32_t> ids;
            for (std::int64_t i = 0; i < count; ++i)
                ids.push_back(static_cast<std::int32_t>((first + static_cast<std::uint64_t>(i)) % entries));
            if (count > 0) ids.front() = static_cast<std::int32_t>(sample % model->vocabulary_size);
            return ids;
        };
        for (std::int32_t i = 0; i < static_cast<std::int32_t>(samples); ++i) {
            table.samples.push_back({.text = tokens(i, request.text_tokens, "text"),
                                     .prefix = tokens(i, request.prefix_tokens, "prefix")});
        }
        return table;
    }

    Id128 key(const plan::TokenRequest& request, const config::Model& model, const config::Corpus& corpus) {
        // Since 2 the folder's own files are read, and special tokens that a text spells are text.
        constexpr std::int32_t kVersion = 2;
        ByteWriter writer;
        writer.number(kVersion);
        writer.id(tokenizer_of(model));
        writer.text(
            std::ranges::find(preparation_.corpus_rows, corpus.name, &record::CorpusRow::name)->sha256);
        writer.number(corpus.kind);
        writer.number(corpus.part);
        writer.number(corpus.sentences);
        writer.number(corpus.joined);
        writer.number(corpus.opened);
        writer.number(request.seed.has_value());
        writer.number(request.seed.value_or(0));
        writer.number(request.samples);
        writer.number(request.text_tokens);
        writer.number(request.prefix_tokens);
        return hash128(writer.bytes());
    }

    /// tokenizer_hash(), once a model: random words ask for each seed, and the files may be large.
    Id128 tokenizer_of(const config::Model& model) {
        const auto [known, is_new] = tokenizers_.try_emplace(model.name);
        if (is_new) known->second = tokenizer_hash(model.path);
        return known->second;
    }

    text::TokenizerClient& client() {
        if (!client_) {
            const std::string executable = executable_path();
            client_.emplace(text::HelperCommand{
                .python = text::find_python(preparation_.experiment.run.python, executable),
                .script = text::find_helper_script(executable)});
            preparation_.helper = client_->versions();
        }
        return *client_;
    }

    Preparation& preparation_;
    ModelCheck check_;
    const std::optional<store::TokenCache>& cache_;
    std::optional<text::TokenizerClient> client_;
    std::map<std::string, Id128> tokenizers_;
};

void prepare_tokens(Preparation& preparation, ModelCheck check, const std::optional<store::TokenCache>& cache,
                    PreparationWatch& watch) {
    Tokenisation tokenisation(preparation, check, cache);
    const auto requests = plan::token_requests(preparation.experiment);
    for (const auto& request : requests) {
        const std::string step =
            fmt::format("texts of '{}' as tokens of '{}'", request.corpus, request.model);
        // Random words are another list for each seed.
        if (requests.size() == 1) {
            watch.at(step);
        } else {
            watch.at(step + ", list", preparation.tokens.size() + 1, requests.size());
        }
        preparation.tokens.push_back(tokenisation.answer(request));
        drop_foreign_tokens(preparation.tokens.back(),
                            *std::ranges::find(preparation.models, request.model, &plan::ModelFacts::name));
    }
}

}  // namespace

plan::ModelFacts facts_of(const models::Description& description) {
    plan::ModelFacts facts;
    facts.family = description.family;
    facts.context_tokens = description.context_tokens;
    facts.memory_width = description.memory_width;
    facts.width = description.width;
    facts.layers = description.layers;
    facts.attention_width = description.query_heads * description.head_width;
    facts.scan_states = description.scan_states;
    facts.kept_floats = description.kept_floats;
    facts.vocabulary_size = description.vocabulary_size;
    facts.embedding_parameters = description.embedding_parameters;
    facts.block_parameters = description.block_parameters;
    facts.idle_parameters = description.idle_parameters;
    facts.head_parameters = description.head_parameters;
    return facts;
}

Preparation prepare(const fs::path& file, const std::vector<std::string>& overrides, ModelCheck check,
                    const std::optional<store::TokenCache>& cache, hub::HashCache& hashes,
                    PreparationWatch& watch) {
    try {
        Preparation preparation;
        preparation.experiment =
            config::load(file, overrides,
                         check == ModelCheck::config_only ? config::Paths::texts_may_be_elsewhere
                                                          : config::Paths::must_exist);
        prepare_models(preparation, check, hashes, watch);
        prepare_corpora(preparation, check, watch);
        prepare_tokens(preparation, check, cache, watch);
        preparation.plan = plan::expand(preparation.experiment, preparation.tokens, preparation.models,
                                        [&watch](std::uint64_t done, std::uint64_t total) {
                                            watch.at("listing the trials", done, total);
                                        });
        return preparation;
    } catch (const Error&) {
        // A batch system may end the tokenizer helper too: that is then not what the user has to know.
        watch.check();
        throw;
    }
}

void save_tokens(const Preparation& preparation, const store::TokenCache& cache) {
    for (const auto& table : preparation.tokens) {
        if (fs::exists(cache.file(table.id))) continue;
        std::vector<store::TokenSample> samples;
        for (const auto& sample : table.samples) {
            samples.push_back({.text = sample.text,
                               .prefix = sample.prefix,
                               .opening = sample.opening,
                               .lead = sample.lead,
                               .source = sample.source,
                               .problem = sample.problem});
        }
        cache.save(table.id, samples);
    }
}

record::RunTables run_tables(const Preparation& preparation, record::LaunchRow launch) {
    record::RunTables tables;
    tables.experiment = preparation.experiment.name;
    tables.experiment_yaml = config::resolved_yaml(preparation.experiment);
    tables.created_utc = utc_now();
    const plan::Plan& plan = preparation.plan;
    tables.rows.reserve(plan.rows.size());
    for (const auto& row : plan.rows) {
        const plan::PlannedTrial& trial = plan.trials[row.trial];
        tables.rows.push_back({.axes = plan.axes_of(row),
                               .trial_id = trial.id,
                               .scored_tokens = scored_tokens(plan.protocol_of(trial).target, trial.length),
                               .token_table = plan.tables[row.table].id,
                               .token_sample = row.sample});
    }
    for (const auto& skipped : plan.skipped)
        tables.skipped.push_back({plan.axes_of(skipped), plan.reason_of(skipped)});
    tables.models = preparation.model_rows;
    tables.corpora = preparation.corpus_rows;
    tables.samples = sample_rows(preparation.tokens);
    for (const auto& protocol : preparation.experiment.protocols) {
        tables.protocols.push_back({.name = protocol.name, .values = protocol.values});
    }
    tables.launches.push_back(std::move(launch));
    return tables;
}

}  // namespace memcap::app
