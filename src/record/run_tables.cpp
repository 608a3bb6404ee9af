// Encoding of a run's tables.
#include "memcap/record/run_tables.hpp"

#include "memcap/base/protocol_keys.hpp"

namespace memcap::record {

namespace {

// Since 2 a launch says what its weights cost; since 3 a model, which keys of its config.json were ignored, a
// corpus, how its texts were made, and samples whence they came; since 4 a model, which weights are unread;
// since 5 a protocol, keys that its first table did not have.
constexpr std::uint8_t kLayout = 5;
constexpr std::uint8_t kOldestLayout = 1;

[[noreturn]] void fail(const char* what) {
    throw TransportError({.what = what,
                          .where = {},
                          .why = "it is damaged, or another version of memcap wrote it",
                          .advice = "Use one version of memcap for the whole run folder"});
}

template <class Enum>
Enum read_enumerator(ByteReader& reader, Enum last) {
    const auto value = reader.number<Enum>();
    if (value > last) fail("a run's tables have an unknown precision");
    return value;
}

void write(ByteWriter& writer, const Axes& axes) {
    writer.text(axes.model);
    writer.text(axes.corpus);
    writer.number(axes.sample);
    writer.number(axes.seed);
    writer.number(axes.memory_vectors);
    writer.number(axes.length);
    writer.number(axes.prefix);
    writer.text(axes.protocol);
    writer.number(axes.precision);
}

void read(ByteReader& reader, Axes& axes) {
    axes.model = reader.text();
    axes.corpus = reader.text();
    axes.sample = reader.number<std::int32_t>();
    axes.seed = reader.number<std::uint64_t>();
    axes.memory_vectors = reader.number<std::int32_t>();
    axes.length = reader.number<std::int32_t>();
    axes.prefix = reader.number<std::int32_t>();
    axes.protocol = reader.text();
    axes.precision = read_enumerator(reader, Precision::tf32);
}

void write(ByteWriter& writer, const PlannedRow& row) {
    write(writer, row.axes);
    writer.id(row.trial_id);
    writer.number(row.scored_tokens);
    writer.id(row.token_table);
    writer.number(row.token_sample);
}

void read(ByteReader& reader, PlannedRow& row) {
    read(reader, row.axes);
    row.trial_id = reader.id();
    row.scored_tokens = reader.number<std::int32_t>();
    row.token_table = reader.id();
    row.token_sample = reader.number<std::int32_t>();
}

void write(ByteWriter& writer, const SkippedRow& row) {
    write(writer, row.axes);
    writer.text(row.reason);
}

void read(ByteReader& reader, SkippedRow& row) {
    read(reader, row.axes);
    row.reason = reader.text();
}

void write(ByteWriter& writer, const ModelRow& row) {
    for (const auto* text : {&row.name, &row.family, &row.path, &row.config_sha256, &row.weights_sha256}) {
        writer.text(*text);
    }
    writer.number(row.parameters);
    writer.number(row.memory_width);
    writer.number(row.vocabulary_size);
    writer.number(row.context_tokens);
    writer.number(row.layers);
    writer.text(row.ignored_config_keys);
    writer.text(row.unread_weights);
}

void read(ByteReader& reader, ModelRow& row, std::uint8_t layout) {
    for (auto* text : {&row.name, &row.family, &row.path, &row.config_sha256, &row.weights_sha256}) {
        *text = reader.text();
    }
    row.parameters = reader.number<std::int64_t>();
    row.memory_width = reader.number<std::int32_t>();
    row.vocabulary_size = reader.number<std::int64_t>();
    row.context_tokens = reader.number<std::int32_t>();
    row.layers = reader.number<std::int32_t>();
    if (layout >= 3) row.ignored_config_keys = reader.text();
    if (layout >= 4) row.unread_weights = reader.text();
}

void write(ByteWriter& writer, const CorpusRow& row) {
    for (const auto* text : {&row.name, &row.kind, &row.path, &row.part, &row.sentences}) writer.text(*text);
    writer.number(row.samples);
    writer.number(static_cast<std::uint8_t>(row.drawn_lengths));
    for (const auto* text : {&row.sha256, &row.joined, &row.opened}) writer.text(*text);
}

void read(ByteReader& reader, CorpusRow& row, std::uint8_t layout) {
    for (auto* text : {&row.name, &row.kind, &row.path, &row.part, &row.sentences}) *text = reader.text();
    row.samples = reader.number<std::int32_t>();
    row.drawn_lengths = reader.number<std::uint8_t>() != 0;
    row.sha256 = reader.text();
    if (layout >= 3) {
        row.joined = reader.text();
        row.opened = reader.text();
    } else if (row.part != "all" && row.kind != "random_words") {
        row.joined = "space";
    }
}

void write(ByteWriter& writer, const SampleRow& row) {
    writer.text(row.corpus);
    writer.number(row.sample);
    writer.text(row.source);
}

void read(ByteReader& reader, SampleRow& row) {
    row.corpus = reader.text();
    row.sample = reader.number<std::int32_t>();
    row.source = reader.text();
}

void write(ByteWriter& writer, const ProtocolRow& row) {
    writer.text(row.name);
    memcap::write(writer, row.values);
}

void read(ByteReader& reader, ProtocolRow& row, std::uint8_t layout) {
    row.name = reader.text();
    if (layout >= 5) {
        memcap::read(reader, row.values);
    } else {
        read_first_keys(reader, row.values);
    }
}

void write(ByteWriter& writer, const LaunchRow& row) {
    for (const auto* text : {&row.started_utc, &row.ended_utc, &row.argv, &row.memcap_version,
                             &row.git_revision, &row.versions, &row.hosts, &row.devices, &row.job_id}) {
        writer.text(*text);
    }
    writer.number(row.ranks);
    writer.number(row.restart_count);
    writer.text(row.weights);
}

void read(ByteReader& reader, LaunchRow& row, std::uint8_t layout) {
    for (auto* text : {&row.started_utc, &row.ended_utc, &row.argv, &row.memcap_version, &row.git_revision,
                       &row.versions, &row.hosts, &row.devices, &row.job_id}) {
        *text = reader.text();
    }
    row.ranks = reader.number<std::int32_t>();
    row.restart_count = reader.number<std::int32_t>();
    if (layout >= 2) row.weights = reader.text();
}

template <class Row>
void write_rows(ByteWriter& writer, const std::vector<Row>& rows) {
    writer.number(static_cast<std::uint64_t>(rows.size()));
    for (const Row& row : rows) write(writer, row);
}

template <class Row, class... Layout>
void read_rows(ByteReader& reader, std::vector<Row>& rows, Layout... layout) {
    const auto count = reader.number<std::uint64_t>();
    // Grown row by row: a damaged count must not reserve the memory of the machine.
    for (std::uint64_t i = 0; i < count; ++i) read(reader, rows.emplace_back(), layout...);
}

std::uint8_t read_layout(ByteReader& reader) {
    const auto layout = reader.number<std::uint8_t>();
    if (layout < kOldestLayout || layout > kLayout)
        fail("a run's tables have a layout that this memcap does not read");
    return layout;
}

}  // namespace

Bytes encode(const RunTables& tables) {
    ByteWriter writer;
    writer.number(kLayout);
    writer.text(tables.experiment);
    writer.text(tables.experiment_yaml);
    writer.text(tables.created_utc);
    write_rows(writer, tables.rows);
    write_rows(writer, tables.skipped);
    write_rows(writer, tables.models);
    write_rows(writer, tables.corpora);
    write_rows(writer, tables.protocols);
    write_rows(writer, tables.launches);
    write_rows(writer, tables.samples);
    return std::move(writer).bytes();
}

RunTables decode_tables(std::span<const std::byte> bytes) {
    ByteReader reader(bytes);
    const std::uint8_t layout = read_layout(reader);
    RunTables tables;
    tables.experiment = reader.text();
    tables.experiment_yaml = reader.text();
    tables.created_utc = reader.text();
    read_rows(reader, tables.rows);
    read_rows(reader, tables.skipped);
    read_rows(reader, tables.models, layout);
    read_rows(reader, tables.corpora, layout);
    read_rows(reader, tables.protocols, layout);
    read_rows(reader, tables.launches, layout);
    if (layout >= 3) read_rows(reader, tables.samples);
    reader.expect_end();
    return tables;
}

Bytes encode(const LaunchRow& launch) {
    ByteWriter writer;
    writer.number(kLayout);
    write(writer, launch);
    return std::move(writer).bytes();
}

LaunchRow decode_launch(std::span<const std::byte> bytes) {
    ByteReader reader(bytes);
    const std::uint8_t layout = read_layout(reader);
    LaunchRow launch;
    read(reader, launch, layout);
    reader.expect_end();
    return launch;
}

}  // namespace memcap::record
