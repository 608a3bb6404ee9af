// Corpora of files: what is read from good ones, and what is said about broken ones.
#include "memcap/text/corpus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memcap/base/errors.hpp"
#include "support.hpp"

namespace memcap::text {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::ScratchFolder;

/// Splits at each "|": tests of corpora need no Python.
std::vector<std::vector<std::string>> split_at_bars(std::span<const std::string> texts, SentenceRule) {
    std::vector<std::vector<std::string>> all;
    for (const auto& text : texts) {
        auto& sentences = all.emplace_back(1);
        for (const char c : text) {
            if (c == '|') sentences.emplace_back();
            if (c != '|') sentences.back() += c;
        }
    }
    return all;
}

Corpus read(CorpusKind kind, const std::filesystem::path& path, std::size_t samples = 0,
            Part part = Part::all) {
    return read_corpus({.kind = kind, .path = path, .part = part, .samples = samples}, split_at_bars);
}

std::vector<std::string> texts_of(const Corpus& corpus) {
    std::vector<std::string> texts;
    for (const auto& sample : corpus.samples) texts.push_back(sample.text);
    return texts;
}

std::string error_of(CorpusKind kind, const std::filesystem::path& path, std::size_t samples = 0) {
    return message_of<DataError>([&] { read(kind, path, samples); });
}

TEST(TextFolder, GivesItsTextFilesInNameOrder) {
    const ScratchFolder scratch;
    scratch.write("b.txt", "second");
    scratch.write("a.txt", "first");
    scratch.write("c.txt", "\xEF\xBB\xBFthird\r\n");
    scratch.write("notes.md", "not a sample");
    scratch.write(".hidden.txt", "not a sample");
    scratch.write("deeper/d.txt", "not a sample");
    const auto corpus = read(CorpusKind::text, scratch.path());
    EXPECT_THAT(texts_of(corpus), ::testing::ElementsAre("first", "second", "third\r\n"));
    EXPECT_EQ(corpus.prefixes, Prefixes::none);
    EXPECT_THAT(texts_of(read(CorpusKind::text, scratch.path(), 2)),
                ::testing::ElementsAre("first", "second"));
}

TEST(TextFolder, IsReadOnlyAsFarAsSamplesAreAskedFor) {
    const ScratchFolder scratch;
    scratch.write("a.txt", "first");
    scratch.write("b.txt", "broken \xC3(");
    EXPECT_EQ(read(CorpusKind::text, scratch.path(), 1).samples.size(), 1U);
    EXPECT_THAT(error_of(CorpusKind::text, scratch.path(), 2),
                HasSubstr("b.txt:1 (byte 7): the file is not UTF-8"));
}

TEST(TextFile, IsOneSample) {
    const ScratchFolder scratch;
    const auto path = scratch.write("one.txt", "Ein Satz.\n\nUnd noch einer: 東京 👍🏽");
    EXPECT_THAT(texts_of(read(CorpusKind::text, path, 1)),
                ::testing::ElementsAre("Ein Satz.\n\nUnd noch einer: 東京 👍🏽"));
    EXPECT_EQ(
        error_of(CorpusKind::text, path, 2),
        path.string() +
            ": 2 samples are asked for (there is 1). Lower `samples` in the experiment file or add texts");
}

TEST(TextFolder, WithoutTextFilesIsRefused) {
    const ScratchFolder scratch;
    scratch.write("notes.md", "no sample");
    EXPECT_EQ(error_of(CorpusKind::text, scratch.path()),
              scratch.path().string() +
                  ": the folder has no .txt file. Put one text file a sample into it, or correct the path");
}

TEST(TextFile, ThatIsMissingEmptyOrBlankIsRefused) {
    const ScratchFolder scratch;
    EXPECT_THAT(error_of(CorpusKind::text, scratch.path() / "no.txt"),
                HasSubstr("no.txt: there is no such file"));
    EXPECT_THAT(error_of(CorpusKind::csv, scratch.path()), HasSubstr("this is a folder, a file is needed"));
    for (const auto kind : {CorpusKind::text, CorpusKind::csv, CorpusKind::jsonl}) {
        EXPECT_THAT(error_of(kind, scratch.write("empty", "")), HasSubstr("empty: the file is empty. "));
        EXPECT_THAT(error_of(kind, scratch.write("blank", "\xEF\xBB\xBF \r\n\t\n")),
                    HasSubstr("the file is empty (there is nothing but white space)"));
    }
}

TEST(Utf8, FirstBadByteIsNamedWithItsLine) {
    const ScratchFolder scratch;
    const auto error = [&](const std::string& content) {
        return error_of(CorpusKind::text, scratch.write("t", content));
    };
    const auto at_byte = [](int byte) {
        return HasSubstr("t:1 (byte " + std::to_string(byte) + "): the file is not UTF-8");
    };
    EXPECT_THAT(error("one\ntwo\nna\xEFve"), HasSubstr("t:3 (byte 10): the file is not UTF-8 (found 0xEF)"));
    EXPECT_THAT(error("\xEF\xBB\xBF"
                      "ab\xFF"),
                at_byte(5));
    EXPECT_THAT(error("abc\x80"), at_byte(3));             // a continuation without a start
    EXPECT_THAT(error("ab\xC0\xAF"), at_byte(2));          // overlong /
    EXPECT_THAT(error("ab\xE0\x9F\xBF"), at_byte(2));      // overlong, three bytes
    EXPECT_THAT(error("ab\xF0\x8F\xBF\xBF"), at_byte(2));  // overlong, four bytes
    EXPECT_THAT(error("ab\xED\xA0\x80"), at_byte(2));      // a surrogate
    EXPECT_THAT(error("ab\xF4\x90\x80\x80"), at_byte(2));  // beyond U+10FFFF
    EXPECT_THAT(error("ab\xE6\x9D"), at_byte(2));          // cut off at the end
    EXPECT_THAT(error(std::string("\xFF\xFEh\0i\0", 6)), HasSubstr("it begins like UTF-16"));
}

TEST(Utf8, EveryWellFormedEdgeIsAccepted) {
    const ScratchFolder scratch;
    const std::string edges =
        "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF"
        "\xBF";
    EXPECT_THAT(texts_of(read(CorpusKind::text, scratch.write("t", edges))), ::testing::ElementsAre(edges));
}

TEST(Csv, ReadsQuotedFieldsWithCommasQuotesAndLineEnds) {
    const ScratchFolder scratch;
    const auto path = scratch.write("t.csv",
                                    "\xEF\xBB\xBF,text,note\r\n"
                                    "0,\"He said \"\"no\"\", twice.\r\n\r\nThen left.\",x\r\n"
                                    "\r\n"
                                    "1,plain text,\"\"\r\n"
                                    "2,\"\"\"quoted\"\"\",");
    const auto corpus = read(CorpusKind::csv, path);
    EXPECT_THAT(texts_of(corpus), ::testing::ElementsAre("He said \"no\", twice.\r\n\r\nThen left.",
                                                         "plain text", "\"quoted\""));
    EXPECT_EQ(corpus.prefixes, Prefixes::none);
}

TEST(Csv, ColumnPrefixMakesTheTextsReadyMadeForEveryPart) {
    const ScratchFolder scratch;
    const auto path = scratch.write("t.csv", "text,prefix\nA|B|C,\"before, it\"\nD,\n");
    for (const auto part : {Part::all, Part::second_half, Part::first_half}) {
        const auto corpus = read(CorpusKind::csv, path, 2, part);
        EXPECT_EQ(corpus.prefixes, Prefixes::ready_made);
        EXPECT_THAT(texts_of(corpus), ::testing::ElementsAre("A|B|C", "D"));
        EXPECT_EQ(corpus.samples[0].prefix, "before, it");
        EXPECT_EQ(corpus.samples[1].prefix, "");
    }
}

TEST(Csv, WhatIsBrokenIsNamedWithLineAndByte) {
    const ScratchFolder scratch;
    const auto error = [&](const std::string& content, std::size_t samples = 0) {
        return error_of(CorpusKind::csv, scratch.write("t.csv", content), samples);
    };
    EXPECT_THAT(error("id,body\n1,x\n"),
                HasSubstr("t.csv:1 (byte 0): there is no column `text` (the columns are: "
                          "`id`, `body`). Name the column with the texts `text`"));
    EXPECT_THAT(error("text,text\na,b\n"), HasSubstr("there are two columns `text`"));
    EXPECT_THAT(error("text\n\"one\n\"\n\"two\nthree"),
                HasSubstr("t.csv:4 (byte 12): the quote that opens here is never "
                          "closed (the file ends first)"));
    EXPECT_THAT(error("text\n\"one\" two\n"),
                HasSubstr("t.csv:2 (byte 10): a closing quote is followed by more text"));
    EXPECT_THAT(error("text\none \"two\"\n"), HasSubstr("t.csv:2 (byte 9): a quote stands inside a field"));
    EXPECT_THAT(error("id,text\n1,a\n2,b,c\n"),
                HasSubstr("t.csv:3 (byte 12): the row has 3 fields, the first line has 2"));
    EXPECT_THAT(error("id,text\n1,a\n2\n"),
                HasSubstr("t.csv:3 (byte 12): the row has 1 fields, the first line has 2"));
    EXPECT_THAT(error("id,text\n1,\" \"\n"), HasSubstr("t.csv:2 (byte 8): the text of this row is empty"));
    EXPECT_THAT(error("id,text\n1,a\n", 3), HasSubstr("3 samples are asked for (there is 1)"));
    EXPECT_THAT(error("id,text\n"), HasSubstr("the file has no samples"));
    EXPECT_THAT(error("id,text\n", 3), HasSubstr("3 samples are asked for (there are 0)"));
}

TEST(JsonLines, GivesTheTextsOfItsObjects) {
    const ScratchFolder scratch;
    const auto path = scratch.write("t.jsonl",
                                    "{\"text\": \"na\\u00efve \\ud83d\\udc4d\\n\", \"id\": 1}\r\n"
                                    "\n"
                                    "{\"id\": 2, \"text\": \"東京\"}");
    EXPECT_THAT(texts_of(read(CorpusKind::jsonl, path, 2)), ::testing::ElementsAre("naïve 👍\n", "東京"));
}

TEST(JsonLines, WhatIsBrokenIsNamedWithLineAndByte) {
    const ScratchFolder scratch;
    const auto error = [&](const std::string& content) {
        return error_of(CorpusKind::jsonl, scratch.write("t.jsonl", content));
    };
    const std::string good = "{\"text\": \"a\"}\n";  // 14 bytes
    EXPECT_THAT(error(good + "{\"text\": oops}\n"), HasSubstr("t.jsonl:2 (byte 23): the line is not JSON"));
    EXPECT_THAT(error(good + "{\"text\": \"cut"), HasSubstr("t.jsonl:2 (byte 27): the line is not JSON"));
    EXPECT_THAT(error(good + "{\"text\": \"\\ud800\"}"), HasSubstr("t.jsonl:2 (byte "));
    EXPECT_THAT(error(good + "{\"body\": \"a\", \"id\": 1}\n"),
                HasSubstr("t.jsonl:2 (byte 14): there is no key `text` (the keys are: `body`, `id`)"));
    EXPECT_THAT(error("{}\n"), HasSubstr("the keys are: none"));
    EXPECT_THAT(error("[\"text\"]\n"), HasSubstr("the line is no JSON object (it is of type array)"));
    EXPECT_THAT(error("{\"text\": 7}\n"), HasSubstr("`text` is no string (it is of type number)"));
    EXPECT_THAT(error("{\"text\": \" \\n\"}\n"), HasSubstr("the text of this line is empty"));
}

TEST(Part, SecondHalfBeginsWithTheMiddleSentence) {
    // The paper's code: sentences[len(sentences) // 2:] joined by a space, and those before it as the prefix.
    const ScratchFolder scratch;
    const auto path = scratch.write("t.csv", "text\nA.|B.|C.|D.\nA.|B.|C.\nA.\n");
    const auto second = read(CorpusKind::csv, path, 3, Part::second_half);
    EXPECT_EQ(second.prefixes, Prefixes::other_half);
    EXPECT_THAT(texts_of(second), ::testing::ElementsAre("C. D.", "B. C.", "A."));
    EXPECT_EQ(second.samples[0].prefix, "A. B.");
    EXPECT_EQ(second.samples[1].prefix, "A.");
    EXPECT_EQ(second.samples[2].prefix, "");
    const auto first = read(CorpusKind::csv, path, 3, Part::first_half);
    EXPECT_THAT(texts_of(first), ::testing::ElementsAre("A. B.", "A.", ""));
    EXPECT_EQ(first.samples[1].prefix, "B. C.");
}

TEST(Part, AllNeedsNoSplitter) {
    const ScratchFolder scratch;
    const auto path = scratch.write("t.txt", "One. Two.");
    const auto never = [](auto, auto) -> std::vector<std::vector<std::string>> {
        ADD_FAILURE() << "the splitter was called";
        return {};
    };
    EXPECT_EQ(read_corpus({.kind = CorpusKind::text, .path = path, .part = Part::all}, never).samples[0].text,
              "One. Two.");
}

}  // namespace
}  // namespace memcap::text
