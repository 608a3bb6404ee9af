// The product of the axes, cut down to what can run and is not there yet.
#include "memcap/plan/expand.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <tuple>

#include "memcap/base/contracts.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/plan/identity.hpp"
#include "plan/detail/distinct_list.hpp"

namespace memcap::plan {

namespace {

template <std::size_t kCount>
std::uint64_t hash_of(const std::array<std::uint64_t, kCount>& values) {
    return hash64(std::as_bytes(std::span(values)));
}

constexpr std::uint64_t both(std::uint32_t high, std::uint32_t low) {
    return std::uint64_t{high} << 32U | low;
}

struct TrialRules {
    static std::uint64_t hash(const PlannedTrial& trial) { return trial.id.low; }
    static bool same(const PlannedTrial& a, const PlannedTrial& b) { return a.id == b.id; }
};

struct RowRules {
    static std::uint64_t hash(const Row& row) {
        return hash_of(std::array{both(row.trial, row.table),
                                  both(static_cast<std::uint32_t>(row.sample), row.protocol)});
    }
    static bool same(const Row& a, const Row& b) { return a == b; }
};

struct SkippedRules {
    static std::uint64_t hash(const Skipped& skipped) {
        const auto number = [](std::int32_t value) { return static_cast<std::uint32_t>(value); };
        return hash_of(std::array{skipped.seed, both(skipped.table, number(skipped.sample)),
                                  both(number(skipped.length), number(skipped.prefix)),
                                  both(number(skipped.memory_vectors), skipped.protocol),
                                  static_cast<std::uint64_t>(skipped.precision)});
    }
    static bool same(const Skipped& a, const Skipped& b) { return a == b; }
};

class Expander {
  public:
    Expander(const config::Experiment& experiment, std::span<const TokenTable> tables,
             std::span<const ModelFacts> models, const ExpandProgress& on_progress)
        : experiment_(experiment), token_tables_(tables), models_(models), on_progress_(on_progress) {
        plan_.protocols = experiment.protocols;
        for (const TokenTable& table : tables) {
            places_[{table.model, table.corpus, table.seed}] =
                static_cast<std::uint32_t>(plan_.tables.size());
            const auto model = std::ranges::find(models, table.model, &ModelFacts::name);
            const auto index = static_cast<std::int32_t>(model - models.begin());
            plan_.tables.push_back({.model = table.model,
                                    .corpus = table.corpus,
                                    .id = table.id,
                                    .model_index = model == models.end() ? -1 : index,
                                    .problems = problems_of(table)});
        }
    }

    Plan expand() {
        for_each_pair([this](const auto& sweep, const auto& model, const auto& corpus) {
            total_ += tuples_of(sweep, model, corpus);
        });
        reserve();
        for_each_pair([this](const auto& sweep, const auto& model, const auto& corpus) {
            expand_pair(sweep, model, corpus);
        });
        return std::move(plan_);
    }

  private:
    static std::map<std::int32_t, std::string> problems_of(const TokenTable& table) {
        std::map<std::int32_t, std::string> problems;
        for (std::size_t i = 0; i < table.samples.size(); ++i) {
            if (const std::string& problem = table.samples[i].problem; !problem.empty())
                problems.emplace(static_cast<std::int32_t>(i), problem);
        }
        return problems;
    }

    template <class Action>
    void for_each_pair(Action action) {
        for (const config::Sweep& sweep : experiment_.sweeps) {
            for (const std::string& model : sweep.models) {
                for (const std::string& name : sweep.corpora)
                    action(sweep, model, config::corpus_named(experiment_, name));
            }
        }
    }

    /// A sweep with drawn lengths has one pass, and each sample its own length in it.
    static std::vector<std::int32_t> lengths_of(const config::Sweep& sweep) {
        return sweep.drawn_lengths ? std::vector<std::int32_t>{0} : sweep.lengths;
    }

    std::uint64_t tuples_of(const config::Sweep& sweep, const std::string& model,
                            const config::Corpus& corpus) const {
        std::uint64_t samples = 0;
        for (const std::uint64_t seed : sweep.seeds)
            samples += samples_of(corpus, table_of(model, corpus, seed));
        return samples * sweep.protocols.size() * sweep.precisions.size() * sweep.memory_vectors.size() *
               sweep.prefixes.size() * lengths_of(sweep).size();
    }

    /// Room for what there may be at most: pages that nothing is written to take no memory, while a list that
    /// grows is in memory twice.
    void reserve() {
        constexpr std::uint64_t kMostReserved = 1U << 22U;
        plan_.trials.reserve(std::min(total_, kMostReserved));
        plan_.rows.reserve(std::min(total_, kMostReserved));
    }

    /// The trials of one sweep on one model and corpus. Samples vary fastest: the trials of one cell of a
    /// result table stand together.
    void expand_pair(const config::Sweep& sweep, const std::string& model, const config::Corpus& corpus) {
        PlannedTrial cell;
        for (const std::string& protocol : sweep.protocols) {
            cell.protocol = protocol_index(protocol);
            for (const Precision precision : sweep.precisions) {
                cell.precision = precision;
                for (const std::int32_t memory_vectors : sweep.memory_vectors) {
                    cell.memory_vectors = memory_vectors;
                    for (const std::int32_t prefix : sweep.prefixes) {
                        cell.prefix = prefix;
                        for (const std::int32_t length : lengths_of(sweep)) {
                            cell.length = length;
                            for (const std::uint64_t seed : sweep.seeds) {
                                cell.seed = seed;
                                cell.table = table_of(model, corpus, seed);
                                expand_cell(sweep, samples_of(corpus, cell.table), cell);
                            }
                        }
                    }
                }
            }
        }
    }

    /// All samples of one combination of the other axes.
    void expand_cell(const config::Sweep& sweep, std::size_t samples, PlannedTrial trial) {
        const std::int32_t index = plan_.tables[trial.table].model_index;
        MEMCAP_EXPECT(index >= 0);
        const ModelFacts& model = models_[static_cast<std::size_t>(index)];
        TrialIds ids(model, trial.memory_vectors, trial.seed, trial.precision, plan_.protocol_of(trial));
        for (std::size_t i = 0; i < samples; ++i) {
            trial.sample = static_cast<std::int32_t>(i);
            if (sweep.drawn_lengths) {
                trial.length = drawn_length(trial.seed, trial.sample, sweep.drawn_lengths->lowest,
                                            sweep.drawn_lengths->highest);
            }
            add(trial, model, ids);
            tell();
        }
    }

    void tell() {
        constexpr std::uint64_t kTuplesBetween = 4096;
        if (on_progress_ && ++done_ % kTuplesBetween == 0) on_progress_(done_, total_);
    }

    std::uint32_t table_of(const std::string& model, const config::Corpus& corpus, std::uint64_t seed) const {
        const bool is_random = corpus.kind == config::CorpusKind::random_words;
        const auto place = places_.find({model, corpus.name, is_random ? std::optional(seed) : std::nullopt});
        MEMCAP_EXPECT(place != places_.end());
        return place->second;
    }

    std::size_t samples_of(const config::Corpus& corpus, std::uint32_t table) const {
        const std::size_t samples = token_tables_[table].samples.size();
        return corpus.samples > 0 ? std::min(samples, static_cast<std::size_t>(corpus.samples)) : samples;
    }

    std::uint32_t protocol_index(const std::string& name) const {
        const auto protocol = std::ranges::find(plan_.protocols, name, &config::NamedProtocol::name);
        MEMCAP_EXPECT(protocol != plan_.protocols.end());
        return static_cast<std::uint32_t>(protocol - plan_.protocols.begin());
    }

    void add(PlannedTrial& trial, const ModelFacts& model, TrialIds& ids) {
        const TokenSample& sample =
            token_tables_[trial.table].samples[static_cast<std::size_t>(trial.sample)];
        if (skip(trial, sample, model)) return;
        const auto text = text_of(sample, trial.prefix).first(static_cast<std::size_t>(trial.length));
        trial.id = ids.of(prefix_of(sample, trial.prefix), text);
        const std::uint32_t place = trials_.add(trial).first;
        rows_.add({.trial = place, .table = trial.table, .sample = trial.sample, .protocol = trial.protocol});
    }

    /// Lists the axes as skipped if no trial can answer them.
    bool skip(const PlannedTrial& trial, const TokenSample& sample, const ModelFacts& model) {
        const auto listed = [&](SkipReason reason, std::size_t available) {
            skipped_.add({.seed = trial.seed,
                          .table = trial.table,
                          .sample = trial.sample,
                          .length = trial.length,
                          .prefix = trial.prefix,
                          .memory_vectors = trial.memory_vectors,
                          .protocol = trial.protocol,
                          .available = static_cast<std::int32_t>(available),
                          .precision = trial.precision,
                          .reason = reason});
            return true;
        };
        if (!sample.problem.empty()) return listed(SkipReason::unusable_text, 0);
        if (plan_.protocol_of(trial).optimiser == OptimiserKind::soap && model.memory_width > kWidestSoap)
            return listed(SkipReason::too_wide, static_cast<std::size_t>(model.memory_width));
        if (trial.memory_vectors > trial.length) return listed(SkipReason::more_vectors_than_tokens, 0);
        const std::size_t tokens = text_of(sample, trial.prefix).size();
        if (tokens < static_cast<std::size_t>(trial.length))
            return listed(SkipReason::text_too_short, tokens);
        const std::size_t prefix_tokens = sample.lead.size() + sample.prefix.size();
        if (prefix_tokens < static_cast<std::size_t>(trial.prefix))
            return listed(SkipReason::prefix_too_short, prefix_tokens);
        const std::int32_t context = model.context_tokens;
        if (context > 0 && plan_.shape_of(trial).positions() > context)
            return listed(SkipReason::beyond_context, static_cast<std::size_t>(context));
        return false;
    }

    const config::Experiment& experiment_;
    std::span<const TokenTable> token_tables_;
    std::span<const ModelFacts> models_;
    const ExpandProgress& on_progress_;
    std::map<std::tuple<std::string, std::string, std::optional<std::uint64_t>>, std::uint32_t> places_;
    std::uint64_t done_ = 0;
    std::uint64_t total_ = 0;
    Plan plan_;
    detail::DistinctList<PlannedTrial, TrialRules> trials_{plan_.trials};
    detail::DistinctList<Row, RowRules> rows_{plan_.rows};
    detail::DistinctList<Skipped, SkippedRules> skipped_{plan_.skipped};
};

/// `numbers` has the axes that are no names.
template <class Numbers>
Axes named_axes(const PlannedTable& table, std::int32_t sample, const std::string& protocol,
                const Numbers& numbers) {
    return {.model = table.model,
            .corpus = table.corpus,
            .sample = sample,
            .seed = numbers.seed,
            .memory_vectors = numbers.memory_vectors,
            .length = numbers.length,
            .prefix = numbers.prefix,
            .protocol = protocol,
            .precision = numbers.precision};
}

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
        case SkipReason::too_wide:
            return "memory vectors too wide for soap";
    }
    return "unknown";
}

std::string Plan::detail_of(const Skipped& tuple) const {
    switch (tuple.reason) {
        case SkipReason::more_vectors_than_tokens:
            return fmt::format("{} vectors for {} tokens", tuple.memory_vectors, tuple.length);
        case SkipReason::text_too_short:
            return fmt::format("has {} of {} tokens", tuple.available, tuple.length);
        case SkipReason::prefix_too_short:
            return fmt::format("has {} of {} tokens", tuple.available, tuple.prefix);
        case SkipReason::unusable_text:
            return tables[tuple.table].problems.at(tuple.sample);
        case SkipReason::too_wide:
            return fmt::format("{} numbers a vector, soap takes {}", tuple.available, kWidestSoap);
        case SkipReason::beyond_context:
            break;
    }
    return fmt::format("{} positions, the model takes {}",
                       tuple.memory_vectors + tuple.prefix + tuple.length - 1, tuple.available);
}

std::string Plan::reason_of(const Skipped& tuple) const {
    return fmt::format("{}: {}", to_string(tuple.reason), detail_of(tuple));
}

TrialShape Plan::shape_of(const PlannedTrial& trial) const {
    const Protocol& protocol = protocol_of(trial);
    return {.memory_vectors = trial.memory_vectors,
            .prefix_tokens = trial.prefix,
            .text_tokens = trial.length,
            .target = protocol.target,
            .max_steps = protocol.max_steps,
            .optimiser = protocol.optimiser};
}

Axes Plan::axes_of(const Row& row) const {
    const PlannedTrial& trial = trials[row.trial];
    return named_axes(tables[row.table], row.sample, protocols[row.protocol].name, trial);
}

Axes Plan::axes_of(const Skipped& tuple) const {
    return named_axes(tables[tuple.table], tuple.sample, protocols[tuple.protocol].name, tuple);
}

Trial Plan::whole(const PlannedTrial& trial, std::span<const TokenTable> token_tables) const {
    MEMCAP_EXPECT(token_tables.size() == tables.size());
    const TokenSample& sample = token_tables[trial.table].samples.at(static_cast<std::size_t>(trial.sample));
    Trial whole;
    whole.id = trial.id;
    whole.model = tables[trial.table].model_index;
    whole.prefix = prefix_of(sample, trial.prefix);
    const auto text = text_of(sample, trial.prefix).first(static_cast<std::size_t>(trial.length));
    whole.text.assign(text.begin(), text.end());
    whole.memory_vectors = trial.memory_vectors;
    whole.seed = trial.seed;
    whole.precision = trial.precision;
    whole.protocol = protocol_of(trial);
    return whole;
}

Plan expand(const config::Experiment& experiment, std::span<const TokenTable> tables,
            std::span<const ModelFacts> models, const ExpandProgress& on_progress) {
    return Expander(experiment, tables, models, on_progress).expand();
}

}  // namespace memcap::plan
