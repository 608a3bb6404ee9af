// The tables of a run beside its trials' results: what was planned, with what, where and when.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "memcap/base/axes.hpp"
#include "memcap/base/bytes.hpp"
#include "memcap/base/ids.hpp"

namespace memcap::record {

/// One planned row: the axes, the trial that answers them, and where its tokens lie.
struct PlannedRow {
    Axes axes;
    Id128 trial_id;
    std::int32_t scored_tokens = 0;
    Id128 token_table;  ///< names the file in tokens/
    std::int32_t token_sample =
        0;  ///< the sample's place in that file; the trial has its first `length` tokens
};

struct SkippedRow {
    Axes axes;
    std::string reason;
};

struct ModelRow {
    std::string name;
    std::string family;
    std::string path;
    std::string config_sha256;
    std::string weights_sha256;
    std::int64_t parameters = 0;
    std::int32_t memory_width = 0;  ///< E
    std::int64_t vocabulary_size = 0;
    std::int32_t context_tokens = 0;
    std::int32_t layers = 0;
    std::string ignored_config_keys;  ///< comma-separated
    std::string unread_weights;       ///< how many tensors no layer reads, and the first names
};

struct CorpusRow {
    std::string name;
    std::string kind;
    std::string path;
    std::string part;
    std::string sentences;  ///< splitting rule: rule or punkt
    std::int32_t samples = 0;
    bool drawn_lengths = false;  ///< random text whose N is drawn for each sample
    std::string sha256;          ///< of the corpus file(s) or word list
    std::string joined;  ///< what stands between sentences: as_written or space; empty for whole texts
    std::string opened = "always";  ///< which inputs begin with what the tokenizer puts before a text
};

/// Where a sample came from.
struct SampleRow {
    std::string corpus;
    std::int32_t sample = 0;
    std::string source;  ///< file in the corpus, of a table with the line
};

struct ProtocolRow {
    std::string name;
    Protocol values;
};

/// One start of `memcap run` on this run folder.
struct LaunchRow {
    std::string started_utc;
    std::string ended_utc;  ///< empty if it never ended cleanly
    std::string argv;
    std::string memcap_version;
    std::string git_revision;
    std::string versions;  ///< JSON: libraries, tokenizer helper, compiler
    std::string hosts;     ///< comma-separated
    std::string devices;   ///< comma-separated
    std::int32_t ranks = 1;
    std::string job_id;
    std::int32_t restart_count = 0;
    std::string weights;  ///< JSON: per model how ranks came by its weights, with bytes and times
};

/// Everything that the result file says about a run except the trials' records.
struct RunTables {
    std::string experiment;
    std::string experiment_yaml;  ///< resolved
    std::string created_utc;
    std::vector<PlannedRow> rows;
    std::vector<SkippedRow> skipped;
    std::vector<ModelRow> models;
    std::vector<CorpusRow> corpora;
    std::vector<SampleRow> samples;  ///< of corpora that are read from files
    std::vector<ProtocolRow> protocols;
    std::vector<LaunchRow> launches;
};

Bytes encode(const RunTables& tables);
Bytes encode(const LaunchRow& launch);
/// Throws TransportError if the bytes are damaged.
LaunchRow decode_launch(std::span<const std::byte> bytes);
/// Throws TransportError if the bytes are damaged.
RunTables decode_tables(std::span<const std::byte> bytes);

}  // namespace memcap::record
