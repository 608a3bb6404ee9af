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
    EXPECT_EQ(corpus.samples[1].source, "b.txt");
}

TEST(TextFolder, LeavesOutWhatIsNoSampleAndNamesIt) {
    const ScratchFolder scratch;
    scratch.write("a.txt", "first");
    scratch.write("notes.md", "not a sample");
    scratch.write(".hidden.txt", "not a sample");
    scratch.write("old.txt/d.txt", "a folder that is called like a text");
    std::filesystem::create_symlink("someone@host.1:2", scratch.path() / ".#1.txt");  // as Emacs locks
    std::filesystem::create_symlink("gone.txt", scratch.path() / "gone.txt");
    const auto corpus = read(CorpusKind::text, scratch.path());
    EXPECT_THAT(texts_of(corpus), ::testing::ElementsAre("first"));
    EXPECT_THAT(
        corpus.left_out,
        ::testing::ElementsAre(LeftOut{".#1.txt", "a hidden file"}, LeftOut{".hidden.txt", "a hidden file"},
                               LeftOut{"gone.txt", "a link to nothing"},
                               LeftOut{"notes.md", "not a .txt file"}, LeftOut{"old.txt", "a folder"}));
}

TEST(TextFolder, TakesEndingsInCapitals) {
    const ScratchFolder scratch;
    scratch.write("A.TXT", "first");
    scratch.write("b.Txt", "second");
    scratch.write("c.txtx", "not a sample");
    EXPECT_THAT(texts_of(read(CorpusKind::text, scratch.path())), ::testing::ElementsAre("first", "second"));
}

TEST(TextFolder, NamesAllBadTextsAtOnce) {
    const ScratchFolder scratch;
    scratch.write("a.txt", "first");
    scratch.write("b.txt", "broken \xC3(");
    scratch.write("c.txt", "\n");
    const auto error = error_of(CorpusKind::text, scratch.path());
    EXPECT_THAT(error, HasSubstr("2 texts cannot be used. Convert it: iconv"));
    EXPECT_THAT(error, HasSubstr("b.txt:1 (byte 7): the file is not UTF-8 (found 0xC3)\n"));
    EXPECT_THAT(error, HasSubstr("c.txt: the file is empty"));
    // Only the texts that are asked for count.
    EXPECT_THAT(error_of(CorpusKind::text, scratch.path(), 2),
                HasSubstr("b.txt:1 (byte 7): the file is not UTF-8"));
    for (int i = 0; i < 30; ++i) scratch.write(std::to_string(i) + ".txt", "");
    EXPECT_THAT(error_of(CorpusKind::text, scratch.path()), HasSubstr("and 12 more"));
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

TEST(TableFile, WithCarriageReturnsForLineEndsIsRefused) {
    const ScratchFolder scratch;
    const std::string said =
        ": the lines end in carriage returns alone (as programs of the old Mac OS write "
        "them; lines have to end in a line feed). Convert it: tr '\\r' '\\n' < OLD > NEW";
    const auto table = scratch.write("a.csv", "index,text\r0,first\r1,second\r");
    EXPECT_EQ(error_of(CorpusKind::csv, table), table.string() + ":1 (byte 10)" + said);
    const auto lines = scratch.write("a.jsonl", "{\"text\": \"a\"}\r{\"text\": \"b\"}");
    EXPECT_EQ(error_of(CorpusKind::jsonl, lines), lines.string() + ":1 (byte 13)" + said);
    // Within a file of proper lines they are text, and so they are in a text.
    EXPECT_THAT(texts_of(read(CorpusKind::csv, scratch.write("b.csv", "text\n\"a\rb\"\n"))),
                ::testing::ElementsAre("a\rb"));
    EXPECT_THAT(texts_of(read(CorpusKind::text, scratch.write("c.txt", "a\rb"))),
                ::testing::ElementsAre("a\rb"));
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

TEST(TextFile, ThatIsAPointerOfGitLfsIsRefusedInEveryKind) {
    const ScratchFolder scratch;
    const auto path = scratch.write(
        "pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 134217728\n");
    for (const auto kind : {CorpusKind::text, CorpusKind::csv, CorpusKind::jsonl}) {
        EXPECT_EQ(error_of(kind, path),
                  path.string() +
                      ": this is a pointer of Git LFS, not the file itself. Fetch the file: "
                      "git lfs pull, in the repository it belongs to");
    }
    EXPECT_THAT(message_of<DataError>([&] {
                    read_corpus({.kind = CorpusKind::random_words, .path = path, .samples = 1, .length = 2},
                                {});
                }),
                HasSubstr("git lfs pull"));
}

/// ASCII in units of `width` bytes, of which the letter is number `place`.
std::string widened(const std::string& text, std::size_t width, std::size_t place) {
    std::string wide;
    for (const char letter : text) {
        std::string unit(width, '\0');
        unit[place] = letter;
        wide += unit;
    }
    return wide;
}

TEST(TextFile, InWideUnitsWithoutAMarkIsRefusedWithItsEncoding) {
    const ScratchFolder scratch;
    const std::string text = "The old harbour.\nBoats lay still.\n";
    const auto error = [&](const std::string& content) {
        return error_of(CorpusKind::text, scratch.write("t.txt", content));
    };
    EXPECT_THAT(
        error(widened(text, 2, 0)),
        HasSubstr("t.txt:1 (byte 0): the file is not UTF-8 (it looks like UTF-16LE). Convert it: iconv -f "
                  "UTF-16LE -t UTF-8 OLD > NEW"));
    EXPECT_THAT(error(widened(text, 2, 1)), HasSubstr("iconv -f UTF-16BE "));
    EXPECT_THAT(error(widened(text, 4, 0)), HasSubstr("iconv -f UTF-32LE "));
    EXPECT_THAT(error(widened(text, 4, 3)), HasSubstr("iconv -f UTF-32BE "));
    EXPECT_THAT(error_of(CorpusKind::csv, scratch.write("t.csv", widened("text\nabc\n", 2, 0))),
                HasSubstr("UTF-16LE"));
}

TEST(TextFile, WithANulByteIsRefusedWithItsPlace) {
    const ScratchFolder scratch;
    using namespace std::string_literals;
    EXPECT_THAT(
        error_of(CorpusKind::text, scratch.write("t.txt", "one\ntw\0o"s)),
        HasSubstr("t.txt:2 (byte 6): there is a NUL byte in the text. Take such bytes out: tr -d '\\000' < "
                  "OLD > NEW"));
    EXPECT_THAT(error_of(CorpusKind::csv, scratch.write("t.csv", "text\na\0b\n"s)), HasSubstr("NUL byte"));
    EXPECT_THAT(error_of(CorpusKind::jsonl, scratch.write("t.jsonl", "{\"text\": \"a\\u0000b\"}\n")),
                HasSubstr("t.jsonl:1 (byte 0): the text of this line has a NUL character"));
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

TEST(Csv, NamesAllBadRowsAndWhereTheOthersCameFrom) {
    const ScratchFolder scratch;
    const auto error = error_of(CorpusKind::csv, scratch.write("t.csv", "id,text\n1,a\n2,\n3,b,c\n4,d\n"));
    EXPECT_THAT(error,
                HasSubstr("2 texts cannot be used. Remove the row. That is for the first of these:\n"));
    EXPECT_THAT(error, HasSubstr("t.csv:3 (byte 12): the text of this row is empty\n"));
    EXPECT_THAT(error, HasSubstr("t.csv:4 (byte 15): the row has 3 fields, the first line has 2"));
    const auto corpus = read(CorpusKind::csv, scratch.write("s.csv", "text\n\"a\nb\"\n\nc\n"));
    EXPECT_EQ(corpus.samples[0].source, "s.csv:2");
    EXPECT_EQ(corpus.samples[1].source, "s.csv:5");
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
    EXPECT_THAT(error(good + "{\"text\": \"a\", \"text\": \"b\"}\n"),
                HasSubstr("t.jsonl:2 (byte 14): the key `text` is given twice. Leave one of them"));
    EXPECT_THAT(error(good + "{\"id\": 1, \"text\": \"a\", \"id\": 1}\n"),
                HasSubstr("the key `id` is given twice"));
    EXPECT_THAT(error("{}\n" + good + "[]\n"), HasSubstr("2 texts cannot be used"));
    // Objects within may repeat the keys of others.
    EXPECT_EQ(read(CorpusKind::jsonl,
                   scratch.write("n.jsonl", "{\"a\": {\"b\": 1}, \"b\": {\"text\": 2}, \"text\": \"x\"}\n"))
                  .samples[0]
                  .source,
              "n.jsonl:1");
}

TEST(Part, SecondHalfBeginsWithTheMiddleSentence) {
    // The paper's code: sentences[len(sentences) // 2:] joined by a space, and those before it as the prefix.
    const ScratchFolder scratch;
    const auto path = scratch.write("t.csv", "text\nA.|B.|C.|D.\nA.|B.|C.\nA.\n");
    const auto halves = [&](Part part) {
        return read_corpus(
            {.kind = CorpusKind::csv, .path = path, .part = part, .joined = Joined::space, .samples = 3},
            split_at_bars);
    };
    const auto second = halves(Part::second_half);
    EXPECT_EQ(second.prefixes, Prefixes::other_half);
    EXPECT_THAT(texts_of(second), ::testing::ElementsAre("C. D.", "B. C.", "A."));
    EXPECT_EQ(second.samples[0].prefix, "A. B.");
    EXPECT_EQ(second.samples[0].joint, " ");
    EXPECT_EQ(second.samples[1].prefix, "A.");
    EXPECT_EQ(second.samples[2].prefix, "");
    const auto first = halves(Part::first_half);
    EXPECT_THAT(texts_of(first), ::testing::ElementsAre("A. B.", "A.", ""));
    EXPECT_EQ(first.samples[1].prefix, "B. C.");
}

TEST(Part, KeepsTheTextsOwnBytesBetweenSentences) {
    const ScratchFolder scratch;
    const auto path = scratch.write("t.txt", "\nA.|\n  B.||C.|\r\nA.|\n");
    // The splitter of these tests parts at bars; they stand for what is between sentences.
    const auto corpus =
        read_corpus({.kind = CorpusKind::text, .path = path, .part = Part::second_half},
                    [](std::span<const std::string>, SentenceRule) {
                        return std::vector<std::vector<std::string>>{{"A.", "B.", "C.", "A."}};
                    });
    EXPECT_EQ(corpus.samples[0].prefix, "A.|\n  B.");
    EXPECT_EQ(corpus.samples[0].joint, "||");
    EXPECT_EQ(corpus.samples[0].text, "C.|\r\nA.");
}

TEST(Part, OfASplitterThatChangesTheTextIsRefused) {
    const ScratchFolder scratch;
    const auto path = scratch.write("t.txt", "A. B.");
    EXPECT_THAT(message_of<ToolError>([&] {
                    read_corpus({.kind = CorpusKind::text, .path = path},
                                [](std::span<const std::string>, SentenceRule) {
                                    return std::vector<std::vector<std::string>>{{"B.", "A."}};
                                });
                }),
                HasSubstr("the sentence splitter changes the text (the text has no 'A.')"));
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
