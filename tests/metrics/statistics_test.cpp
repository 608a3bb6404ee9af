// Statistics of cells against numbers by hand and against numpy and SciPy (make_fixture.py).
#include "memcap/metrics/statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "memcap/metrics/cross_entropy.hpp"
#include "memcap/metrics/gains.hpp"
#include "memcap/metrics/theoretical_capacity.hpp"
#include "metrics/cell.hpp"

namespace memcap::metrics {
namespace {

using testing::Cell;

TEST(Gains, AreMeanAndSampleDeviationOfTheUnsolvedTrials) {
    Cell cell;
    cell.add(11, 5, 3.0, 1.0);   // token gain .5 * 11 = 5.5, information 2 * 11 = 22
    cell.add(21, 10, 3.0, 2.0);  // 10.5 and 21
    cell.add(31, 30, 3.0, 0.0);  // solved: left out
    cell.add_failed(41);
    const Gains gain = gains(cell.outcomes());
    EXPECT_DOUBLE_EQ(gain.tokens.mean, 8.0);
    EXPECT_DOUBLE_EQ(gain.tokens.standard_deviation, std::sqrt(2 * 2.5 * 2.5));
    EXPECT_DOUBLE_EQ(gain.information_nats.mean, 21.5);
    EXPECT_DOUBLE_EQ(gain.information_nats.standard_deviation, std::sqrt(0.5));
}

TEST(Gains, CountATrialExactlyOnTheLimit) {
    Cell cell;
    cell.add(101, 99);
    EXPECT_NEAR(gains(cell.outcomes()).tokens.mean, 0.99 * 101, 1e-12);
}

TEST(Gains, OfNoneAreNaNAndOfOneHaveNoDeviation) {
    Cell cell;
    EXPECT_TRUE(std::isnan(gains(cell.outcomes()).tokens.mean));
    cell.add(11, 5);
    EXPECT_FALSE(std::isnan(gains(cell.outcomes()).tokens.mean));
    EXPECT_TRUE(std::isnan(gains(cell.outcomes()).tokens.standard_deviation));
}

TEST(CrossEntropyLines, TakeThresholdsFromDecodedAndOffsetFromOtherTrials) {
    Cell cell;
    cell.add(11, 10, 5.0, 0.01);  // decoded: ce_nomem 50, residual .11
    cell.add(21, 20, 3.0, 0.02);  // decoded: ce_nomem 60, residual .42
    cell.add(31, 15, 4.0, 1.0);   // offset 120 - 30 = 90
    cell.add(41, 10, 4.0, 3.0);   // offset 160 - 120 = 40
    const CrossEntropyLines lines = cross_entropy_lines(cell.outcomes());
    EXPECT_DOUBLE_EQ(lines.threshold, 60.0);
    EXPECT_DOUBLE_EQ(lines.residual_threshold, 0.42);
    EXPECT_DOUBLE_EQ(lines.offset, 65.0);
}

TEST(CrossEntropyLines, AreNaNWithoutTrials) {
    Cell cell;
    cell.add_failed(8);
    const CrossEntropyLines lines = cross_entropy_lines(cell.outcomes());
    EXPECT_TRUE(std::isnan(lines.threshold));
    EXPECT_TRUE(std::isnan(lines.residual_threshold));
    EXPECT_TRUE(std::isnan(lines.offset));
}

TEST(TheoreticalCapacity, IsThePapers) {
    // Published, rounded to tokens (arXiv 2502.13063, section 3): Pythia-160M, OPT-1.3B, Llama-3.2-1B
    // and 3.1-8B, with width and vocabulary of their config.json.
    EXPECT_NEAR(theoretical_capacity_tokens(1, 768, 50304), 787, 0.5);
    EXPECT_NEAR(theoretical_capacity_tokens(1, 2048, 50272), 2098, 0.5);
    EXPECT_NEAR(theoretical_capacity_tokens(1, 2048, 128256), 1931, 0.5);
    EXPECT_NEAR(theoretical_capacity_tokens(1, 4096, 128256), 3862, 0.5);
    EXPECT_DOUBLE_EQ(theoretical_capacity_tokens(2, 64, 1024), 204.8);
    EXPECT_TRUE(std::isnan(theoretical_capacity_tokens(1, 64, 0)));
}

struct Fixture {
    std::map<std::int32_t, Cell> cells;  ///< by K
    std::map<std::int32_t, std::vector<double>> expected;

    Fixture() {
        std::ifstream file(MEMCAP_TEST_SOURCE_DIR "/tests/metrics/statistics_fixture.csv");
        for (std::string line; std::getline(file, line);) add(line);
    }
    void add(const std::string& line) {
        std::istringstream fields(line);
        std::string kind;
        std::getline(fields, kind, ',');
        std::vector<double> values;
        for (std::string field; std::getline(fields, field, ',');) values.push_back(std::stod(field));
        const auto memory_vectors = static_cast<std::int32_t>(values.at(0));
        if (kind == "statistics") {
            expected[memory_vectors].assign(values.begin() + 1, values.end());
            return;
        }
        Cell& cell = cells[memory_vectors];
        auto& record = cell.add(static_cast<std::int32_t>(values.at(1)),
                                static_cast<std::int32_t>(values.at(3)), values.at(5), values.at(6));
        record.accuracy_nomem = values.at(4);
        cell.last_axes().memory_vectors = memory_vectors;
    }
};

TEST(Statistics, AgreeWithNumpyAndScipy) {
    const Fixture fixture;
    ASSERT_EQ(fixture.expected.size(), 3U);
    std::vector<record::ModelRow> models(1);
    models[0].name = "m";
    models[0].memory_width = 64;
    models[0].vocabulary_size = 1024;
    for (const auto& [memory_vectors, expected] : fixture.expected) {
        const auto rows = statistics(fixture.cells.at(memory_vectors).outcomes(), models, {});
        ASSERT_EQ(rows.size(), 1U);
        const StatisticsRow& row = rows.front();
        const std::vector<double> found{static_cast<double>(row.capacity_tokens),
                                        static_cast<double>(row.capacity_exact_tokens),
                                        row.capacity_cut ? 1.0 : 0.0,
                                        row.token_gain_mean,
                                        row.token_gain_std,
                                        row.information_gain_nats_mean,
                                        row.information_gain_nats_std,
                                        row.ce_threshold_nats,
                                        row.ce_residual_threshold_nats,
                                        row.ce_offset_nats,
                                        row.theoretical_capacity_tokens,
                                        row.utilisation};
        ASSERT_EQ(found.size(), expected.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            // The fit of slope 1 is the mean of the differences; SciPy finds it iteratively.
            const double tolerance = i == 9 ? 1e-6 : 1e-12;
            EXPECT_NEAR(found[i], expected[i], tolerance * std::abs(expected[i]))
                << "K " << memory_vectors << ", value " << i;
        }
    }
}

TEST(Statistics, HaveARowACellInTheOrderOfTheOutcomes) {
    Cell cell;
    for (const char* model : {"b", "a", "b"}) {
        cell.add(8, 7);
        cell.last_axes().model = model;
    }
    cell.add(8, 7);
    cell.last_axes().model = "b";
    cell.last_axes().precision = Precision::bfloat16;
    cell.add_failed(8);
    cell.last_axes().model = "a";
    const auto rows = statistics(cell.outcomes(), {}, {});
    ASSERT_EQ(rows.size(), 3U);
    EXPECT_EQ(rows[0].model, "b");
    EXPECT_EQ(rows[0].trials, 2);
    EXPECT_EQ(rows[0].precision, Precision::float32);
    EXPECT_EQ(rows[1].precision, Precision::bfloat16);
    EXPECT_EQ(rows[2].model, "a");
    EXPECT_EQ(rows[2].trials, 2);
    EXPECT_EQ(rows[2].failed, 1);
    EXPECT_TRUE(std::isnan(rows[2].theoretical_capacity_tokens));
}

TEST(Statistics, OfACellWithOpenTrialsHaveNoCapacity) {
    Cell cell;
    cell.add(11, 10);
    cell.add(21, 5);
    const auto outcomes = cell.outcomes();
    const Axes here = *outcomes.front().axes;
    Axes elsewhere = here;
    elsewhere.memory_vectors += 1;
    const std::vector<const Axes*> open{&here, &here, &elsewhere};
    const auto rows = statistics(outcomes, {}, {}, open);
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0].open, 2);
    EXPECT_EQ(rows[0].capacity_tokens, -1);
    EXPECT_EQ(rows[0].capacity_exact_tokens, -1);
    EXPECT_FALSE(rows[0].capacity_known());
    EXPECT_FALSE(std::isnan(rows[0].token_gain_mean));
    EXPECT_TRUE(statistics(outcomes, {}, {}).front().capacity_known());
    // Of a cell of which nothing has ended that much is known.
    EXPECT_EQ(rows[1].memory_vectors, elsewhere.memory_vectors);
    EXPECT_EQ((std::pair{rows[1].trials, rows[1].open}), (std::pair<std::int64_t, std::int64_t>{0, 1}));
    EXPECT_EQ(rows[1].capacity_tokens, -1);
    EXPECT_TRUE(std::isnan(rows[1].token_gain_mean));
    EXPECT_TRUE(std::isnan(rows[1].ce_offset_nats));
}

TEST(Statistics, TakeDrawnLengthsFromTheCorpus) {
    Cell cell;
    cell.add(101, 100);
    cell.add(101, 10);
    std::vector<record::CorpusRow> corpora(1);
    corpora[0].name = "c";
    corpora[0].drawn_lengths = true;
    EXPECT_EQ(statistics(cell.outcomes(), {}, {}).front().capacity_tokens, 0);
    EXPECT_EQ(statistics(cell.outcomes(), {}, corpora).front().capacity_tokens, 101);
}

}  // namespace
}  // namespace memcap::metrics
