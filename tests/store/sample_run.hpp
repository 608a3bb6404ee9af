// A small experiment with known numbers: plans, tokens and records for the tests of the store.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "memcap/base/hash.hpp"
#include "memcap/record/run_tables.hpp"
#include "memcap/record/trial_record.hpp"
#include "memcap/store/journal/token_cache.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::store::testing {

inline constexpr std::int32_t kWidth = 6;  ///< E

inline Id128 id_of(const std::string& text) {
    return hash128(std::as_bytes(std::span(text)));
}

/// Tokens of sample s: text 1000 s + 0, 1, 2, ...; prefix 1000 s + 500, 501, ... Sample 3 is opened by its
/// first token, which leads a prefix too; sample 2 by its first two, which leave it where a prefix stands.
inline std::vector<TokenSample> sample_tokens() {
    std::vector<TokenSample> samples(4);
    for (std::int32_t sample = 0; sample < 4; ++sample) {
        auto& tokens = samples[static_cast<std::size_t>(sample)];
        for (std::int32_t token = 0; token < 40; ++token) tokens.text.push_back(1000 * sample + token);
        for (std::int32_t token = 0; token < 20; ++token)
            tokens.prefix.push_back(1000 * sample + 500 + token);
    }
    samples[3].opening = 1;
    samples[3].lead = {3000};
    samples[3].source = "3.txt";
    samples[2].opening = 2;
    return samples;
}

inline record::LaunchRow sample_launch(const std::string& started_utc = "2026-03-01T12:00:00Z") {
    return {.started_utc = started_utc,
            .ended_utc = "",
            .argv = "memcap run täst.yaml",
            .memcap_version = "0.1.0",
            .git_revision = "abc",
            .versions = "{\"hdf5\": \"1.10.8\"}",
            .hosts = "n1,n2",
            .devices = "cpu",
            .ranks = 2,
            .job_id = "77",
            .restart_count = 0,
            .weights = "[]"};
}

inline Id128 trial_of(const Axes& axes) {
    // The protocol's name is no part of a trial's identity: "paper" and "same" stand for equal values.
    return id_of(axes.model + axes.corpus + std::to_string(axes.sample) + "/" + std::to_string(axes.seed) +
                 "/" + std::to_string(axes.memory_vectors) + "/" + std::to_string(axes.length) + "/" +
                 std::to_string(axes.prefix));
}

/// Rows: 2 models x 4 samples x K in {1, 2} x N in {8, 16, 32} x prefix in {0, 4}, in plan order.
inline record::RunTables sample_tables(const std::vector<std::string>& models = {"ink-64", "größe"}) {
    record::RunTables tables;
    tables.experiment = "sample";
    tables.experiment_yaml = "experiment: sample\n# häßlich\n";
    tables.created_utc = "2026-03-01T12:00:00Z";
    for (const auto& model : models) {
        tables.models.push_back({.name = model,
                                 .family = "llama",
                                 .path = "/models/" + model,
                                 .config_sha256 = std::string(64, 'c'),
                                 .weights_sha256 = sha256_hex(std::as_bytes(std::span(model))),
                                 .parameters = 123456,
                                 .memory_width = kWidth,
                                 .vocabulary_size = 1024,
                                 .context_tokens = 512,
                                 .layers = 3,
                                 .ignored_config_keys = "internal_version",
                                 .unread_weights = "1: lm_head.bias"});
        for (std::int32_t sample = 0; sample < 4; ++sample) {
            for (const std::int32_t vectors : {1, 2}) {
                for (const std::int32_t length : {8, 16, 32}) {
                    for (const std::int32_t prefix : {0, 4}) {
                        record::PlannedRow row;
                        row.axes = {.model = model,
                                    .corpus = "essays",
                                    .sample = sample,
                                    .seed = 7,
                                    .memory_vectors = vectors,
                                    .length = length,
                                    .prefix = prefix,
                                    .protocol = "paper",
                                    .precision = Precision::float32};
                        row.trial_id = trial_of(row.axes);
                        row.scored_tokens = length - 1;
                        row.token_table = id_of("tokens");
                        row.token_sample = sample;
                        tables.rows.push_back(row);
                    }
                }
            }
        }
    }
    tables.corpora.push_back({.name = "essays",
                              .kind = "text",
                              .path = "texts/essays",
                              .part = "second_half",
                              .sentences = "rule",
                              .samples = 4,
                              .drawn_lengths = false,
                              .sha256 = std::string(64, 'e'),
                              .joined = "space"});
    for (std::int32_t sample = 0; sample < 4; ++sample)
        tables.samples.push_back({"essays", sample, std::to_string(sample) + ".txt"});
    tables.protocols.push_back({.name = "paper", .values = {}});
    record::SkippedRow skipped;
    skipped.axes = {.model = models.front(), .corpus = "essays", .length = 1, .protocol = "paper"};
    skipped.axes.memory_vectors = 2;
    skipped.reason = "memory_vectors 2 > length 1";
    tables.skipped.push_back(skipped);
    tables.launches.push_back(sample_launch());
    return tables;
}

/// A record whose numbers follow from the row; vectors and curves have elements that name their trial.
inline record::TrialRecord sample_record(const record::PlannedRow& row, std::int32_t attempt = 1) {
    const Axes& axes = row.axes;
    record::TrialRecord record;
    record.trial_id = row.trial_id;
    record.scored_tokens = row.scored_tokens;
    record.evaluations = 100 + axes.length;
    record.best_evaluation = 50 + axes.sample;
    record.correct_tokens =
        axes.length <= 8 * axes.memory_vectors ? row.scored_tokens : row.scored_tokens / 2;
    record.exact = record.correct_tokens == row.scored_tokens;
    record.stop_reason = record.exact ? record::StopReason::solved : record::StopReason::max_steps;
    record.accuracy = static_cast<double>(record.correct_tokens) / row.scored_tokens;
    record.loss_nomem_nats = 4.0 + 0.1 * axes.sample;
    record.accuracy_nomem = 0.125;
    record.loss_nats = 0.5 + 0.01 * axes.length;
    record.loss_min_nats = 0.25 + 0.01 * axes.length;
    record.elapsed_s = 1.5;
    record.rank = 1;
    record.host = "n1";
    record.device = "cpu";
    record.attempt = attempt;
    record.finished_utc = "2026-03-01T12:05:00Z";
    record.vector_width = kWidth;
    const auto mark = static_cast<float>(row.trial_id.low % 1000003);
    for (std::int32_t i = 0; i < axes.memory_vectors * kWidth; ++i)
        record.vector.push_back(mark + 0.25F * static_cast<float>(i));
    for (std::int32_t point = 1; point <= 5 + axes.sample; ++point) {
        record.curve.evaluation.push_back(10 * point);
        record.curve.loss_nats.push_back(mark / static_cast<float>(point));
        record.curve.accuracy.push_back(0.1F * static_cast<float>(point));
    }
    return record;
}

inline record::TrialRecord sample_failure(
    const record::PlannedRow& row, record::FailureCategory category = record::FailureCategory::permanent) {
    record::TrialRecord record;
    record.trial_id = row.trial_id;
    record.status = record::TrialStatus::failed;
    record.failure = {.category = category, .message = "the loss is not finite (evaluation 3) — Übelkeit"};
    record.finished_utc = "2026-03-01T12:04:00Z";
    return record;
}

/// The text of a row's trial: behind a prefix it begins after what opens the sample.
inline std::vector<std::int32_t> expected_text(const Axes& axes) {
    const TokenSample sample = sample_tokens()[static_cast<std::size_t>(axes.sample)];
    const auto begin = sample.text.begin() + (axes.prefix > 0 ? sample.opening : 0);
    return {begin, begin + axes.length};
}

/// The prefix of a row's trial: what leads it, and the last tokens before the text.
inline std::vector<std::int32_t> expected_prefix(const Axes& axes) {
    const TokenSample sample = sample_tokens()[static_cast<std::size_t>(axes.sample)];
    if (axes.prefix == 0) return {};
    std::vector<std::int32_t> prefix = sample.lead;
    prefix.insert(prefix.end(),
                  sample.prefix.end() - (axes.prefix - static_cast<std::int32_t>(sample.lead.size())),
                  sample.prefix.end());
    return prefix;
}

/// The vectors segments of a run, in the order of their numbers.
inline std::vector<std::filesystem::path> segments_of(const std::filesystem::path& root) {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(root / "vectors"))
        paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    return paths;
}

using memcap::test::TemporaryFolder;

}  // namespace memcap::store::testing
