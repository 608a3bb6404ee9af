// What a start puts on record of the segments before it, and what that does to bytes that come later.
#include "memcap/store/journal/segment_ends.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/store/journal/journal_writer.hpp"
#include "memcap/store/journal/run_state.hpp"
#include "store/sample_run.hpp"

namespace memcap::store {
namespace {

using testing::sample_failure;
using testing::sample_record;
using testing::sample_tables;
using testing::TemporaryFolder;

class Ends : public ::testing::Test {
  protected:
    Ends() { folder.create(); }
    RunState read() const { return replay(folder, bulk_files_check(folder), TornTails::keep); }
    JournalWriter start(const Id128& run_id = {1, 2}) const {
        const RunState state = read();
        return JournalWriter::create(folder, run_id,
                                     {.next_bulk = state.last_bulk() + 1, .ends = state.segment_ends()});
    }
    record::TrialRecord numbers(std::size_t row, std::int32_t attempt) const {
        auto record = sample_record(tables.rows[row]);
        record.vector.clear();
        record.curve = {};
        record.attempt = attempt;
        return record;
    }
    std::int32_t attempt_of(const RunState& state, std::size_t row) const {
        const StoredRecord* stored = state.find(tables.rows[row].trial_id);
        return stored == nullptr ? 0 : stored->record.attempt;
    }

    TemporaryFolder place;
    RunFolder folder{place / "run"};
    record::RunTables tables = sample_tables();
};

TEST_F(Ends, SurviveEncoding) {
    const SegmentEnds ends{
        {1, {.size_bytes = 100}}, {7, {.size_bytes = 0}}, {8, {.size_bytes = 5, .on_record = true}}};
    const SegmentEnds decoded = decode_ends(encode(ends));
    ASSERT_EQ(decoded.size(), 2U);
    EXPECT_EQ(decoded.at(1).size_bytes, 100U);
    EXPECT_EQ(decoded.at(7).size_bytes, 0U);
    EXPECT_TRUE(decoded.at(1).on_record);
    const Bytes bytes = encode(ends);
    EXPECT_THROW(decode_ends(std::span(bytes).first(bytes.size() - 1)), TransportError);
}

TEST_F(Ends, OfEachSegmentArePutOnRecordOnce) {
    for (std::size_t row = 0; row < 4; ++row) start().append(numbers(row, 1));
    const SegmentEnds ends = read_ends(folder);
    ASSERT_EQ(ends.size(), 3U);
    for (const auto& [number, end] : ends)
        EXPECT_EQ(end.size_bytes, std::filesystem::file_size(folder.log_segment(number)));
    // The first two have no more than 24 bytes to say.
    const auto size = [&](std::uint32_t number) {
        return std::filesystem::file_size(folder.log_segment(number));
    };
    EXPECT_EQ(size(3), size(4));
    EXPECT_EQ(read().report().unreadable_frames, 0U);
}

TEST_F(Ends, WhatComesLaterAddsResultsAndChangesNone) {
    auto sleeper = start();
    sleeper.append(numbers(0, 1));
    auto writer = start();
    writer.append(numbers(1, 2));
    writer.append(sample_failure(tables.rows[3]));
    sleeper.append(numbers(1, 9));
    sleeper.append(numbers(2, 9));
    sleeper.append(sample_failure(tables.rows[4]));
    sleeper.append(tables);
    const RunState state = read();
    EXPECT_EQ(attempt_of(state, 0), 1);
    EXPECT_EQ(attempt_of(state, 1), 2);
    EXPECT_EQ(attempt_of(state, 2), 9);
    EXPECT_EQ(state.records().size(), 4U);
    EXPECT_TRUE(state.tables().rows.empty());
    EXPECT_EQ(state.report().notes.size(), 1U);
}

TEST_F(Ends, ASegmentThatTheSuccessorDidNotSeeStandsBehindIts) {
    auto writer = start();
    auto sleeper = start();
    sleeper.append(numbers(0, 9));
    writer.append(numbers(0, 2));
    EXPECT_EQ(writer.segment(), 2U);
    EXPECT_EQ(attempt_of(read(), 0), 2);
    start().append(numbers(1, 3));
    EXPECT_EQ(attempt_of(read(), 0), 2);
}

TEST_F(Ends, AFileOfAnotherWriterIsNeverWrittenTo) {
    { std::ofstream(folder.bulk_file(1)) << "theirs"; }
    auto writer = start();
    { std::ofstream(folder.log_segment(1)) << "theirs"; }
    const BulkPlace arrays = writer.append(sample_record(tables.rows[0]));
    EXPECT_EQ(arrays.number, 2U);
    EXPECT_EQ(read_text_file(folder.bulk_file(1)), "theirs");
    EXPECT_EQ(read_text_file(folder.log_segment(1)), "theirs");
}

TEST_F(Ends, NoFileIsMadeByAWriterThatLostTheFolder) {
    auto writer = JournalWriter::create(folder, {1, 2}, {.before_new_file = [] {
                                            throw StoreError("lock", ErrorText{"lost", {}, {}, {}});
                                        }});
    EXPECT_THROW(writer.append(sample_record(tables.rows[0])), StoreError);
    EXPECT_THROW(writer.append(tables), StoreError);
    EXPECT_TRUE(std::filesystem::is_empty(folder.journal()));
}

TEST_F(Ends, OfASegmentThatSomebodyReplacedByAnotherRunsMeanNothing) {
    start().append(numbers(0, 1));
    start().append(numbers(1, 1));
    const TemporaryFolder elsewhere;
    const RunFolder other(elsewhere / "run");
    other.create();
    auto writer = JournalWriter::create(other, {9, 9}, {});
    for (std::size_t row = 2; row < 6; ++row) writer.append(numbers(row, 1));
    std::filesystem::copy_file(other.log_segment(1), folder.log_segment(1),
                               std::filesystem::copy_options::overwrite_existing);
    const RunState state = read();
    EXPECT_EQ(state.records().size(), 5U);
    EXPECT_EQ(state.report().late_bytes, 0U);
}

TEST_F(Ends, DamagedOnesLetEverythingCount) {
    start().append(numbers(0, 1));
    start().append(numbers(1, 1));
    const auto size = std::filesystem::file_size(folder.log_segment(2));
    for (std::uint64_t at = kSegmentHeaderBytes; at < kSegmentHeaderBytes + kFrameHeaderBytes + 12; ++at) {
        std::fstream file(folder.log_segment(2), std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(static_cast<std::streamoff>(at));
        const char former = static_cast<char>(file.get());
        file.seekp(static_cast<std::streamoff>(at));
        file.put(static_cast<char>(former ^ 0x40));
        file.flush();
        EXPECT_EQ(read().records().size(), 2U) << "byte " << at;
        file.seekp(static_cast<std::streamoff>(at));
        file.put(former);
    }
    EXPECT_EQ(std::filesystem::file_size(folder.log_segment(2)), size);
    EXPECT_EQ(read().report().damaged_bytes, 0U);
}

}  // namespace
}  // namespace memcap::store
