// Experiment files that are right: what their values become, and the way back to YAML.
#include "memcap/config/load.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "config/detail/names.hpp"

namespace memcap::config {
namespace {

using testing::ElementsAre;

constexpr std::string_view kFull = R"(experiment: figure-2
models:
  ink-64: {path: models/ink-64}
  pythia-1.4b: {path: /data/../weights/pythia/}
corpora:
  essays: {kind: text, path: texts/essays, part: first_half, sentences: punkt, joined: space,
           opened: without_prefix, samples: 8}
  table: {kind: csv, path: chunks.csv, part: all}
  random: {kind: random_words, vocabulary: words.txt, samples: 3}
protocols:
  hotter: {base: hot, learning_rate: 0.5}
  hot: {learning_rate: 0.3, schedule: cosine, warmup_steps: 10, max_steps: 300, betas: [0.8, 0.99], init: [normal, 0.5]}
sweeps:
  - {models: [ink-64, pythia-1.4b], corpora: table, memory_vectors: 4, lengths: [2, 16], seeds: [0, 18446744073709551615],
     protocols: [paper, hotter], precision: [float32, bfloat16], prefix: [0, 64]}
  - {models: ink-64, corpora: random, memory_vectors: [1], lengths: {uniform: [2, 256]}}
store: {vectors: false, curve_every: 0}
run: {device: cpu, slots: 16, threads: auto, weights: per_node, python: env/bin/python3}
)";

Experiment parse_at_x(std::string_view text, const std::vector<std::string>& overrides = {}) {
    return parse(text, "/x/file.yaml", overrides, Paths::may_be_absent);
}

TEST(Load, ReadsEveryKey) {
    const Experiment experiment = parse_at_x(kFull);
    EXPECT_EQ(experiment.name, "figure-2");
    ASSERT_EQ(experiment.models.size(), 2U);
    EXPECT_EQ(experiment.models[0].path, "/x/models/ink-64");
    EXPECT_EQ(experiment.models[0].where.text(), "/x/file.yaml:3:18");
    EXPECT_EQ(experiment.models[1].path, "/weights/pythia");
    const Corpus essays{.name = "essays",
                        .kind = CorpusKind::text,
                        .path = "/x/texts/essays",
                        .part = Part::first_half,
                        .sentences = Sentences::punkt,
                        .joined = Joined::space,
                        .opened = Opened::without_prefix,
                        .samples = 8,
                        .where = {}};
    EXPECT_EQ(corpus_named(experiment, "essays"), essays);
    EXPECT_EQ(corpus_named(experiment, "table").samples, 0);
    EXPECT_EQ(corpus_named(experiment, "random").path, "/x/words.txt");
    ASSERT_EQ(experiment.sweeps.size(), 2U);
    const Sweep& sweep = experiment.sweeps[0];
    EXPECT_THAT(sweep.models, ElementsAre("ink-64", "pythia-1.4b"));
    EXPECT_THAT(sweep.corpora, ElementsAre("table"));
    EXPECT_THAT(sweep.memory_vectors, ElementsAre(4));
    EXPECT_THAT(sweep.lengths, ElementsAre(2, 16));
    EXPECT_FALSE(sweep.drawn_lengths.has_value());
    EXPECT_THAT(sweep.seeds, ElementsAre(0U, 18446744073709551615U));
    EXPECT_THAT(sweep.protocols, ElementsAre("paper", "hotter"));
    EXPECT_THAT(sweep.precisions, ElementsAre(Precision::float32, Precision::bfloat16));
    EXPECT_THAT(sweep.prefixes, ElementsAre(0, 64));
    EXPECT_EQ(experiment.store, (StoreOptions{.vectors = false, .curve_every = 0}));
    EXPECT_EQ(experiment.run.device, DeviceChoice::cpu);
    EXPECT_EQ(experiment.run.slots, 16);
    EXPECT_FALSE(experiment.run.threads.has_value());
    EXPECT_EQ(experiment.run.weights, WeightsChoice::per_node);
    EXPECT_EQ(experiment.run.python, "/x/env/bin/python3");
}

TEST(Load, FillsInWhatAFileLeavesOut) {
    const Experiment experiment = parse_at_x(R"(experiment: e
models: {m: {path: m}}
corpora: {c: {kind: jsonl, path: c.jsonl}}
sweeps: [{models: m, corpora: c, memory_vectors: 1, lengths: 4}]
)");
    const Sweep& sweep = experiment.sweeps.at(0);
    EXPECT_THAT(sweep.seeds, ElementsAre(0U));
    EXPECT_THAT(sweep.protocols, ElementsAre("paper"));
    EXPECT_THAT(sweep.precisions, ElementsAre(Precision::float32));
    EXPECT_THAT(sweep.prefixes, ElementsAre(0));
    EXPECT_EQ(experiment.corpora.at(0).part, Part::second_half);
    EXPECT_EQ(experiment.corpora.at(0).sentences, Sentences::rule);
    EXPECT_EQ(experiment.corpora.at(0).joined, Joined::as_written);
    EXPECT_EQ(experiment.corpora.at(0).opened, Opened::always);
    EXPECT_EQ(experiment.store, (StoreOptions{.vectors = true, .curve_every = 10}));
    EXPECT_EQ(experiment.run, RunOptions{});
}

TEST(Load, DrawnLengthsStandInPlaceOfTheGrid) {
    const Experiment experiment = parse_at_x(kFull);
    EXPECT_TRUE(experiment.sweeps.at(1).lengths.empty());
    EXPECT_EQ(experiment.sweeps.at(1).drawn_lengths, (LengthRange{.lowest = 2, .highest = 256}));
}

// The values of the table "Protocol keys" of the documentation, written out on purpose.
TEST(Load, BuiltInPaperProtocolHasThePublishedValues) {
    const Protocol paper = protocol_named(parse_at_x(kFull), "paper");
    EXPECT_EQ(paper.learning_rate, 0.01);
    EXPECT_EQ(paper.beta1, 0.9);
    EXPECT_EQ(paper.beta2, 0.9);
    EXPECT_EQ(paper.weight_decay, 0.01);
    EXPECT_EQ(paper.epsilon, 1e-8);
    EXPECT_EQ(paper.max_steps, 5000);
    EXPECT_EQ(paper.patience, 2000);
    EXPECT_EQ(paper.stop_accuracy, 1.0);
    EXPECT_EQ(paper.schedule, Schedule::constant);
    EXPECT_EQ(paper.target, Target::after_first);
    EXPECT_EQ(paper.init_scale, 1.0);
}

TEST(Load, ProtocolsInheritAlongAChainInAnyOrder) {
    const Experiment experiment = parse_at_x(kFull);
    Protocol expected;
    expected.learning_rate = 0.5;
    expected.schedule = Schedule::cosine;
    expected.warmup_steps = 10;
    expected.max_steps = 300;
    expected.beta1 = 0.8;
    expected.beta2 = 0.99;
    expected.init_scale = 0.5;
    EXPECT_EQ(protocol_named(experiment, "hotter"), expected);
    expected.learning_rate = 0.3;
    EXPECT_EQ(protocol_named(experiment, "hot"), expected);
    EXPECT_EQ(experiment.protocols.at(0).name, "paper");
    EXPECT_EQ(experiment.protocols.at(1).name, "hotter");
}

class Variables : public testing::Test {
  protected:
    void SetUp() override {
        setenv("MEMCAP_TEST_FOLDER", "/data/models", 1);
        setenv("MEMCAP_TEST_STEPS", "77", 1);
        setenv("MEMCAP_TEST_ODD", "a: {b}, #c", 1);
        unsetenv("MEMCAP_TEST_UNSET");
    }
    void TearDown() override {
        for (const char* name : {"MEMCAP_TEST_FOLDER", "MEMCAP_TEST_STEPS", "MEMCAP_TEST_ODD"})
            unsetenv(name);
    }
    static Experiment with_path(const std::string& path, const std::vector<std::string>& overrides = {}) {
        return parse_at_x("experiment: e\nmodels: {m: {path: " + path +
                              "}}\ncorpora: {c: {kind: text, path: c}}\n"
                              "sweeps: [{models: m, corpora: c, memory_vectors: 1, lengths: 4}]\n",
                          overrides);
    }
};

TEST_F(Variables, AreFilledInInsideFlowMaps) {
    EXPECT_EQ(with_path("${MEMCAP_TEST_FOLDER}/pythia-160m").models.at(0).path, "/data/models/pythia-160m");
    EXPECT_EQ(with_path("\"${MEMCAP_TEST_FOLDER}/a b\"").models.at(0).path, "/data/models/a b");
}

TEST_F(Variables, KeepTheTypeThatTheirTextHas) {
    const Experiment experiment = with_path("m", {"protocols.short.max_steps=${MEMCAP_TEST_STEPS}",
                                                  "protocols.short.patience=1${MEMCAP_TEST_STEPS}"});
    EXPECT_EQ(protocol_named(experiment, "short").max_steps, 77);
    EXPECT_EQ(protocol_named(experiment, "short").patience, 177);
}

TEST_F(Variables, CannotBreakTheYamlAroundThem) {
    EXPECT_EQ(with_path("${MEMCAP_TEST_ODD}").models.at(0).path, "/x/a: {b}, #c");
}

TEST_F(Variables, WrittenWithTwoDollarsStandForThemselves) {
    const Experiment experiment = with_path("$${MEMCAP_TEST_FOLDER}/$x");
    EXPECT_EQ(experiment.models.at(0).path, "/x/${MEMCAP_TEST_FOLDER}/$x");
    EXPECT_EQ(parse_at_x(resolved_yaml(experiment)), experiment);
}

TEST_F(Variables, ThatAreNotSetDoNotMatterWhereTheValueIsOverridden) {
    EXPECT_EQ(with_path("${MEMCAP_TEST_UNSET}", {"models.m.path=/m"}).models.at(0).path, "/m");
    EXPECT_THROW(with_path("${MEMCAP_TEST_UNSET}"), ConfigError);
}

TEST(Overrides, ReplaceAddAndReachIntoLists) {
    const Experiment experiment = parse_at_x(
        kFull, {"sweeps.0.lengths=[4, 8]", "sweeps.0.lengths.1=12", "run.slots=auto", "run.threads=3",
                "protocols.cold.learning_rate=1e-3", "models.pythia-1.4b.path=other"});
    EXPECT_THAT(experiment.sweeps.at(0).lengths, ElementsAre(4, 12));
    EXPECT_FALSE(experiment.run.slots.has_value());
    EXPECT_EQ(experiment.run.threads, 3);
    EXPECT_EQ(protocol_named(experiment, "cold").learning_rate, 1e-3);
    EXPECT_EQ(model_named(experiment, "pythia-1.4b").path, "/x/other");
}

TEST(Overrides, TakeTheLongestNameThatFits) {
    const std::vector<std::string> overrides{"models.a.path=/first", "models.a.b.path=/second"};
    const Experiment experiment = parse_at_x(
        "experiment: e\nmodels: {a: {path: x}, a.b: {path: y}}\ncorpora: {c: {kind: text, path: c}}\n"
        "sweeps: [{models: a, corpora: c, memory_vectors: 1, lengths: 4}]\n",
        overrides);
    EXPECT_EQ(model_named(experiment, "a").path, "/first");
    EXPECT_EQ(model_named(experiment, "a.b").path, "/second");
}

TEST(Overrides, MakeSectionsThatTheFileDoesNotHave) {
    const Experiment experiment = parse_at_x(
        "experiment: e\nmodels: {m: {path: m}}\ncorpora: {c: {kind: text, path: c}}\n"
        "sweeps: [{models: m, corpora: c, memory_vectors: 1, lengths: 4}]\n",
        {"store.curve_every=5", "experiment=f"});
    EXPECT_EQ(experiment.store.curve_every, 5);
    EXPECT_EQ(experiment.name, "f");
}

TEST(ResolvedYaml, GivesAnEqualExperimentFromAnyFolder) {
    const Experiment experiment = parse_at_x(kFull);
    const std::string yaml = resolved_yaml(experiment);
    const Experiment again = parse(yaml, "/somewhere/else/experiment.yaml", {}, Paths::may_be_absent);
    EXPECT_EQ(again, experiment);
    EXPECT_EQ(resolved_yaml(again), yaml);
}

TEST(ResolvedYaml, KeepsNumbersToTheLastBit) {
    Experiment experiment = parse_at_x(kFull);
    experiment.protocols.at(1).values.learning_rate = 0.1 + 0.2;
    experiment.protocols.at(1).values.epsilon = 1.0 / 3e8;
    EXPECT_EQ(parse_at_x(resolved_yaml(experiment)), experiment);
}

TEST(ResolvedYaml, KeepsNamesThatYamlWouldTakeForSomethingElse) {
    Experiment experiment = parse_at_x(kFull);
    experiment.name = "null";
    experiment.models.at(0).name = "true";
    experiment.models.at(0).path = "/a \"quoted\" {folder}: #1";
    experiment.models.at(1).name = "1e3";
    experiment.sweeps.at(0).models = {"true", "1e3"};
    experiment.sweeps.at(1).models = {"true"};
    EXPECT_EQ(parse_at_x(resolved_yaml(experiment)), experiment);
}

TEST(Load, AnAliasStandsForTheValueItNames) {
    const Experiment experiment = parse_at_x(R"(experiment: e
models: {m: {path: m}}
corpora: {c: {kind: text, path: c}}
sweeps:
  - {models: m, corpora: c, memory_vectors: 1, lengths: &grid [4, 8]}
  - {models: m, corpora: c, memory_vectors: 2, lengths: *grid}
)");
    EXPECT_EQ(experiment.sweeps.at(1).lengths, experiment.sweeps.at(0).lengths);
}

TEST(Load, AliasesThatMultiplyWithoutEndAreRefused) {
    std::string text = "experiment: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 12; ++i) {
        const std::string before = "*a" + std::to_string(i - 1);
        text += "k" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
        for (int j = 0; j < 9; ++j) text += ", " + before;
        text += "]\n";
    }
    EXPECT_THROW(parse_at_x(text), ConfigError);
}

TEST(Load, PrefixesAreForTextsThatHaveAnotherHalf) {
    const auto with = [](const std::string& corpus) {
        return parse_at_x(
            "experiment: e\nmodels: {m: {path: m}}\ncorpora: {c: {" + corpus +
            "}}\nsweeps: [{models: m, corpora: c, memory_vectors: 1, lengths: 4, prefix: [0, 8]}]\n");
    };
    EXPECT_NO_THROW(with("kind: text, path: c"));
    EXPECT_NO_THROW(with("kind: csv, path: c, part: all"));
    EXPECT_THROW(with("kind: jsonl, path: c, part: all"), ConfigError);
    EXPECT_THROW(with("kind: random_words, vocabulary: c, samples: 1"), ConfigError);
}

TEST(Load, OnlyTextsInFoldersThatAreNotHereMayBeElsewhere) {
    const auto folder = std::filesystem::path(MEMCAP_TEST_SOURCE_DIR) / "tests/config/broken";
    const auto mistakes = [&](const std::string& model, const std::string& corpus) -> std::string {
        const std::string text = "experiment: e\nmodels: {m: {path: " + model +
                                 "}}\ncorpora: {c: {kind: csv, path: " + corpus +
                                 "}}\nsweeps: [{models: m, corpora: c, memory_vectors: 1, lengths: 4}]\n";
        try {
            parse(text, folder / "e.yaml", {}, Paths::texts_may_be_elsewhere);
            return "";
        } catch (const ConfigError& error) {
            return error.what();
        }
    };
    EXPECT_EQ(mistakes(".", "words.txt"), "");
    EXPECT_EQ(mistakes(".", "elsewhere/words.txt"), "");
    const std::string found = mistakes("elsewhere/m", "wods.txt");
    EXPECT_THAT(found, testing::HasSubstr(":2:20: path: '" + (folder / "elsewhere/m").string() +
                                          "' does not exist; allowed: a folder that exists\n"));
    EXPECT_THAT(found, testing::HasSubstr(":3:32: path: '" + (folder / "wods.txt").string() +
                                          "' does not exist; allowed: a file that exists, or to plan without "
                                          "it a path in a folder that does not exist either"));
    EXPECT_THAT(mistakes(".", "."), testing::HasSubstr("is a folder; allowed: a file"));
}

TEST(Load, ShippedExperimentsAreSound) {
    const auto folder = std::filesystem::path(MEMCAP_TEST_SOURCE_DIR) / "experiments";
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".yaml") continue;
        ++files;
        EXPECT_NO_THROW(load(entry.path(), {}, Paths::may_be_absent)) << entry.path();
    }
    EXPECT_GE(files, 1);
}

TEST(Names, DistanceCountsEdits) {
    EXPECT_EQ(detail::edit_distance("kitten", "sitting"), 3);
    EXPECT_EQ(detail::edit_distance("", "abc"), 3);
    EXPECT_EQ(detail::edit_distance("learnign", "learning"), 1);
    EXPECT_EQ(detail::edit_distance("same", "same"), 0);
}

TEST(Names, NearestIsSilentWhereNothingWasMeant) {
    const std::vector<std::string> names{"float32", "bfloat16", "float16", "tf32"};
    EXPECT_EQ(detail::nearest("flaot32", names), "float32");
    EXPECT_EQ(detail::nearest("FLOAT16", names), "float16");
    EXPECT_EQ(detail::nearest("bf16", names), "bfloat16");
    EXPECT_EQ(detail::nearest("int8", names), "");
    EXPECT_EQ(detail::nearest("", names), "");
}

}  // namespace
}  // namespace memcap::config
