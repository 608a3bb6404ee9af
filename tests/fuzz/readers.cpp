// The readers of src/hub, each with all the accessors of what it gives.
#include "fuzz/readers.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "hub/detail/json_text.hpp"
#include "hub/detail/weight_formats.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/hub/safetensors.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::fuzz {

namespace {

namespace fs = std::filesystem;
using hub::ModelConfig;
using hub::TensorView;
using hub::WeightFiles;
using Tensors = std::map<std::string, TensorView>;

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

void check(bool holds, const char* what) {
    if (!holds) throw std::logic_error(what);
}

/// Whether the call came to its end; false where it threw a DataError that names the place.
template <class Call>
bool succeeds(std::string_view place, Call call) {
    try {
        call();
    } catch (const DataError& error) {
        check(std::string_view(error.what()).starts_with(place), "an error does not name the place");
        return false;
    }
    return true;
}

std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write(const fs::path& path, std::span<const std::byte> bytes) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    check(static_cast<bool>(file.flush()), "the file for the input cannot be written");
}

/// A safetensors file with one tensor of four bytes.
std::string small_shard(const std::string& tensor) {
    const std::string header = "{\"" + tensor + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    const std::uint64_t size = header.size();
    std::string bytes(sizeof(size), '\0');
    std::memcpy(bytes.data(), &size, sizeof(size));
    return bytes + header + "1234";
}

/// Whether the bytes are those of so many elements of 4 to 64 bits.
bool shape_fits(const TensorView& tensor) {
    if (std::ranges::find(tensor.shape, 0) != tensor.shape.end()) return tensor.data.empty();
    // Dividing cannot overflow, as multiplying can.
    std::size_t rest = 8 * tensor.data.size();
    for (const std::int64_t extent : tensor.shape) {
        if (extent < 0 || rest % static_cast<std::size_t>(extent) != 0) return false;
        rest /= static_cast<std::size_t>(extent);
    }
    return 4 <= rest && rest <= 64;
}

/// Reads each byte of each view, so that a sanitizer sees one outside of `bytes`; the views share none, and
/// between the header and the end of the file they leave none out.
void check_views(const Tensors& tensors, std::span<const std::byte> bytes) {
    std::vector<std::uint8_t> uses(bytes.size());
    for (const auto& [name, tensor] : tensors) {
        const auto offset = static_cast<std::size_t>(tensor.data.data() - bytes.data());
        check(offset <= bytes.size() && tensor.data.size() <= bytes.size() - offset,
              "a view lies outside of the file");
        for (std::size_t i = 0; i < tensor.data.size(); ++i) {
            check(tensor.data[i] == bytes[offset + i] && ++uses[offset + i] == 1, "two views share a byte");
        }
        check(shape_fits(tensor), "a shape does not fit its bytes");
    }
    std::uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
    check(std::ranges::count(uses, 1) + static_cast<std::ptrdiff_t>(sizeof(header_bytes) + header_bytes) ==
              static_cast<std::ptrdiff_t>(bytes.size()),
          "bytes belong to no tensor");
}

void check_accessors(const WeightFiles& weights) {
    const auto place = weights.folder().string();
    for (const auto& entry : weights.tensors()) {
        // Clang 14 captures no structured bindings.
        const std::string& name = entry.first;
        const TensorView& tensor = entry.second;
        check(weights.contains(name), "a tensor is not contained");
        check(&weights.require(name, tensor.shape) == &tensor, "a tensor is not found by its name and shape");
        auto other_shape = tensor.shape;
        other_shape.push_back(1);
        check(!succeeds(place, [&] { weights.require(name, other_shape); }), "a wrong shape is accepted");
        check(!hub::to_string(tensor.dtype).empty(), "a type has no name");
    }
    check(weights.contains("absent") || !succeeds(place, [&] { weights.require("absent", {}); }),
          "an absent tensor is found");
}

void check_config(const ModelConfig& config, int depth) {
    const auto place = config.file().string();
    const auto gives = [&](auto getter) { return succeeds(place, [&] { getter(); }); };
    auto keys = config.keys();
    for (const std::string& key : keys) {
        check(config.has(key) && !config.is_null(key), "a key is not there");
        const bool whole = gives([&] { config.integer(key); });
        check(!whole || gives([&] { config.number(key); }), "an integer is no number");
        const bool size = gives([&] { config.size(key); });
        check(!size || (whole && config.integer(key) == config.size(key, 1)), "a size is no integer");
        check(gives([&] { config.text(key); }) == config.is_text(key), "a text is none");
        const bool all_whole = gives([&] { config.integers(key); });
        const bool all_numbers = gives([&] { config.numbers(key); });
        check(!all_whole || all_numbers, "integers are no numbers");
        const bool list = all_numbers || gives([&] { config.texts(key); });
        const bool flag = gives([&] { config.boolean(key); });
        const bool object = gives([&] {
            if (const auto nested = config.object(key)) check_config(*nested, depth + 1);
        });
        check(list + flag + object + (whole || gives([&] { config.number(key); })) + config.is_text(key) <= 1,
              "a value has two types");
        check(!gives([&] { config.reject(key, "not this one"); }), "a rejected key is accepted");
    }
    check(gives([&] { config.allow_only({keys.begin(), keys.end()}); }), "a known key is unknown");
    gives([&] { config.allow_only({}); });
    check(depth > 0 || gives([&] {
                           config.read_naming_all([](auto& part) { part.allow_only({}, "llama"); });
                       }) == gives([&] { config.allow_only({}, "llama"); }),
          "a key is wrong by itself and right with the others, or the other way round");
    gives([&] { config.architecture(); });
    check(config.has("absent") || (config.integer("absent", 3) == 3 && config.text("absent", "x") == "x"),
          "an absent key has a value");
    check(depth < hub::detail::kMaxJsonDepth, "objects nest deeper than allowed");
}

/// A folder that lives as long as the program, since making one takes longer than reading most inputs.
struct ShardFolder {
    ShardFolder() {
        for (const char* name : {"one", "two"})
            write(folder / (std::string(name) + ".safetensors"), as_bytes_of(small_shard(name)));
        write(folder / "cut.safetensors", as_bytes_of(small_shard("cut").substr(0, 40)));
        fs::create_directory(folder / "folder");
    }
    static std::span<const std::byte> as_bytes_of(std::string_view text) {
        return std::as_bytes(std::span(text));
    }
    test::TemporaryFolder folder;
};

}  // namespace

Outcome read_weights(std::span<const std::byte> bytes) {
    static const test::TemporaryFolder folder;
    const fs::path file = folder / kWeights;
    Tensors tensors;
    const bool usable = succeeds(file.string(), [&] { hub::detail::add_tensors(file, bytes, tensors); });
    if (!usable) return Outcome::refused;
    check_views(tensors, bytes);
    write(file, bytes);
    const WeightFiles weights = WeightFiles::open(folder.path());
    check(weights.tensors().size() == tensors.size(), "a file has other tensors than its bytes");
    for (const auto& [name, tensor] : weights.tensors()) {
        check(std::ranges::equal(tensor.data, tensors.at(name).data), "a mapped tensor has other bytes");
    }
    check_accessors(weights);
    return Outcome::read;
}

Outcome read_config(std::span<const std::byte> bytes) {
    const fs::path file = "folder/config.json";
    const bool usable =
        succeeds(file.string(), [&] { check_config(ModelConfig::parse(file, text_of(bytes)), 0); });
    return usable ? Outcome::read : Outcome::refused;
}

Outcome read_index(std::span<const std::byte> bytes) {
    static const ShardFolder shards;
    const fs::path folder = shards.folder.path();
    std::vector<std::string> names;
    const bool usable = succeeds((folder / kIndex).string(), [&] {
        names = hub::detail::shards_of_index(folder / kIndex, text_of(bytes));
    });
    if (!usable) return Outcome::refused;
    check(!names.empty() && std::ranges::adjacent_find(names, std::ranges::greater_equal()) == names.end(),
          "the files of an index are not each once in name order");
    for (const std::string& name : names) {
        check(name.find('/') == std::string::npos && std::strlen(name.c_str()) == name.size(),
              "a shard may lie outside of the folder");
    }
    write(folder / kIndex, bytes);
    const bool opened = succeeds(folder.string(), [&] { check_accessors(WeightFiles::open(folder)); });
    return opened ? Outcome::read : Outcome::refused;
}

}  // namespace memcap::fuzz
