// Weight files that are whole: values, shapes, types, shards and identity.
#include "memcap/hub/safetensors.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "hub/model_folder.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"

namespace memcap::hub {
namespace {

using testing::data_error;
using testing::ModelFolder;
using testing::safetensors;

template <class T>
std::string bytes_of(const std::vector<T>& values) {
    std::string bytes(values.size() * sizeof(T), '\0');
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
}

template <class T>
std::vector<T> values_of(const TensorView& tensor) {
    std::vector<T> values(tensor.data.size() / sizeof(T));
    std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    return values;
}

constexpr std::string_view kIndex = "model.safetensors.index.json";

TEST(WeightFiles, GiveEachTensorValueForValue) {
    const ModelFolder folder;
    const std::vector<float> floats{1.0F, -2.5F, 3e-38F, 0.1F, -0.0F, 7.0F};
    const std::vector<std::uint16_t> halves{0x3f80, 0xbf80, 0x0001};
    folder.write(
        "model.safetensors",
        safetensors(R"({"__metadata__":{"format":"pt"},)"
                    R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[24,30]},)"
                    R"("a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                    R"("c":{"dtype":"F16","shape":[1,3,1],"data_offsets":[30,36]},)"
                    R"("d":{"dtype":"I64","shape":[],"data_offsets":[36,44]},)"
                    R"("e":{"dtype":"F32","shape":[0,5],"data_offsets":[44,44]}}   )",
                    bytes_of(floats) + bytes_of(halves) + bytes_of(halves) + bytes_of<std::int64_t>({-3})));
    const WeightFiles weights = WeightFiles::open(folder.path());
    ASSERT_EQ(weights.tensors().size(), 5U);
    const TensorView& a = weights.require("a", std::array<std::int64_t, 2>{2, 3});
    EXPECT_EQ(a.dtype, Dtype::float32);
    EXPECT_EQ(bytes_of(values_of<float>(a)), bytes_of(floats)) << "bit for bit, the sign of zero as well";
    EXPECT_EQ(values_of<std::uint16_t>(weights.tensors().at("b")), halves);
    EXPECT_EQ(weights.tensors().at("b").dtype, Dtype::bfloat16);
    EXPECT_EQ(weights.tensors().at("c").dtype, Dtype::float16);
    EXPECT_EQ(weights.tensors().at("c").shape, (std::vector<std::int64_t>{1, 3, 1}));
    EXPECT_EQ(weights.tensors().at("d").dtype, Dtype::other);
    EXPECT_EQ(values_of<std::int64_t>(weights.tensors().at("d")), std::vector<std::int64_t>{-3});
    EXPECT_TRUE(weights.tensors().at("e").data.empty());
    EXPECT_FALSE(weights.contains("__metadata__"));
    EXPECT_EQ(weights.files(), std::vector{folder.file("model.safetensors")});
    EXPECT_EQ(weights.size_bytes(),
              static_cast<std::int64_t>(std::filesystem::file_size(folder.file("model.safetensors"))));
}

TEST(WeightFiles, OfOneFileGoBeforeAnIndexThatWasLeftBesideIt) {
    const ModelFolder folder;
    const auto file = [](const std::string& data) {
        return safetensors(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", data);
    };
    folder.write("model.safetensors", file("n"));
    folder.write("old.safetensors", file("o"));
    folder.write(kIndex, R"({"weight_map":{"w":"old.safetensors"}})");
    EXPECT_EQ(weight_files(folder.path()), std::vector{folder.file("model.safetensors")});
    EXPECT_EQ(values_of<char>(WeightFiles::open(folder.path()).tensors().at("w")), std::vector{'n'});
    std::filesystem::remove(folder.file("model.safetensors"));
    EXPECT_EQ(values_of<char>(WeightFiles::open(folder.path()).tensors().at("w")), std::vector{'o'});
}

TEST(WeightFiles, HaveTensorsOfEachTypeOfTheFormat) {
    const ModelFolder folder;
    for (const char* type :
         {"F64", "I64", "U64",  "C64",     "F32",     "I32",     "U32",         "BF16",
          "F16", "I16", "U16",  "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
          "I8",  "U8",  "BOOL", "F6_E2M3", "F6_E3M2", "F4"}) {
        bool read = false;
        // Eight elements take as many bytes as one has bits.
        for (const std::size_t bits : {4U, 6U, 8U, 16U, 32U, 64U}) {
            folder.write("model.safetensors",
                         safetensors(R"({"w":{"dtype":")" + std::string(type) +
                                         R"(","shape":[8],"data_offsets":[0,)" + std::to_string(bits) + "]}}",
                                     std::string(bits, 'x')));
            try {
                EXPECT_EQ(WeightFiles::open(folder.path()).tensors().at("w").type, type);
                read = true;
            } catch (const DataError&) {
            }
        }
        EXPECT_TRUE(read) << type;
    }
}

TEST(WeightFiles, GiveTensorsThatLieAtOddAddresses) {
    const ModelFolder folder;
    const std::vector<float> floats{1.25F, -8.0F};
    // 8 bytes of length, a header of odd size and one byte before the floats, or none.
    for (const std::string_view padding : {"", " "}) {
        folder.write("model.safetensors",
                     safetensors(R"({"flag":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                 R"("odd":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})" +
                                     std::string(padding),
                                 "\x07" + bytes_of(floats)));
        const WeightFiles weights = WeightFiles::open(folder.path());
        EXPECT_EQ(values_of<float>(weights.tensors().at("odd")), floats);
    }
}

TEST(WeightFiles, AreGatheredFromTheShardsOfTheIndex) {
    const ModelFolder folder;
    folder.write(
        "part-2.safetensors",
        safetensors(R"({"late":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", bytes_of<float>({2.0F})));
    folder.write("part-1.safetensors",
                 safetensors(R"({"early":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                             bytes_of<float>({1.0F})));
    folder.write(kIndex, R"({"metadata":{"total_size":8},)"
                         R"("weight_map":{"late":"part-2.safetensors","early":"part-1.safetensors"}})");
    const WeightFiles weights = WeightFiles::open(folder.path());
    EXPECT_EQ(values_of<float>(weights.tensors().at("early")), std::vector<float>{1.0F});
    EXPECT_EQ(values_of<float>(weights.tensors().at("late")), std::vector<float>{2.0F});
    EXPECT_EQ(weights.files(),
              (std::vector{folder.file("part-1.safetensors"), folder.file("part-2.safetensors")}));
}

TEST(WeightFiles, StayReadableWhenTheyAreMoved) {
    const ModelFolder folder;
    folder.write("model.safetensors", safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                                                  bytes_of<float>({4.5F})));
    WeightFiles first = WeightFiles::open(folder.path());
    const WeightFiles second = std::move(first);
    EXPECT_EQ(values_of<float>(second.tensors().at("a")), std::vector<float>{4.5F});
    EXPECT_EQ(second.folder(), folder.path());
}

TEST(WeightFiles, SayWhichTensorIsMissingOrHasAnotherShape) {
    const ModelFolder folder;
    folder.write("model.safetensors",
                 safetensors(R"({"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}})",
                             bytes_of<float>({1.0F, 2.0F})));
    const WeightFiles weights = WeightFiles::open(folder.path());
    const auto require = [&](const char* name, std::vector<std::int64_t> shape) {
        return data_error(folder, [&] { weights.require(name, shape); });
    };
    EXPECT_EQ(require("a", {2, 1}), "no error");
    EXPECT_EQ(require("b", {2, 1}),
              ": tensor 'b' is missing (config.json asks for it, no weight file has it). "
              "Check that all weight files were copied and belong to this config");
    EXPECT_EQ(require("a", {1, 2}),
              ": tensor 'a' has shape [2, 1] (config.json makes it [1, 2]). "
              "Check that config.json and the weights are of one model");
    EXPECT_NE(require("a", {2}), "no error");
    EXPECT_NE(require("a", {2, 1, 1}), "no error");
}

TEST(WeightsIdentity, OfOneFileIsItsSha256) {
    const ModelFolder folder;
    folder.write("model.safetensors", "abc");  // FIPS 180-4's first example; identity needs no valid content
    EXPECT_EQ(weights_sha256(folder.path()),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(WeightsIdentity, OfShardsIsThatOfTheirNamesAndDigestsInNameOrder) {
    const ModelFolder folder;
    folder.write("b.safetensors", "abc");
    folder.write("a.safetensors", "");
    folder.write(kIndex, R"({"weight_map":{"x":"b.safetensors","y":"a.safetensors","z":"b.safetensors"}})");
    // printf 'a.safetensors e3b0...\nb.safetensors ba78...\n' | sha256sum
    EXPECT_EQ(weights_sha256(folder.path()),
              sha256_hex(as_bytes(
                  "a.safetensors e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"
                  "b.safetensors ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n")));
    const std::string before = weights_sha256(folder.path());
    folder.write("a.safetensors", "x");
    EXPECT_NE(weights_sha256(folder.path()), before);
}

TEST(WeightsIdentity, NeedsWeights) {
    const ModelFolder folder;
    EXPECT_TRUE(weight_files(folder.path()).empty());
    EXPECT_EQ(data_error(folder, [&] { weights_sha256(folder.path()); }),
              ": no safetensors file in the model folder. "
              "Give the folder that holds config.json and model.safetensors");
}

}  // namespace
}  // namespace memcap::hub
