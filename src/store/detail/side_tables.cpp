// Columns of the tables beside /trials.
#include "store/detail/side_tables.hpp"

#include "memcap/base/protocol_keys.hpp"
#include "store/detail/table_columns.hpp"

namespace memcap::store::detail {

namespace {

/// A getter of one field, for const and for mutable rows.
template <class Row, class Field>
auto field(Field Row::*member) {
    return [member](auto& row) -> auto& {
        return row.*member;
    };
}
template <class Row, class Part, class Field>
auto field(Part Row::*part, Field Part::*member) {
    return [ part, member ](auto& row) -> auto& {
        return (row.*part).*member;
    };
}

template <class Table>
void skipped_columns(Table& table) {
    using record::SkippedRow;
    const auto axis = [](auto member) { return field(&SkippedRow::axes, member); };
    table.text({"model", "model", ""}, axis(&Axes::model));
    table.text({"corpus", "corpus", ""}, axis(&Axes::corpus));
    table.number({"sample", "number of the sample in its corpus, from 0", ""}, axis(&Axes::sample));
    table.number({"seed", "seed of the initial memory", ""}, axis(&Axes::seed));
    table.number({"memory_vectors", "memory vectors, K", ""}, axis(&Axes::memory_vectors));
    table.number({"length", "tokens in the text, N", "tokens"}, axis(&Axes::length));
    table.number({"prefix", "visible, unscored tokens between memory and text", "tokens"},
                 axis(&Axes::prefix));
    table.text({"protocol", "name of the protocol", ""}, axis(&Axes::protocol));
    table.enumerator({"precision", "in what the frozen model computes", ""}, axis(&Axes::precision),
                     parse_precision);
    table.text({"reason", "why there is no such trial", ""}, field(&SkippedRow::reason));
}

template <class Table>
void statistics_columns(Table& table) {
    using Row = metrics::StatisticsRow;
    table.text({"model", "model", ""}, field(&Row::model));
    table.text({"corpus", "corpus", ""}, field(&Row::corpus));
    table.number({"memory_vectors", "memory vectors, K", ""}, field(&Row::memory_vectors));
    table.number({"prefix", "visible, unscored tokens between memory and text", "tokens"},
                 field(&Row::prefix));
    table.text({"protocol", "name of the protocol", ""}, field(&Row::protocol));
    table.enumerator({"precision", "in what the frozen model computes", ""}, field(&Row::precision),
                     parse_precision);
    table.number({"trials", "trials with a record, failed ones included", ""}, field(&Row::trials));
    table.number({"failed", "failed trials, left out of all columns that follow", ""}, field(&Row::failed));
    table.newer_number({"open", "trials still to run: until there are none the capacities are not known", ""},
                       field(&Row::open));
    table.number(
        {"capacity_tokens",
         "largest length whose mean accuracy is at least 0.99; 0: none; -1: trials are open", "tokens"},
        field(&Row::capacity_tokens));
    table.number({"capacity_exact_tokens",
                  "largest length of which all trials are exact; 0: none; -1: trials are open", "tokens"},
                 field(&Row::capacity_exact_tokens));
    table.flag({"capacity_cut", "1: the largest length of the grid still passes", ""},
               field(&Row::capacity_cut));
    table.number({"token_gain_mean", "mean token gain of the trials with accuracy <= 0.99", "tokens"},
                 field(&Row::token_gain_mean));
    table.number({"token_gain_std", "its standard deviation over trials (ddof 1)", "tokens"},
                 field(&Row::token_gain_std));
    table.number(
        {"information_gain_nats_mean", "mean information gain of the trials with accuracy <= 0.99", "nats"},
        field(&Row::information_gain_nats_mean));
    table.number({"information_gain_nats_std", "its standard deviation over trials (ddof 1)", "nats"},
                 field(&Row::information_gain_nats_std));
    table.number({"ce_threshold_nats", "largest ce_nomem_nats among trials with accuracy >= 0.99", "nats"},
                 field(&Row::ce_threshold_nats));
    table.number({"ce_residual_threshold_nats", "largest loss_min_nats * length among them", "nats"},
                 field(&Row::ce_residual_threshold_nats));
    table.number(
        {"ce_offset_nats", "mean of ce_nomem_nats - loss_min_nats * scored_tokens, accuracy < 0.99", "nats"},
        field(&Row::ce_offset_nats));
    table.number({"theoretical_capacity_tokens", "K * E * 16 / log2(V)", "tokens"},
                 field(&Row::theoretical_capacity_tokens));
    table.number({"utilisation", "token_gain_mean / theoretical_capacity_tokens", ""},
                 field(&Row::utilisation));
}

template <class Table>
void model_columns(Table& table) {
    using Row = record::ModelRow;
    table.text({"name", "name in the experiment file", ""}, field(&Row::name));
    table.text({"family", "family of the model", ""}, field(&Row::family));
    table.text({"path", "folder it was read from", ""}, field(&Row::path));
    table.text({"config_sha256", "SHA-256 of config.json", ""}, field(&Row::config_sha256));
    table.text({"weights_sha256", "SHA-256 of the weight files", ""}, field(&Row::weights_sha256));
    table.number({"parameters", "parameters", ""}, field(&Row::parameters));
    table.number({"memory_width", "numbers in a memory vector, E", ""}, field(&Row::memory_width));
    table.number({"vocabulary_size", "vocabulary of the model's config, V", ""},
                 field(&Row::vocabulary_size));
    table.number({"context_tokens", "longest input", "tokens"}, field(&Row::context_tokens));
    table.number({"layers", "layers", ""}, field(&Row::layers));
    table.newer_text(
        {"ignored_config_keys", "keys of config.json that mean nothing to transformers or memcap", ""},
        field(&Row::ignored_config_keys));
    table.newer_text(
        {"unread_weights", "weight tensors that no layer reads: how many, and the first of their names", ""},
        field(&Row::unread_weights));
}

template <class Table>
void corpus_columns(Table& table) {
    using Row = record::CorpusRow;
    table.text({"name", "name in the experiment file", ""}, field(&Row::name));
    table.text({"kind", "text, csv, jsonl or random_words", ""}, field(&Row::kind));
    table.text({"path", "file or folder it was read from", ""}, field(&Row::path));
    table.text({"part", "part of each text that is compressed", ""}, field(&Row::part));
    table.text({"sentences", "rule that split the texts", ""}, field(&Row::sentences));
    table.number({"samples", "samples", ""}, field(&Row::samples));
    table.flag({"drawn_lengths", "1: each sample has a drawn length of its own", ""},
               field(&Row::drawn_lengths));
    table.text({"sha256", "SHA-256 of its files", ""}, field(&Row::sha256));
    table.newer_text({"joined", "what stands between the sentences of a text: as_written or space", ""},
                     field(&Row::joined));
    table.newer_text({"opened", "which inputs begin with what the tokenizer puts before a text", ""},
                     field(&Row::opened));
}

/// Members of a row's protocol by what kind of field they are.
template <class Table>
void protocol_column(Table& table, const ProtocolKey& key, const ProtocolField& of) {
    using Row = record::ProtocolRow;
    const auto value = [](auto member) { return field(&Row::values, member); };
    const ColumnLabel label{std::string(of.column), std::string(of.meaning), ""};
    const bool is_newer = key.rule > 1;
    if (const auto* number = std::get_if<NumberField>(&of.value)) {
        is_newer ? table.newer_number(label, value(number->member))
                 : table.number(label, value(number->member));
    } else if (const auto* count = std::get_if<CountField>(&of.value)) {
        is_newer ? table.newer_number(label, value(count->member))
                 : table.number(label, value(count->member));
    } else if (const auto* pair = std::get_if<PairField>(&of.value)) {
        table.pair(label, value(pair->first), value(pair->second));
    } else {
        table.choice(label, std::get<ChoiceField>(of.value), field(&Row::values));
    }
}

template <class Table>
void protocol_columns(Table& table) {
    table.text({"name", "name in the experiment file", ""}, field(&record::ProtocolRow::name));
    for (const ProtocolKey& key : protocol_keys()) {
        for (const ProtocolField& of : key.fields) protocol_column(table, key, of);
    }
}

template <class Table>
void launch_columns(Table& table) {
    using Row = record::LaunchRow;
    table.text({"started_utc", "start", ""}, field(&Row::started_utc));
    table.text({"ended_utc", "end; empty if it was killed or still runs", ""}, field(&Row::ended_utc));
    table.text({"argv", "command line", ""}, field(&Row::argv));
    table.text({"memcap_version", "version of memcap", ""}, field(&Row::memcap_version));
    table.text({"git_revision", "revision it was built from", ""}, field(&Row::git_revision));
    table.text({"hosts", "hosts", ""}, field(&Row::hosts));
    table.text({"devices", "devices", ""}, field(&Row::devices));
    table.number({"ranks", "ranks", ""}, field(&Row::ranks));
    table.text({"job_id", "job of the batch system", ""}, field(&Row::job_id));
    table.number({"restart_count", "restarts of that job", ""}, field(&Row::restart_count));
    table.text({"versions", "libraries and compiler, JSON", ""}, field(&Row::versions));
    table.newer_text({"weights", "how ranks came by the weights, with times, JSON", ""},
                     field(&Row::weights));
}

}  // namespace

void write_side_tables(const Handle& file, const record::RunTables& tables,
                       const std::vector<metrics::StatisticsRow>& statistics) {
    const Dimension moments(file, "moment", 2);
    const auto write = [&moments](const Handle& parent, const char* name, const char* dimension,
                                  const auto& rows, auto columns) {
        TableWriter table(parent, name, dimension, moments, rows);
        columns(table);
    };
    write(file, "skipped", "skipped_trial", tables.skipped, [](auto& table) { skipped_columns(table); });
    write(file, "statistics", "cell", statistics, [](auto& table) { statistics_columns(table); });
    write(file, "models", "model", tables.models, [](auto& table) { model_columns(table); });
    write(file, "corpora", "corpus", tables.corpora, [](auto& table) { corpus_columns(table); });
    write(file, "protocols", "protocol", tables.protocols, [](auto& table) { protocol_columns(table); });
    const Handle provenance = create_group(file, "provenance");
    write_text(provenance, {"experiment_yaml", "the experiment file, resolved", ""}, tables.experiment_yaml);
    write(provenance, "launches", "launch", tables.launches, [](auto& table) { launch_columns(table); });
}

record::RunTables read_side_tables(const Handle& file) {
    record::RunTables tables;
    const auto read = [&file](const char* name, auto& rows, auto columns) {
        TableReader table(file, name, rows);
        columns(table);
    };
    read("skipped", tables.skipped, [](auto& table) { skipped_columns(table); });
    read("models", tables.models, [](auto& table) { model_columns(table); });
    read("corpora", tables.corpora, [](auto& table) { corpus_columns(table); });
    read("protocols", tables.protocols, [](auto& table) { protocol_columns(table); });
    read("provenance/launches", tables.launches, [](auto& table) { launch_columns(table); });
    const auto yaml = read_text_column(file, "provenance/experiment_yaml");
    if (!yaml.empty()) tables.experiment_yaml = yaml.front();
    return tables;
}

std::vector<metrics::StatisticsRow> read_statistics(const Handle& file) {
    std::vector<metrics::StatisticsRow> rows;
    TableReader table(file, "statistics", rows);
    statistics_columns(table);
    return rows;
}

}  // namespace memcap::store::detail
