// Encoding of records and tables: everything comes back, and damaged bytes are refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "store/sample_run.hpp"

namespace memcap::record {
namespace {

using store::testing::sample_failure;
using store::testing::sample_launch;
using store::testing::sample_record;
using store::testing::sample_tables;

TrialRecord full_record() {
    TrialRecord record = sample_record(sample_tables().rows[5], 3);
    record.finished_utc = "2026-03-01T12:34:56Z";
    record.elapsed_s = 12.25;
    return record;
}

TEST(RecordCodec, GivesBackEveryFieldOfADoneTrial) {
    const TrialRecord record = full_record();
    const TrialRecord copy = decode_record(encode(record));
    EXPECT_EQ(copy.trial_id, record.trial_id);
    EXPECT_EQ(copy.status, TrialStatus::done);
    EXPECT_EQ(copy.scored_tokens, record.scored_tokens);
    EXPECT_EQ(copy.evaluations, record.evaluations);
    EXPECT_EQ(copy.best_evaluation, record.best_evaluation);
    EXPECT_EQ(copy.stop_reason, record.stop_reason);
    EXPECT_EQ(copy.loss_nomem_nats, record.loss_nomem_nats);
    EXPECT_EQ(copy.accuracy_nomem, record.accuracy_nomem);
    EXPECT_EQ(copy.loss_nats, record.loss_nats);
    EXPECT_EQ(copy.accuracy, record.accuracy);
    EXPECT_EQ(copy.correct_tokens, record.correct_tokens);
    EXPECT_EQ(copy.exact, record.exact);
    EXPECT_EQ(copy.loss_min_nats, record.loss_min_nats);
    EXPECT_EQ(copy.elapsed_s, 12.25);
    EXPECT_EQ(copy.rank, 1);
    EXPECT_EQ(copy.host, "n1");
    EXPECT_EQ(copy.device, "cpu");
    EXPECT_EQ(copy.attempt, 3);
    EXPECT_EQ(copy.finished_utc, "2026-03-01T12:34:56Z");
    EXPECT_EQ(copy.vector, record.vector);
    EXPECT_EQ(copy.vector_width, record.vector_width);
    EXPECT_EQ(copy.curve.evaluation, record.curve.evaluation);
    EXPECT_EQ(copy.curve.loss_nats, record.curve.loss_nats);
    EXPECT_EQ(copy.curve.accuracy, record.curve.accuracy);
}

TEST(RecordCodec, AFailureKeepsItsMessageAndHasNoNumbers) {
    const TrialRecord copy =
        decode_record(encode(sample_failure(sample_tables().rows[0], FailureCategory::device_lost)));
    EXPECT_EQ(copy.status, TrialStatus::failed);
    EXPECT_EQ(copy.failure.category, FailureCategory::device_lost);
    EXPECT_EQ(copy.failure.message, "the loss is not finite (evaluation 3) — Übelkeit");
    EXPECT_TRUE(std::isnan(copy.loss_nats));
    EXPECT_TRUE(std::isnan(copy.loss_nomem_nats));
    EXPECT_EQ(copy.evaluations, -1);
}

TEST(RecordCodec, NumbersAloneLeaveOutVectorAndCurve) {
    const TrialRecord record = full_record();
    const TrialRecord copy = decode_record(encode_numbers(record));
    EXPECT_EQ(copy.loss_nats, record.loss_nats);
    EXPECT_TRUE(copy.vector.empty());
    EXPECT_TRUE(copy.curve.evaluation.empty());
}

TEST(RecordCodec, RefusesBytesCutAnywhereAndBytesTooMany) {
    const Bytes bytes = encode(full_record());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_THROW(decode_record(std::span(bytes).first(size)), TransportError) << size;
    }
    Bytes longer = bytes;
    longer.push_back(std::byte{0});
    EXPECT_THROW(decode_record(longer), TransportError);
}

TEST(RecordCodec, RefusesAnotherLayoutAndUnknownEnumerators) {
    Bytes bytes = encode(full_record());
    bytes[0] = std::byte{2};
    EXPECT_THROW(decode_record(bytes), TransportError);
    bytes[0] = std::byte{1};
    bytes[17] = std::byte{9};  // the status, behind the layout and the id
    EXPECT_THROW(decode_record(bytes), TransportError);
}

TEST(RecordCodec, EveryEnumeratorHasItsName) {
    EXPECT_EQ(to_string(TrialStatus::failed), "failed");
    EXPECT_EQ(to_string(StopReason::max_steps), "max_steps");
    EXPECT_EQ(to_string(FailureCategory::device_lost), "device_lost");
}

TEST(TablesCodec, GivesBackEveryTable) {
    RunTables tables = sample_tables();
    tables.corpora.front().drawn_lengths = true;
    tables.protocols.push_back(
        {.name = "hot", .values = {.learning_rate = 0.3, .schedule = Schedule::cosine}});
    const RunTables copy = decode_tables(encode(tables));
    EXPECT_EQ(copy.experiment, "sample");
    EXPECT_EQ(copy.experiment_yaml, tables.experiment_yaml);
    EXPECT_EQ(copy.created_utc, tables.created_utc);
    ASSERT_EQ(copy.rows.size(), tables.rows.size());
    for (std::size_t row = 0; row < tables.rows.size(); ++row) {
        EXPECT_EQ(copy.rows[row].axes, tables.rows[row].axes);
        EXPECT_EQ(copy.rows[row].trial_id, tables.rows[row].trial_id);
        EXPECT_EQ(copy.rows[row].scored_tokens, tables.rows[row].scored_tokens);
        EXPECT_EQ(copy.rows[row].token_table, tables.rows[row].token_table);
        EXPECT_EQ(copy.rows[row].token_sample, tables.rows[row].token_sample);
    }
    EXPECT_EQ(copy.skipped.at(0).reason, "memory_vectors 2 > length 1");
    EXPECT_EQ(copy.models.at(1).weights_sha256, tables.models.at(1).weights_sha256);
    EXPECT_EQ(copy.models.at(1).parameters, 123456);
    EXPECT_EQ(copy.models.at(1).vocabulary_size, 1024);
    EXPECT_EQ(copy.models.at(1).ignored_config_keys, "internal_version");
    EXPECT_EQ(copy.models.at(1).unread_weights, "1: lm_head.bias");
    EXPECT_TRUE(copy.corpora.at(0).drawn_lengths);
    EXPECT_EQ(copy.corpora.at(0).sentences, "rule");
    EXPECT_EQ(copy.corpora.at(0).joined, "space");
    EXPECT_EQ(copy.corpora.at(0).opened, "always");
    ASSERT_EQ(copy.samples.size(), 4U);
    EXPECT_EQ(copy.samples[2].corpus, "essays");
    EXPECT_EQ(copy.samples[2].sample, 2);
    EXPECT_EQ(copy.samples[2].source, "2.txt");
    EXPECT_EQ(copy.protocols.at(1).values, tables.protocols.at(1).values);
    EXPECT_EQ(copy.launches.at(0).argv, "memcap run täst.yaml");
    EXPECT_EQ(copy.launches.at(0).ranks, 2);
    EXPECT_EQ(copy.launches.at(0).weights, "[]");
}

TEST(LaunchCodec, ReadsTheLayoutBefore) {
    LaunchRow launch;
    launch.argv = "memcap run old.yaml";
    launch.restart_count = 3;
    Bytes bytes = encode(launch);
    // Layout 1 ended before the weights, here an empty text of length 0.
    bytes.front() = std::byte{1};
    bytes.resize(bytes.size() - sizeof(std::uint64_t));
    const LaunchRow copy = decode_launch(bytes);
    EXPECT_EQ(copy.argv, launch.argv);
    EXPECT_EQ(copy.restart_count, 3);
    EXPECT_EQ(copy.weights, "");
    launch.weights = "[]";
    EXPECT_EQ(decode_launch(encode(launch)).weights, "[]");
    bytes.front() = std::byte{6};
    EXPECT_THROW(decode_launch(bytes), TransportError);
}

TEST(TablesCodec, ReadsTheLayoutBefore) {
    RunTables tables = sample_tables({"ink-64"});
    tables.models.front().ignored_config_keys.clear();
    tables.models.front().unread_weights.clear();
    tables.corpora.front().joined.clear();
    tables.corpora.front().sha256 = "x";
    tables.samples.clear();
    Bytes bytes = encode(tables);
    const auto take_out = [&bytes](const Bytes& before, std::size_t count) {
        const auto found = std::ranges::search(bytes, before);
        ASSERT_FALSE(found.empty());
        bytes.erase(found.end(), found.end() + static_cast<std::ptrdiff_t>(count));
    };
    // Layout 4 ended a protocol with its scale, where the number of later keys follows now: choices by their
    // numbers, as ever,
    ByteWriter scale;
    scale.number(std::int32_t{0});
    scale.number(std::uint8_t{0});
    scale.number(std::uint8_t{0});
    scale.number(1.0);
    take_out(std::move(scale).bytes(), sizeof(std::uint8_t));
    bytes.front() = std::byte{4};
    EXPECT_EQ(decode_tables(bytes).protocols.at(0).values, tables.protocols.front().values);
    // layout 3 a model with its ignored keys, where an empty text of length 0 follows them now,
    ByteWriter layers;
    layers.number(std::int32_t{512});
    layers.number(std::int32_t{3});
    const Bytes before_texts = std::move(layers).bytes();
    take_out(before_texts, sizeof(std::uint64_t));
    bytes.front() = std::byte{3};
    EXPECT_EQ(decode_tables(bytes).models.at(0).unread_weights, "");
    EXPECT_EQ(decode_tables(bytes).corpora.at(0).sha256, "x");
    // layout 2 with its layers,
    take_out(before_texts, sizeof(std::uint64_t));
    // a corpus with its hash, where an empty `joined` and `opened` follow,
    ByteWriter hash;
    hash.text("x");
    take_out(std::move(hash).bytes(), 2 * sizeof(std::uint64_t) + tables.corpora.front().opened.size());
    // and had no samples.
    bytes.resize(bytes.size() - sizeof(std::uint64_t));
    bytes.front() = std::byte{2};
    const RunTables copy = decode_tables(bytes);
    EXPECT_EQ(copy.models.at(0).layers, 3);
    EXPECT_EQ(copy.models.at(0).ignored_config_keys, "");
    EXPECT_EQ(copy.corpora.at(0).sha256, "x");
    EXPECT_EQ(copy.corpora.at(0).joined, "space") << "halves were joined so";
    EXPECT_EQ(copy.corpora.at(0).opened, "always");
    EXPECT_TRUE(copy.samples.empty());
}

TEST(TablesCodec, RefusesBytesCutAnywhere) {
    RunTables tables = sample_tables({"ink-64"});
    tables.rows.resize(2);
    const Bytes bytes = encode(tables);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_THROW(decode_tables(std::span(bytes).first(size)), TransportError) << size;
    }
}

TEST(TablesCodec, ALaunchStandsAlone) {
    record::LaunchRow launch = sample_launch();
    launch.restart_count = 4;
    const LaunchRow copy = decode_launch(encode(launch));
    EXPECT_EQ(copy.restart_count, 4);
    EXPECT_EQ(copy.job_id, "77");
    EXPECT_EQ(copy.started_utc, launch.started_utc);
}

}  // namespace
}  // namespace memcap::record
