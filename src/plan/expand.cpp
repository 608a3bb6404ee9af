// The product of the axes, cut down to what can run and is not there yet.
#include "memcap/plan/expand.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>

#include "memcap/base/contracts.hpp"
#include "memcap/plan/identity.hpp"

namespace memcap::plan {

namespace {

using TableKey = std::tuple<std::string, std::string, std::optional<std::uint64_t>>;

class Expander {
  public:
    Expander(const config::Experiment& experiment, std::span<const TokenTable> tables,
             std::span<const ModelFacts> models)
        : experiment_(experiment), models_(models) {
        for (const TokenTable& table : tables) tables_[{table.model, table.corpus, table.seed}] = &table;
    }

    Plan expand() {
        for (const config::Sweep& sweep : experiment_.sweeps) {
            for (const std::string& model : sweep.models) {
                for (const std::string& corpus : sweep.corpora) expand_pair(sweep, model, corpus);
            }
        }
        return std::move(plan_);
    }

  private:
    /// The trials of one sweep on one model and corpus. Samples vary fastest: the trials of one cell of a
    /// result table stand together.
    void expand_pair(const config::Sweep& sweep, const std::string& model, const std::string& corpus) {
        Axes axes{.model = model, .corpus = corpus, .protocol = {}};
        // A sweep with drawn lengths has one pass, and each sample its own length in it.
        const std::vector<std::int32_t> lengths =
            sweep.drawn_lengths ? std::vector<std::int32_t>{0} : sweep.lengths;
        for (const std::string& protocol : sweep.protocols) {
            axes.protocol = protocol;
            for (const Precision precision : sweep.precisions) {
                axes.precision = precision;
                for (const std::int32_t memory_vectors : sweep.memory_vectors) {
                    axes.memory_vectors = memory_vectors;
                    for (const std::int32_t prefix : sweep.prefixes) {
                        axes.prefix = prefix;
                        for (const std::int32_t length : lengths) {
                            axes.length = length;
                            for (const std::uint64_t seed : sweep.seeds) {
                                axes.seed = seed;
                                expand_cell(sweep, axes);
                            }
                        }
                    }
                }
            }
        }
    }

    /// All samples of one combination of the other axes.
    void expand_cell(const config::Sweep& sweep, Axes axes) {
        const config::Corpus& corpus = config::corpus_named(experiment_, axes.corpus);
        const TokenTable& table = table_of(corpus, axes);
        std::size_t samples = table.samples.size();
        if (corpus.samples > 0) samples = std::min(samples, static_cast<std::size_t>(corpus.samples));
        for (std::size_t i = 0; i < samples; ++i) {
            axes.sample = static_cast<std::int32_t>(i);
            if (sweep.drawn_lengths) {
                axes.length = drawn_length(axes.seed, axes.sample, sweep.drawn_lengths->lowest,
                                           sweep.drawn_lengths->highest);
            }
            if (seen_.insert(axes).second) add(axes, table, table.samples[i]);
        }
    }

    const TokenTable& table_of(const config::Corpus& corpus, const Axes& axes) const {
        const bool is_random = corpus.kind == config::CorpusKind::random_words;
        const auto table =
            tables_.find({axes.model, axes.corpus, is_random ? std::optional(axes.seed) : std::nullopt});
        MEMCAP_EXPECT(table != tables_.end());
        return *table->second;
    }

    std::size_t model_index(const std::string& name) const {
        const auto model = std::find_if(models_.begin(), models_.end(),
                                        [&](const ModelFacts& facts) { return facts.name == name; });
        MEMCAP_EXPECT(model != models_.end());
        return static_cast<std::size_t>(model - models_.begin());
    }

    void add(const Axes& axes, const TokenTable& table, const TokenSample& sample) {
        const std::size_t model = model_index(axes.model);
        if (skip(axes, sample, models_[model])) return;
        Trial trial;
        trial.model = static_cast<std::int32_t>(model);
        trial.prefix = prefix_of(sample, axes.prefix);
        const auto text = text_of(sample, axes.prefix).first(static_cast<std::size_t>(axes.length));
        trial.text.assign(text.begin(), text.end());
        trial.memory_vectors = axes.memory_vectors;
        trial.seed = axes.seed;
        trial.precision = axes.precision;
        trial.protocol = config::protocol_named(experiment_, axes.protocol);
        trial.id = trial_id(trial, models_[model]);
        const std::int32_t scored = scored_tokens(trial.protocol.target, axes.length);
        const auto [place, is_new] = trial_of_id_.try_emplace(trial.id, plan_.trials.size());
        plan_.rows.push_back({.axes = axes,
                              .trial_id = trial.id,
                              .trial = place->second,
                              .scored_tokens = scored,
                              .token_table = table.id,
                              .token_sample = axes.sample});
        if (is_new) plan_.trials.push_back(std::move(trial));
    }

    /// Lists the axes as skipped if no trial can answer them.
    bool skip(const Axes& axes, const TokenSample& sample, const ModelFacts& model) {
        const auto listed = [&](SkipReason reason, std::string detail) {
            plan_.skipped.push_back({.axes = axes, .reason = reason, .detail = std::move(detail)});
            return true;
        };
        if (!sample.problem.empty()) return listed(SkipReason::unusable_text, sample.problem);
        if (axes.memory_vectors > axes.length) {
            return listed(SkipReason::more_vectors_than_tokens,
                          fmt::format("{} vectors for {} tokens", axes.memory_vectors, axes.length));
        }
        const std::size_t tokens = text_of(sample, axes.prefix).size();
        if (tokens < static_cast<std::size_t>(axes.length)) {
            return listed(SkipReason::text_too_short,
                          fmt::format("has {} of {} tokens", tokens, axes.length));
        }
        const std::size_t prefix_tokens = sample.lead.size() + sample.prefix.size();
        if (prefix_tokens < static_cast<std::size_t>(axes.prefix)) {
            return listed(SkipReason::prefix_too_short,
                          fmt::format("has {} of {} tokens", prefix_tokens, axes.prefix));
        }
        const std::int32_t positions = axes.memory_vectors + axes.prefix + axes.length - 1;
        if (model.context_tokens > 0 && positions > model.context_tokens) {
            return listed(SkipReason::beyond_context,
                          fmt::format("{} positions, the model takes {}", positions, model.context_tokens));
        }
        return false;
    }

    const config::Experiment& experiment_;
    std::span<const ModelFacts> models_;
    std::map<TableKey, const TokenTable*> tables_;
    std::set<Axes> seen_;
    std::unordered_map<Id128, std::size_t> trial_of_id_;
    Plan plan_;
};

}  // namespace

std::string_view to_string(SkipReason value) {
    switch (value) {
        case SkipReason::more_vectors_than_tokens:
            return "more memory vectors than tokens (K > N)";
        case SkipReason::text_too_short:
            return "text too short";
        case SkipReason::prefix_too_short:
            return "prefix too short";
        case SkipReason::beyond_context:
            return "beyond the model's context";
        case SkipReason::unusable_text:
            return "text that cannot be encoded";
    }
    return "unknown";
}

std::string Skipped::text() const {
    return fmt::format("{}: {}", to_string(reason), detail);
}

Plan expand(const config::Experiment& experiment, std::span<const TokenTable> tables,
            std::span<const ModelFacts> models) {
    return Expander(experiment, tables, models).expand();
}

}  // namespace memcap::plan
