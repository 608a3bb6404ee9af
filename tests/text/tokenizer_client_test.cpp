// The client with the real helper, and with helpers that are missing, die, hang or talk rubbish.
#include "memcap/text/tokenizer_client.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <thread>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "support.hpp"

namespace memcap::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kTokenizer;
using testing::message_of;
using testing::real_helper;
using testing::ScratchFolder;

using Ids = std::vector<std::int32_t>;

constexpr HelperDeadlines kQuick{.start_s = 20, .answer_s = 20, .finish_s = 0.5};

/// A helper written in shell: answers the version request, then does what `script` says.
HelperCommand shell_helper(const ScratchFolder& scratch, const std::string& script) {
    const std::string greeting = "read line; echo '{\"id\":1,\"python\":\"3.x\",\"transformers\":null}'\n";
    return {"/bin/sh", scratch.write("helper.sh", greeting + script)};
}

/// Whether this process has a child, running or a zombie.
bool has_child() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

std::string encode_error(TokenizerClient& client) {
    return message_of<ToolError>([&] { client.encode("/model", std::vector<std::string>{"text"}); });
}

TEST(RealHelper, EncodesAsTheTokenizersLibraryDoes) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    EXPECT_THAT(client.versions().python, ::testing::StartsWith("3."));
    EXPECT_FALSE(client.versions().transformers.empty());
    // Ids as tests/golden/tokenizer/expected.json has them.
    const std::vector<std::string> texts{"The heron stood in the dry channel and waited.", "",
                                         "tab\there,  two   three spaces\n\nnew paragraph ",
                                         "a literal <s> in the text"};
    const auto encoded = client.encode(kTokenizer, texts);
    EXPECT_THAT(
        encoded.ids,
        ElementsAre(Ids{0,   306, 308, 296, 79,  315, 474, 293, 261, 287, 415,
                        273, 385, 79,  468, 275, 262, 66,  272, 276, 15},
                    Ids{0}, Ids{0,   85,  66,  67,  199, 259, 268, 13,  222, 466, 222, 222, 327, 417, 438,
                                334, 285, 200, 200, 79,  70,  88,  286, 290, 66,  72,  449, 81,  73,  222},
                    Ids{0, 66, 277, 272, 270, 355, 222, 29, 84, 31, 293, 261, 258, 70, 89, 85}));
    EXPECT_THAT(encoded.spelled, ElementsAre(std::pair(3U, std::vector<std::string>{"<s>"})));
    EXPECT_TRUE(encoded.splits_special);
    EXPECT_THAT(encoded.problems, ElementsAre());
    EXPECT_EQ(encoded.differs, "");
    EXPECT_THAT(client.encode(kTokenizer, {}).ids, ElementsAre());
}

TEST(RealHelper, OpensAFolderAndSaysHowItIsRead) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    const auto facts = client.open(kTokenizer / "kinds/sentencepiece");
    EXPECT_EQ(facts.source, "tokenizer.model, sentencepiece " + client.versions().sentencepiece);
    EXPECT_THAT(facts.opening, ElementsAre(1));
    EXPECT_EQ(facts.opening_text, "<s>");
    EXPECT_THAT(client.decode(kTokenizer / "kinds/sentencepiece",
                              std::vector{static_cast<std::int32_t>(facts.size - 1)}),
                ::testing::Not(::testing::IsEmpty()));
    EXPECT_THROW(
        client.decode(kTokenizer / "kinds/sentencepiece", std::vector{static_cast<std::int32_t>(facts.size)}),
        ToolError)
        << "there is none beyond the largest";
    EXPECT_THAT(client.open(kTokenizer / "kinds/neox").opening, ElementsAre());
}

TEST(RealHelper, TruncatesOnTheAskedSideAndCountsSpecialTokens) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    const std::vector<std::string> texts{"The heron stood in the dry channel and waited.", "The"};
    EXPECT_THAT(client.encode(kTokenizer, texts, {.max_length = 4}).ids,
                ElementsAre(Ids{0, 306, 308, 296}, Ids{0, 306}));
    EXPECT_THAT(client
                    .encode(kTokenizer, texts,
                            {.special_tokens = SpecialTokens::none, .max_length = 4, .keep = Keep::last})
                    .ids,
                ElementsAre(Ids{66, 272, 276, 15}, Ids{306}));
}

TEST(RealHelper, GivesEveryKindOfTextBack) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    const std::vector<std::string> texts{"Dvořák naïvely ate crème brûlée in Łódź.",
                                         "東京は夜の七時。我们走吧！",
                                         "A thumb 👍🏽, a family 👩‍👩‍👧 and a flag 🇪🇪.",
                                         " \t\t two  spaces \r\n",
                                         "quotes \" and \\ and \u2028 and \x7f",
                                         std::string("a nul \0 inside", 13)};
    const auto ids = client.encode(kTokenizer, texts, {.special_tokens = SpecialTokens::none}).ids;
    for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(client.decode(kTokenizer, ids[i]), texts[i]);
}

TEST(RealHelper, AnswersForMoreTextThanOneRequestHolds) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    std::vector<std::string> texts;
    for (int i = 0; i < 3; ++i) {
        std::string& text = texts.emplace_back("Text " + std::to_string(i) + ". ");
        while (text.size() < (std::size_t{3} << 20))
            text += "The heron stood in the dry channel and waited. ";
    }
    const auto sentences = client.split(texts, SentenceRule::rule);
    ASSERT_EQ(sentences.size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(sentences[i].size(), 1 + ((std::size_t{3} << 20) - 8 + 46) / 47);
        EXPECT_EQ(sentences[i].front(), "Text " + std::to_string(i) + ".");
    }
}

TEST(RealHelper, SplitsSentences) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    const std::vector<std::string> texts{"Mr. Fox left. \"Why?\" she asked.", "", "東京は夜。はい。"};
    EXPECT_THAT(client.split(texts, SentenceRule::rule),
                ElementsAre(ElementsAre("Mr. Fox left.", "\"Why?\" she asked."), ElementsAre(),
                            ElementsAre("東京は夜。", "はい。")));
}

TEST(RealHelper, SaysWhichTokenizerIsMissingOrBrokenAndWorksOn) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    const ScratchFolder scratch;
    scratch.write("bare/config.json", "{\"model_type\": \"opt\"}");
    scratch.write("cut/tokenizer.json", "{\"version\": \"1.0\", \"model\": {");
    const std::vector<std::string> texts{"x"};
    const auto error = [&](const std::string& folder) {
        return message_of<DataError>([&] { client.encode(scratch.path() / folder, texts); });
    };
    EXPECT_THAT(error("none"), HasSubstr("none: there is no tokenizer (there is no such folder)"));
    EXPECT_THAT(error("bare"),
                HasSubstr("bare: there is no tokenizer (the folder has no tokenizer files; it has "
                          "config.json). Copy the model's tokenizer files into the folder"));
    EXPECT_THAT(error("cut"), HasSubstr("cut: the tokenizer cannot be read"));
    scratch.write("lfs/tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    EXPECT_THAT(error("lfs"),
                HasSubstr("lfs: the tokenizer cannot be read (tokenizer.json is a pointer of Git "
                          "LFS, not the file itself). Fetch the file: git lfs pull"));
    const Ids outside{99999};
    EXPECT_THAT(message_of<ToolError>([&] { client.decode(kTokenizer, outside); }), HasSubstr("99999"));
    EXPECT_THAT(client.encode(kTokenizer, texts).ids, ElementsAre(Ids{0, 89}));
}

TEST(RealHelper, SaysInWhatTransformersDiffersFromTheFile) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    // transformers 5 loses the first space of a text for Llama 2.
    const std::vector<std::string> texts{" x", "x"};
    const auto encoded = client.encode(kTokenizer / "kinds/llama2", texts);
    EXPECT_THAT(encoded.ids, ElementsAre(Ids{1, 412, 412, 440}, Ids{1, 412, 440}));
    EXPECT_THAT(encoded.differs, ::testing::MatchesRegex("transformers .* reads 1 of 2 texts otherwise"));
}

TEST(RealHelper, NamesTextsThatAVocabularyCannotSpell) {
    SKIP_WITHOUT_PYTHON();
    TokenizerClient client(real_helper());
    const ScratchFolder scratch;
    const auto folder = scratch.path() / "opt";
    std::filesystem::copy(kTokenizer / "kinds/opt", folder);
    std::ifstream file(folder / "vocab.json");
    std::string vocabulary(std::istreambuf_iterator<char>(file), {});
    // The letter for byte 0xAD, the last of "í".
    const std::string letter = "\"\\u0143\"";
    vocabulary.replace(vocabulary.find(letter), letter.size(), "\"none\"");
    scratch.write("opt/vocab.json", vocabulary);
    const std::vector<std::string> texts{"Riga", "R\u00edga"};
    const auto encoded = client.encode(folder, texts);
    EXPECT_THAT(encoded.problems, ElementsAre(::testing::Pair(1U, HasSubstr("vocab.json lacks tokens"))));
    EXPECT_THAT(encoded.ids, ElementsAre(::testing::Not(ElementsAre()), ElementsAre()));
}

TEST(Encoding, NumbersTextsAcrossRequests) {
    SKIP_WITHOUT_PYTHON();
    const ScratchFolder scratch;
    // Two texts fill a request; the second of each is bad.
    const auto script = scratch.write("canned.py",
                                      "import json\n"
                                      "for line in iter(input, ''):\n"
                                      "    request = json.loads(line)\n"
                                      "    count = len(request.get('texts', []))\n"
                                      "    bad = {'1': 'odd'} if count == 2 else {}\n"
                                      "    answer = {'id': request['id'], 'ids': [[1]] * count, 'problems': "
                                      "bad, 'spelled': {'0': ['<s>']}}\n"
                                      "    print(json.dumps(answer), flush=True)\n");
    TokenizerClient client({real_helper().python, script}, kQuick);
    const std::vector<std::string> texts(5, std::string(std::size_t{1} << 19, 'x'));
    const auto encoded = client.encode("/model", texts);
    EXPECT_THAT(encoded.problems, ElementsAre(std::pair(1U, "odd"), std::pair(3U, "odd")));
    std::vector<std::size_t> spelled;
    for (const auto& [number, tokens] : encoded.spelled) spelled.push_back(number);
    EXPECT_THAT(spelled, ElementsAre(0U, 2U, 4U));
}

TEST(RealHelper, SaysHowToInstallATransformersThatIsMissing) {
    SKIP_WITHOUT_PYTHON();
    const ScratchFolder scratch;
    const auto python =
        scratch.write("python", "#!/bin/sh\nexec " + real_helper().python.string() + " -S \"$@\"\n");
    std::filesystem::permissions(python, std::filesystem::perms::owner_all);
    TokenizerClient client({python, real_helper().script});
    EXPECT_EQ(client.versions().transformers, "");
    const auto message =
        message_of<ToolError>([&] { client.encode(kTokenizer, std::vector<std::string>{"x"}); });
    EXPECT_THAT(message, HasSubstr("the tokenizer helper lacks a Python package"));
    EXPECT_THAT(message, HasSubstr("No module named 'tokenizers'"));
    EXPECT_THAT(message, HasSubstr(python.string() + " -m pip install transformers sentencepiece protobuf"));
}

TEST(RealHelper, LeavesNoProcessBehind) {
    SKIP_WITHOUT_PYTHON();
    const double start_s = monotonic_s();
    { TokenizerClient client(real_helper(), {.finish_s = 60}); }
    EXPECT_LT(monotonic_s() - start_s, 30);
    EXPECT_FALSE(has_child());
}

TEST(BrokenHelper, ThatCannotBeStartedIsSaid) {
    EXPECT_THAT(
        message_of<ToolError>([] {
            TokenizerClient({"/nowhere/python3", "/nowhere/helper.py"});
        }),
        HasSubstr(
            "/nowhere/python3 /nowhere/helper.py: the tokenizer helper cannot be started (No such file or "
            "directory). Run ./quickstart"));
    EXPECT_FALSE(has_child());
}

TEST(BrokenHelper, WhoseScriptIsMissingIsQuoted) {
    const auto message = message_of<ToolError>([] {
        TokenizerClient({"/bin/sh", "/nowhere/helper.py"}, kQuick);
    });
    EXPECT_THAT(message, HasSubstr("the tokenizer helper ended before it answered (exit status "));
    EXPECT_THAT(message, HasSubstr("its last messages:\n"));
    EXPECT_THAT(message, HasSubstr("/nowhere/helper.py"));
    EXPECT_FALSE(has_child());
}

TEST(BrokenHelper, ThatDiesMidwayIsSaidWithItsLastWords) {
    const ScratchFolder scratch;
    TokenizerClient client(shell_helper(scratch, "read line; echo 'out of memory' >&2; exit 7\n"), kQuick);
    EXPECT_EQ(client.versions().python, "3.x");
    EXPECT_EQ(client.versions().transformers, "");
    const auto message = encode_error(client);
    EXPECT_THAT(message,
                HasSubstr("ended before it answered (exit status 7; its last messages:\nout of memory\n)"));
    EXPECT_THAT(encode_error(client), HasSubstr("it failed earlier in this run"));
}

TEST(BrokenHelper, ThatIsKilledIsSaid) {
    const ScratchFolder scratch;
    TokenizerClient client(shell_helper(scratch, "read line; kill -9 $$\n"), kQuick);
    EXPECT_THAT(encode_error(client), HasSubstr("(killed by signal 9)"));
}

TEST(BrokenHelper, ThatIsGoneBeforeALargeRequestRaisesNoSignal) {
    const ScratchFolder scratch;
    TokenizerClient client(shell_helper(scratch, "exit 0\n"), kQuick);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const std::vector<std::string> texts{std::string(std::size_t{1} << 19, 'x')};
    EXPECT_THAT(message_of<ToolError>([&] { client.encode("/model", texts); }), HasSubstr("(exit status 0)"));
}

TEST(BrokenHelper, ThatNoLongerReadsRaisesNoSignal) {
    SKIP_WITHOUT_PYTHON();
    const ScratchFolder scratch;
    // A shell cannot shut down half a socket; SIGPIPE would end this very test program.
    const auto script = scratch.write("deaf.py",
                                      "import socket, time\n"
                                      "input()\n"
                                      "socket.socket(fileno=0).shutdown(socket.SHUT_RD)\n"
                                      "print('{\"id\":1}', flush=True)\n"
                                      "time.sleep(1000)\n");
    TokenizerClient client({real_helper().python, script}, kQuick);
    EXPECT_THAT(encode_error(client), HasSubstr("ended before it answered (it closed its connection)"));
}

TEST(BrokenHelper, ThatTalksRubbishIsQuoted) {
    const ScratchFolder scratch;
    const auto command =
        HelperCommand{"/bin/sh", scratch.write("helper.sh", "echo Welcome to module python/3.11\ncat\n")};
    EXPECT_THAT(message_of<ToolError>([&] { TokenizerClient client(command, kQuick); }),
                HasSubstr("does not answer as it should (it wrote: Welcome to module python/3.11)"));
    for (const std::string answer : {"", "[]", "{\"id\":1,\"ids\":[[1]]}", "{\"ids\":[[1]]}", "{\"id\":2}",
                                     "{\"id\":2,\"ids\":[[1],[2]]}", "{\"id\":2,\"ids\":[[\"one\"]]}",
                                     "{\"id\":2,\"ids\":7}", "\xFF\xFE"}) {
        const auto helper =
            shell_helper(scratch, "read line; cat " + scratch.write("answer", answer + "\n").string());
        TokenizerClient client(helper, kQuick);
        EXPECT_THAT(encode_error(client), HasSubstr("does not answer as it should")) << answer;
    }
}

TEST(BrokenHelper, WithAnErrorOfNoKnownKindIsQuoted) {
    const ScratchFolder scratch;
    const std::string error = "{\"id\":2,\"error\":{\"kind\":\"internal\",\"message\":\"KeyError: x\"}}";
    TokenizerClient client(shell_helper(scratch, "read line; echo '" + error + "'; read line"), kQuick);
    EXPECT_THAT(encode_error(client), HasSubstr("/model: the tokenizer helper failed (KeyError: x)"));
}

TEST(BrokenHelper, ThatStaysSilentIsGivenUpAndKilledWithItsChildren) {
    const ScratchFolder scratch;
    const auto pid_file = scratch.path() / "pid";
    const auto command = HelperCommand{
        "/bin/sh",
        scratch.write("helper.sh", "sleep 1000 & echo $! > " + pid_file.string() + "; wait; wait\n")};
    const double start_s = monotonic_s();
    EXPECT_THAT(message_of<ToolError>([&] {
                    TokenizerClient client(command, {.start_s = 0.5, .answer_s = 1, .finish_s = 0.1});
                }),
                HasSubstr("did not answer within 0.5 s (it is still running)"));
    EXPECT_LT(monotonic_s() - start_s, 10);
    EXPECT_FALSE(has_child());
    pid_t child = 0;
    std::ifstream(pid_file) >> child;
    ASSERT_GT(child, 0);
    // The orphan is reaped by init, which may take a moment or, in a container without one, leave a zombie.
    std::string state;
    for (int i = 0; i < 100 && ::kill(child, 0) == 0 && state != "Z"; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        std::string skipped;
        std::ifstream("/proc/" + std::to_string(child) + "/stat") >> skipped >> skipped >> state;
    }
    EXPECT_TRUE(::kill(child, 0) != 0 || state == "Z");
}

TEST(BrokenHelper, ThatReadsNothingIsGivenUp) {
    const ScratchFolder scratch;
    TokenizerClient client(shell_helper(scratch, "sleep 1000\n"),
                           {.start_s = 20, .answer_s = 0.5, .finish_s = 0.1});
    const std::vector<std::string> texts{std::string(std::size_t{1} << 19, 'x')};
    EXPECT_THAT(message_of<ToolError>([&] { client.encode("/model", texts); }),
                HasSubstr("did not answer within 0.5 s"));
}

}  // namespace
}  // namespace memcap::text
