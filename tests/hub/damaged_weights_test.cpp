// Weight files that are cut, contradict themselves or lie: each ends in an error that names file and tensor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "hub/model_folder.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/hub/tokenizer_files.hpp"

namespace memcap::hub {
namespace {

using testing::data_error;
using testing::ModelFolder;
using testing::safetensors;

constexpr std::string_view kFile = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr std::string_view kAgain = "Copy or download the file again and compare its SHA-256";

std::string error_of(const ModelFolder& folder) {
    return data_error(folder, [&] { WeightFiles::open(folder.path()); });
}

std::string error_of_file(std::string_view content) {
    const ModelFolder folder;
    folder.write(kFile, content);
    return error_of(folder);
}

/// What is said of a file with one tensor 'w', given its header entry and 8 bytes of data.
std::string error_of_entry(const std::string& entry) {
    return error_of_file(safetensors("{\"w\":" + entry + "}", "12345678"));
}

std::string expected_of_entry(const std::string& why) {
    return "/model.safetensors: tensor 'w' is not usable (" + why + "). " + std::string(kAgain);
}

TEST(DamagedWeights, CutAtAnyLengthAreRefusedWithoutAWrongWordAboutTheCause) {
    const std::string header = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    const std::string whole = safetensors(header, "12345678");
    ASSERT_EQ(error_of_file(whole), "no error");
    for (std::size_t size = 0; size < whole.size(); ++size) {
        std::string expected;
        if (size < 8) {
            expected = "/model.safetensors: not a safetensors file (it is shorter than 8 bytes). ";
        } else if (size < 8 + header.size()) {
            expected = "/model.safetensors: not a whole safetensors file (its header should have " +
                       std::to_string(header.size()) + " bytes, the file has " + std::to_string(size) + "). ";
        } else {
            expected =
                "/model.safetensors: tensor 'w' is not usable (its bytes 0..8 lie outside the file's data "
                "of " +
                std::to_string(size - 8 - header.size()) + " bytes: the file is cut). ";
        }
        EXPECT_EQ(error_of_file(whole.substr(0, size)), expected + std::string(kAgain));
    }
}

TEST(DamagedWeights, WithAnAbsurdHeaderLengthAreRefused) {
    for (const std::uint64_t length :
         {std::uint64_t{3}, std::uint64_t{1} << 32, std::uint64_t{1} << 63, UINT64_MAX - 7, UINT64_MAX}) {
        std::string bytes(8, '\0');
        std::memcpy(bytes.data(), &length, 8);
        EXPECT_EQ(error_of_file(bytes + "{}"),
                  "/model.safetensors: not a whole safetensors file (its header should have " +
                      std::to_string(length) + " bytes, the file has 10). " + std::string(kAgain));
    }
}

TEST(DamagedWeights, WithAHeaderBeyondTheFormatsLimitAreRefusedEvenIfItIsThere) {
    const ModelFolder folder;
    std::string bytes(8, '\0');
    const std::uint64_t length = 100'000'001;
    std::memcpy(bytes.data(), &length, 8);
    folder.write(kFile, bytes);
    std::filesystem::resize_file(folder.file(kFile), length + 8);  // a hole: takes no room on the disk
    EXPECT_TRUE(error_of(folder).starts_with("/model.safetensors: not a whole safetensors file"));
}

TEST(DamagedWeights, WhoseHeaderIsNoJsonObjectAreRefused) {
    const std::string expected =
        "/model.safetensors: not a safetensors file (its header is not a JSON object). " +
        std::string(kAgain);
    for (const std::string_view header :
         {"", "   ", "[]", "3", "null", "{", "{}x", "{\"w\":}", "{'w':1}", "\xff\xfe", "{\"\xff\":{}}"}) {
        EXPECT_EQ(error_of_file(safetensors(header, "12345678")), expected) << header;
    }
}

TEST(DamagedWeights, ThatAreAPointerOfGitLfsSayWhatToDo) {
    const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 562176\n";
    const std::string expected =
        ": this is a Git LFS pointer, not the file itself (the repository was cloned without its large "
        "files). "
        "Run `git lfs pull` in the clone that the folder came from";
    EXPECT_EQ(error_of_file(pointer), "/model.safetensors" + expected);
    const ModelFolder folder;
    folder.write(kIndex, pointer);
    EXPECT_EQ(error_of(folder), "/model.safetensors.index.json" + expected);
    folder.write("config.json", pointer);
    EXPECT_EQ(data_error(folder, [&] { ModelConfig::load(folder.path()); }), "/config.json" + expected);
    for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt"}) {
        const ModelFolder of_tokenizer;
        EXPECT_EQ(data_error(of_tokenizer, [&] { check_tokenizer_files(of_tokenizer.path()); }), "no error");
        of_tokenizer.write(name, pointer);
        EXPECT_EQ(data_error(of_tokenizer, [&] { check_tokenizer_files(of_tokenizer.path()); }),
                  "/" + std::string(name) + expected);
    }
}

TEST(DamagedWeights, ThatAreAPageOfAWebServerSaySo) {
    for (const char* page :
         {"<!doctype html><html><body>Log in</body></html>", "\n <HTML lang=en>", "Entry not found"}) {
        EXPECT_TRUE(error_of_file(page).starts_with(
            "/model.safetensors: this is a page of a web server, not the file itself"))
            << page;
    }
    EXPECT_TRUE(
        error_of_file("Entry not found in the dictionary").starts_with("/model.safetensors: not a whole"));
}

TEST(DamagedWeights, WithAnIncompleteEntryAreRefused) {
    for (const char* entry : {"null", "7", "[]", "{}", R"({"shape":[2],"data_offsets":[0,8]})",
                              R"({"dtype":"F32","data_offsets":[0,8]})", R"({"dtype":"F32","shape":[2]})",
                              R"({"dtype":32,"shape":[2],"data_offsets":[0,8]})",
                              R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})",
                              R"({"dtype":"F32","shape":[2],"data_offsets":[0]})",
                              R"({"dtype":"F32","shape":[2],"data_offsets":[0,4,8]})",
                              R"({"dtype":"F32","shape":[2],"data_offsets":{"begin":0,"end":8}})"}) {
        EXPECT_EQ(error_of_entry(entry),
                  expected_of_entry("its header entry lacks dtype, shape or data_offsets"))
            << entry;
    }
}

TEST(DamagedWeights, OfAnUnknownTypeAreRefused) {
    EXPECT_EQ(error_of_entry(R"({"dtype":"F31","shape":[2],"data_offsets":[0,8]})"),
              expected_of_entry("its type 'F31' is unknown"));
    EXPECT_EQ(error_of_entry(R"({"dtype":"f32","shape":[2],"data_offsets":[0,8]})"),
              expected_of_entry("its type 'f32' is unknown"));
}

TEST(DamagedWeights, WithAShapeThatIsNoListOfCountsAreRefused) {
    for (const char* shape :
         {"[-2]", "[2.0]", "[\"2\"]", "[null]", "[[2]]", "[18446744073709551616]", "[true]"}) {
        EXPECT_EQ(
            error_of_entry(std::string(R"({"dtype":"F32","shape":)") + shape + R"(,"data_offsets":[0,8]})"),
            expected_of_entry("its shape has an entry that is not a count"))
            << shape;
    }
}

TEST(DamagedWeights, WhoseShapeOverflowsAreRefused) {
    // Each product is 8 bytes, or none, in 64-bit arithmetic that wraps.
    for (const char* shape : {"[4294967296,4294967296]", "[4611686018427387906]", "[9223372036854775808]",
                              "[18446744073709551615]", "[2,4611686018427387905]",
                              "[2097152,2097152,2097152]", "[576460752303423488]"}) {
        EXPECT_EQ(
            error_of_entry(std::string(R"({"dtype":"F32","shape":)") + shape + R"(,"data_offsets":[0,8]})"),
            expected_of_entry("its shape overflows 64 bits"))
            << shape;
    }
}

TEST(DamagedWeights, WhoseOffsetsAreNoCountsAreRefused) {
    for (const char* offsets :
         {"[-8,0]", "[0,-8]", "[0.0,8.0]", "[\"0\",\"8\"]", "[null,8]", "[0,18446744073709551616]"}) {
        EXPECT_EQ(
            error_of_entry(std::string(R"({"dtype":"F32","shape":[2],"data_offsets":)") + offsets + "}"),
            expected_of_entry("its data_offsets are not counts"))
            << offsets;
    }
}

TEST(DamagedWeights, WhoseOffsetsLieOutsideTheFileOrRunBackwardsAreRefused) {
    const std::vector<std::pair<const char*, const char*>> cases{
        {"[0,9]", "0..9"},
        {"[1,9]", "1..9"},
        {"[8,16]", "8..16"},
        {"[8,0]", "8..0"},
        {"[0,18446744073709551615]", "0..18446744073709551615"},
        {"[18446744073709551612,4]", "18446744073709551612..4"}};
    for (const auto& [offsets, span] : cases) {
        EXPECT_EQ(
            error_of_entry(std::string(R"({"dtype":"F32","shape":[2],"data_offsets":)") + offsets + "}"),
            expected_of_entry(std::string("its bytes ") + span +
                              " lie outside the file's data of 8 bytes: the file is cut"));
    }
}

TEST(DamagedWeights, WhoseOffsetsDisagreeWithTheShapeAreRefused) {
    EXPECT_EQ(error_of_entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})"),
              expected_of_entry("F32 of shape [1] takes 4 bytes, its data_offsets span 8"));
    EXPECT_EQ(error_of_entry(R"({"dtype":"BF16","shape":[2,2],"data_offsets":[0,4]})"),
              expected_of_entry("BF16 of shape [2, 2] takes 8 bytes, its data_offsets span 4"));
    EXPECT_EQ(error_of_entry(R"({"dtype":"F32","shape":[],"data_offsets":[0,0]})"),
              expected_of_entry("F32 of shape [] takes 4 bytes, its data_offsets span 0"));
}

TEST(DamagedWeights, WhoseTensorsShareBytesAreRefused) {
    const auto two = [](const std::string& first, const std::string& second) {
        return error_of_file(safetensors(R"({"late":{"dtype":"F32","shape":[1],"data_offsets":)" + first +
                                             R"(},"early":{"dtype":"F32","shape":[1],"data_offsets":)" +
                                             second + "}}",
                                         "12345678"));
    };
    const std::string expected =
        "/model.safetensors: tensors 'early' and 'late' overlap (their data_offsets share bytes). " +
        std::string(kAgain);
    EXPECT_EQ(two("[4,8]", "[0,4]"), "no error");
    EXPECT_EQ(two("[3,7]", "[0,4]"), expected);
    EXPECT_EQ(two("[1,5]", "[0,4]"), expected);
    EXPECT_EQ(two("[0,4]", "[0,4]"), expected);
}

TEST(DamagedWeights, WithBytesOfNoTensorAreRefused) {
    const auto of_data = [](std::string_view data) {
        return error_of_file(safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                         R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},)"
                                         R"("none":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}})",
                                         data));
    };
    const auto expected = [](const std::string& why) {
        return "/model.safetensors: not a whole safetensors file (" + why + "). " + std::string(kAgain);
    };
    EXPECT_EQ(of_data("1234"), "no error");
    EXPECT_EQ(of_data("12345"), expected("the last 1 bytes of it belong to no tensor"));
    EXPECT_EQ(error_of_file(safetensors("{}", "x")), expected("the last 1 bytes of it belong to no tensor"));
    EXPECT_EQ(error_of_entry(R"({"dtype":"U8","shape":[4],"data_offsets":[4,8]})"),
              expected("the 4 bytes before tensor 'w' belong to none"));
    EXPECT_EQ(error_of_entry(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})"),
              expected("the last 4 bytes of it belong to no tensor"));
    EXPECT_EQ(error_of_file(safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                        R"("b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})",
                                        "12345")),
              expected("the 1 bytes before tensor 'b' belong to none"));
}

TEST(DamagedWeights, WhoseNotesAreNoTextsAreRefused) {
    for (const char* notes : {"3", "[]", R"({"a":1})", R"({"a":null})"}) {
        EXPECT_EQ(
            error_of_file(safetensors(R"({"__metadata__":)" + std::string(notes) + "}", "")),
            "/model.safetensors: not a safetensors file (its '__metadata__' is not an object of texts). " +
                std::string(kAgain));
    }
    EXPECT_EQ(error_of_file(safetensors(R"({"__metadata__":null})", "")), "no error");
}

TEST(DamagedWeights, OfTypesNarrowerThanAByteHaveWholeBytes) {
    EXPECT_EQ(error_of_entry(R"({"dtype":"F4","shape":[16],"data_offsets":[0,8]})"), "no error");
    EXPECT_EQ(error_of_entry(R"({"dtype":"F4","shape":[15],"data_offsets":[0,8]})"),
              expected_of_entry("its 60 bits are no whole bytes"));
    EXPECT_EQ(error_of_entry(R"({"dtype":"F6_E2M3","shape":[8],"data_offsets":[0,8]})"),
              expected_of_entry("F6_E2M3 of shape [8] takes 6 bytes, its data_offsets span 8"));
}

TEST(DamagedWeights, WithATensorInsideALargerOneAreRefused) {
    EXPECT_EQ(error_of_file(safetensors(R"({"all":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                                        R"("one":{"dtype":"U8","shape":[1],"data_offsets":[6,7]}})",
                                        "12345678")),
              "/model.safetensors: tensors 'all' and 'one' overlap (their data_offsets share bytes). " +
                  std::string(kAgain));
}

TEST(DamagedWeights, WithANameTwiceInAHeaderAreRefused) {
    EXPECT_EQ(error_of_file(safetensors(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                                        R"("w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                                        "12345678")),
              "/model.safetensors: tensor 'w' is in the header twice. " + std::string(kAgain));
}

TEST(DamagedWeights, WithANameInTwoShardsAreRefused) {
    const ModelFolder folder;
    const auto shard = safetensors(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234");
    folder.write("a.safetensors", shard);
    folder.write("b.safetensors", shard);
    folder.write(kIndex, R"({"weight_map":{"w":"a.safetensors","v":"b.safetensors"}})");
    EXPECT_EQ(error_of(folder), "/b.safetensors: tensor 'w' is in two files. " + std::string(kAgain));
}

TEST(DamagedWeights, WhoseShardIsNamedWithAPathAreRefused) {
    for (const char* name : {"\"../x.safetensors\"", "\"/etc/passwd\"", "\"sub/x.safetensors\"", "\"..\"",
                             "\".\"", "\"\"", "3", "null", "[\"x.safetensors\"]"}) {
        const ModelFolder folder;
        folder.write(kIndex, std::string(R"({"weight_map":{"w":)") + name + "}}");
        EXPECT_EQ(error_of(folder),
                  "/model.safetensors.index.json: tensor 'w' has no plain file name. " + std::string(kAgain))
            << name;
    }
}

TEST(DamagedWeights, WithoutOneOfTheShardsAreRefused) {
    const ModelFolder folder;
    folder.write("a.safetensors", safetensors("{}", ""));
    folder.write(kIndex, R"({"weight_map":{"w":"a.safetensors","v":"b.safetensors"}})");
    EXPECT_EQ(error_of(folder),
              "/b.safetensors: cannot read the weight file (No such file or directory). "
              "Check that it exists and that you may read it");
}

TEST(DamagedWeights, WithAnIndexThatIsNoneAreRefused) {
    for (const char* index : {"", "[]", "{}", "{\"weight_map\":", R"({"weight_map":["a.safetensors"]})",
                              R"({"weight_map":null})", R"({"metadata":{"total_size":4}})"}) {
        const ModelFolder folder;
        folder.write(kIndex, index);
        EXPECT_EQ(error_of(folder),
                  "/model.safetensors.index.json: not an index of weight files "
                  "(it has no object 'weight_map'). " +
                      std::string(kAgain))
            << index;
    }
    const ModelFolder folder;
    folder.write(kIndex, R"({"weight_map":{}})");
    EXPECT_EQ(error_of(folder),
              "/model.safetensors.index.json: not an index of weight files "
              "(its 'weight_map' names no file). " +
                  std::string(kAgain));
}

TEST(MissingWeights, AreReportedWithTheFolder) {
    const ModelFolder folder;
    EXPECT_EQ(error_of(folder),
              ": no safetensors file in the model folder. "
              "Give the folder that holds config.json and model.safetensors");
}

TEST(MissingWeights, AreToldFromShardsWithoutAnIndex) {
    const ModelFolder folder;
    folder.write("model-00002-of-00002.safetensors", "");
    EXPECT_EQ(
        error_of(folder),
        ": the folder has a weight file and neither model.safetensors nor model.safetensors.index.json "
        "(model-00002-of-00002.safetensors). Fetch model.safetensors.index.json, which says what is in "
        "which file, from where these are from; if one file has all tensors, call it model.safetensors");
    folder.write("model-00001-of-00002.safetensors", "");
    EXPECT_THAT(error_of(folder), ::testing::HasSubstr("has weight files and neither"));
    EXPECT_THAT(error_of(folder),
                ::testing::HasSubstr("(model-00001-of-00002.safetensors, model-00002-of-00002.safetensors)"));
}

TEST(MissingWeights, AreNoFolderOfTheirName) {
    const ModelFolder folder;
    std::filesystem::create_directory(folder.path() / "model.safetensors");
    EXPECT_EQ(
        error_of(folder),
        "/model.safetensors: cannot read the weight file (it is a folder). Put the file itself in its place");
}

/// The message for a folder of pickles; tests/e2e runs the command in it.
std::string pickled_message(const std::string& folder_in_shell) {
    return ": no safetensors file in the model folder (it has only pytorch_model.bin, whose pickles memcap "
           "does not run). Convert it once, where torch and transformers are installed: python -c \"import "
           "sys; from transformers import AutoModelForCausalLM as M; "
           "M.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])\" " +
           folder_in_shell;
}

TEST(MissingWeights, ComeWithTheCommandThatConvertsPickledOnes) {
    for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
        const ModelFolder folder;
        folder.write(name, "");
        EXPECT_EQ(error_of(folder), pickled_message("'" + folder.path().string() + "'")) << name;
    }
}

TEST(MissingWeights, AreConvertedInAFolderOfAnyName) {
    const ModelFolder folder;
    const auto odd = folder.file("it's $HOME");
    std::filesystem::create_directory(odd);
    std::ofstream(odd / "pytorch_model.bin") << "pickle";
    try {
        WeightFiles::open(odd);
        FAIL() << "no error";
    } catch (const DataError& error) {
        const std::string quoted = "'" + folder.path().string() + "/it'\\''s $HOME'";
        EXPECT_EQ(error.what(), odd.string() + pickled_message(quoted));
    }
}

TEST(MissingWeights, BehindALinkThatLeadsNowhereAreReportedWithIt) {
    for (const std::string_view name : {kFile, kIndex, std::string_view("pytorch_model.bin")}) {
        const ModelFolder folder;
        std::filesystem::create_symlink("../blobs/4665", folder.file(name));
        const std::string end = (folder.path().parent_path() / "blobs/4665").string();
        EXPECT_TRUE(error_of(folder).starts_with("/" + std::string(name) +
                                                 ": this link leads nowhere: " + end + " is not there ("))
            << error_of(folder);
    }
    const ModelFolder folder;
    std::filesystem::create_symlink("gone", folder.file("a.safetensors"));
    folder.write(kIndex, R"({"weight_map":{"w":"a.safetensors"}})");
    EXPECT_TRUE(error_of(folder).starts_with("/a.safetensors: cannot read the weight file (it is a link to "))
        << error_of(folder);
    std::filesystem::create_symlink("gone", folder.file("config.json"));
    EXPECT_TRUE(data_error(folder, [&] {
                    ModelConfig::load(folder.path());
                }).starts_with("/config.json: this link leads nowhere: "));
}

TEST(MissingWeights, AreReportedWhereAFolderStandsInTheirPlace) {
    const ModelFolder folder;
    std::filesystem::create_directory(folder.file(kFile));
    EXPECT_TRUE(error_of(folder).starts_with("/model.safetensors: cannot read the weight file ("))
        << error_of(folder);
}

}  // namespace
}  // namespace memcap::hub
