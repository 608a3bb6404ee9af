// The table /trials: every column of the result format, a row a planned trial that has a record.
#include "store/detail/trial_columns.hpp"

#include <functional>
#include <map>
#include <numeric>
#include <optional>

#include "memcap/metrics/derived_columns.hpp"
#include "memcap/record/agreement.hpp"
#include "store/detail/columns.hpp"
#include "store/detail/dimension.hpp"

namespace memcap::store::detail {

namespace {

using record::TrialRecord;
using record::TrialStatus;

/// Writes columns of one table and attaches the dimension scale to each.
class TrialTable {
  public:
    TrialTable(const Handle& file, const std::vector<ContentRow>& rows)
        : rows_(rows), group_(create_group(file, "trials")) {
        std::vector<std::int64_t> numbers(rows.size());
        std::iota(numbers.begin(), numbers.end(), 0);
        dimension_.emplace(write_column(group_, {"trial", "number of the row, from 0", ""}, numbers),
                           "trial");
    }

    template <class T>
    void numbers(const ColumnLabel& label, const std::function<T(const ContentRow&)>& get) {
        std::vector<T> values;
        values.reserve(rows_.size());
        for (const ContentRow& row : rows_) values.push_back(get(row));
        dimension_->attach(write_column(group_, label, values));
    }
    void texts(const ColumnLabel& label, const std::function<std::string_view(const ContentRow&)>& get) {
        std::vector<std::string_view> values;
        values.reserve(rows_.size());
        for (const ContentRow& row : rows_) values.push_back(get(row));
        dimension_->attach(write_text_column(group_, label, values));
    }

    // Shorthands for fields of the axes and of the record.
    template <class T>
    void axis(const ColumnLabel& label, T Axes::*field) {
        numbers<T>(label, [field](const ContentRow& row) { return row.planned->axes.*field; });
    }
    void axis_name(const ColumnLabel& label, std::string Axes::*field) {
        texts(label, [field](const ContentRow& row) { return std::string_view(row.planned->axes.*field); });
    }
    template <class T>
    void measured(const ColumnLabel& label, T TrialRecord::*field) {
        numbers<T>(label, [field](const ContentRow& row) { return row.stored->record.*field; });
    }
    void derived(const ColumnLabel& label, double metrics::DerivedColumns::*field) {
        numbers<double>(label, [field](const ContentRow& row) {
            return metrics::derived_columns(row.stored->record, row.planned->axes.length).*field;
        });
    }

  private:
    const std::vector<ContentRow>& rows_;
    Handle group_;
    std::optional<Dimension> dimension_;
};

std::vector<std::string> failure_texts(const std::vector<ContentRow>& rows) {
    std::vector<std::string> texts;
    for (const ContentRow& row : rows) {
        const TrialRecord& record = row.stored->record;
        texts.push_back(record.status == TrialStatus::failed ? record::failure_text(record.failure) : "");
    }
    return texts;
}

/// Where each sample of a corpus came from.
using Sources = std::map<std::pair<std::string_view, std::int32_t>, std::string_view>;

Sources sources_of(const record::RunTables& tables) {
    Sources sources;
    for (const auto& row : tables.samples)
        sources.emplace(std::pair(std::string_view(row.corpus), row.sample), row.source);
    return sources;
}

void write_axes(TrialTable& table, const std::vector<ContentRow>& rows,
                const std::unordered_map<std::string, std::string>& families, const Sources& sources) {
    std::vector<std::string> ids;
    for (const ContentRow& row : rows) ids.push_back(row.planned->trial_id.hex());
    table.texts({"trial_id", "content hash of all that decides the result", ""},
                [&ids, &rows](const ContentRow& row) {
                    return std::string_view(ids[static_cast<std::size_t>(&row - rows.data())]);
                });
    table.axis_name({"model", "model", ""}, &Axes::model);
    table.texts({"family", "family of the model", ""}, [&families](const ContentRow& row) {
        const auto family = families.find(row.planned->axes.model);
        return family == families.end() ? std::string_view() : std::string_view(family->second);
    });
    table.axis_name({"corpus", "corpus", ""}, &Axes::corpus);
    table.axis({"sample", "number of the sample in its corpus, from 0", ""}, &Axes::sample);
    table.texts({"text_source", "file that the sample came from, of a table with the line", ""},
                [&sources](const ContentRow& row) {
                    const Axes& axes = row.planned->axes;
                    const auto source = sources.find({axes.corpus, axes.sample});
                    return source == sources.end() ? std::string_view() : source->second;
                });
    table.axis({"seed", "seed of the initial memory", ""}, &Axes::seed);
    table.axis({"memory_vectors", "memory vectors, K", ""}, &Axes::memory_vectors);
    table.axis({"length", "tokens in the text, N", "tokens"}, &Axes::length);
    table.axis({"prefix", "visible, unscored tokens between memory and text", "tokens"}, &Axes::prefix);
    table.axis_name({"protocol", "name of the protocol; its values are in /protocols", ""}, &Axes::protocol);
    table.texts({"precision", "in what the frozen model computes", ""},
                [](const ContentRow& row) { return to_string(row.planned->axes.precision); });
    table.numbers<std::int32_t>({"scored_tokens", "tokens that count in loss and accuracy", "tokens"},
                                [](const ContentRow& row) { return row.planned->scored_tokens; });
}

void write_outcome(TrialTable& table, const std::vector<ContentRow>& rows) {
    const auto failures = failure_texts(rows);
    table.texts({"status", "done or failed", ""},
                [](const ContentRow& row) { return to_string(row.stored->record.status); });
    table.texts({"failure", "category and message of a failure", ""}, [&](const ContentRow& row) {
        return std::string_view(failures[static_cast<std::size_t>(&row - rows.data())]);
    });
    table.measured({"evaluations", "forward passes made", ""}, &TrialRecord::evaluations);
    table.measured({"best_evaluation", "first evaluation with the best accuracy, from 1", ""},
                   &TrialRecord::best_evaluation);
    table.texts({"stop_reason", "solved, patience or max_steps", ""},
                [](const ContentRow& row) { return to_string(row.stored->record.stop_reason); });
    table.measured({"loss_nomem_nats", "mean cross-entropy without memory", "nats"},
                   &TrialRecord::loss_nomem_nats);
    table.measured({"accuracy_nomem", "share of tokens that are right without memory", ""},
                   &TrialRecord::accuracy_nomem);
    table.measured({"loss_nats", "mean cross-entropy at best_evaluation", "nats"}, &TrialRecord::loss_nats);
    table.measured({"accuracy", "share of scored tokens that are right at best_evaluation", ""},
                   &TrialRecord::accuracy);
    table.measured({"correct_tokens", "scored tokens that are right at best_evaluation", "tokens"},
                   &TrialRecord::correct_tokens);
    table.numbers<std::uint8_t>({"exact", "1: all scored tokens are right", ""}, [](const ContentRow& row) {
        return static_cast<std::uint8_t>(row.stored->record.exact ? 1 : 0);
    });
    table.measured({"loss_min_nats", "smallest mean cross-entropy of all evaluations", "nats"},
                   &TrialRecord::loss_min_nats);
}

void write_derived(TrialTable& table) {
    using metrics::DerivedColumns;
    table.derived({"ce_nomem_nats", "cross-entropy of the text without memory, summed", "nats"},
                  &DerivedColumns::ce_nomem_nats);
    table.derived({"ce_nats", "cross-entropy of the scored tokens at best_evaluation, summed", "nats"},
                  &DerivedColumns::ce_nats);
    table.derived({"information_gain_nats", "(loss_nomem_nats - loss_min_nats) * length", "nats"},
                  &DerivedColumns::information_gain_nats);
    table.derived({"token_gain", "(accuracy - accuracy_nomem) * length", "tokens"},
                  &DerivedColumns::token_gain);
}

void write_circumstances(TrialTable& table) {
    table.measured(
        {"elapsed_s", "time in a slot; slots of a rank run side by side, so these do not add up", "s"},
        &TrialRecord::elapsed_s);
    table.measured({"rank", "rank that computed it", ""}, &TrialRecord::rank);
    const auto text = [&table](const ColumnLabel& label, std::string TrialRecord::*field) {
        table.texts(label,
                    [field](const ContentRow& row) { return std::string_view(row.stored->record.*field); });
    };
    text({"host", "host that computed it", ""}, &TrialRecord::host);
    text({"device", "device that computed it", ""}, &TrialRecord::device);
    table.measured({"attempt", "number of the attempt that gave this record, from 1", ""},
                   &TrialRecord::attempt);
    text({"finished_utc", "when it ended", ""}, &TrialRecord::finished_utc);
}

}  // namespace

void write_trials(const Handle& file, const ResultContent& content) {
    std::unordered_map<std::string, std::string> families;
    for (const auto& model : content.tables->models) families.emplace(model.name, model.family);
    TrialTable table(file, content.rows);
    write_axes(table, content.rows, families, sources_of(*content.tables));
    write_outcome(table, content.rows);
    write_derived(table);
    write_circumstances(table);
}

}  // namespace memcap::store::detail
