// The safetensors format, https://github.com/huggingface/safetensors (README, "Format"), and its index.
#include "hub/detail/weight_formats.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "hub/detail/json_text.hpp"
#include "hub/detail/stand_ins.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/git_lfs.hpp"

namespace memcap::hub::detail {

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& file, std::string what, std::string why = {}) {
    throw DataError(file, {.what = std::move(what),
                           .where = {},
                           .why = std::move(why),
                           .advice = "Copy or download the file again and compare its SHA-256"});
}

Dtype parse_dtype(const std::string& name) {
    if (name == "F32") return Dtype::float32;
    if (name == "BF16") return Dtype::bfloat16;
    if (name == "F16") return Dtype::float16;
    return Dtype::other;
}

/// Bits of an element, 0 for an unknown type name: the types of safetensors 0.8.
std::uint64_t element_bits(const std::string& dtype) {
    static const std::map<std::string, std::uint64_t> sizes{
        {"F64", 64},    {"I64", 64},    {"U64", 64},        {"C64", 64},        {"F32", 32}, {"I32", 32},
        {"U32", 32},    {"BF16", 16},   {"F16", 16},        {"I16", 16},        {"U16", 16}, {"F8_E4M3", 8},
        {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I8", 8},   {"U8", 8},
        {"BOOL", 8},    {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"F4", 4}};
    const auto found = sizes.find(dtype);
    return found == sizes.end() ? 0 : found->second;
}

struct Entry {
    std::string name;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

/// One header entry, checked against the size of the data section.
std::pair<TensorView, Entry> parse_entry(const fs::path& file, const std::string& name, const json& fields,
                                         std::span<const std::byte> data) {
    const auto bad = [&](std::string why) {
        fail(file, fmt::format("tensor '{}' is not usable", name), std::move(why));
    };
    if (!fields.is_object() || !fields.contains("dtype") || !fields["dtype"].is_string() ||
        !fields.contains("shape") || !fields["shape"].is_array() || !fields.contains("data_offsets") ||
        !fields["data_offsets"].is_array() || fields["data_offsets"].size() != 2) {
        bad("its header entry lacks dtype, shape or data_offsets");
    }
    const auto dtype = fields["dtype"].get<std::string>();
    TensorView tensor{.dtype = parse_dtype(dtype), .type = dtype, .shape = {}, .data = {}};
    std::uint64_t size_bits = element_bits(dtype);
    if (size_bits == 0) bad(fmt::format("its type '{}' is unknown", dtype));
    for (const auto& extent : fields["shape"]) {
        if (!extent.is_number_unsigned()) bad("its shape has an entry that is not a count");
        const auto value = extent.get<std::uint64_t>();
        if (__builtin_mul_overflow(size_bits, value, &size_bits) || value > INT64_MAX)
            bad("its shape overflows 64 bits");
        tensor.shape.push_back(static_cast<std::int64_t>(value));
    }
    if (size_bits % 8 != 0) bad(fmt::format("its {} bits are no whole bytes", size_bits));
    const std::uint64_t size_bytes = size_bits / 8;
    const auto& offsets = fields["data_offsets"];
    if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned())
        bad("its data_offsets are not counts");
    const Entry entry{name, offsets[0].get<std::uint64_t>(), offsets[1].get<std::uint64_t>()};
    if (entry.begin > entry.end || entry.end > data.size()) {
        bad(fmt::format("its bytes {}..{} lie outside the file's data of {} bytes: the file is cut",
                        entry.begin, entry.end, data.size()));
    }
    if (entry.end - entry.begin != size_bytes) {
        bad(fmt::format("{} of shape [{}] takes {} bytes, its data_offsets span {}", dtype,
                        fmt::join(tensor.shape, ", "), size_bytes, entry.end - entry.begin));
    }
    tensor.data = data.subspan(entry.begin, size_bytes);
    return {std::move(tensor), entry};
}

/// The data section belongs to the tensors alone, from its first byte to its last, as the reference
/// implementation demands (tensor.rs, Metadata::validate): what else lies there is of another file.
void check_cover(const fs::path& file, std::vector<Entry> entries, std::uint64_t data_bytes) {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::uint64_t covered = 0;
    const Entry* before = nullptr;
    for (const auto& entry : entries) {
        if (entry.begin < covered) {
            fail(file, fmt::format("tensors '{}' and '{}' overlap", before->name, entry.name),
                 "their data_offsets share bytes");
        }
        if (entry.begin > covered) {
            fail(file, "not a whole safetensors file",
                 fmt::format("the {} bytes before tensor '{}' belong to none", entry.begin - covered,
                             entry.name));
        }
        covered = entry.end;
        before = &entry;
    }
    if (covered < data_bytes) {
        fail(file, "not a whole safetensors file",
             fmt::format("the last {} bytes of it belong to no tensor", data_bytes - covered));
    }
}

bool is_text_map(const json& value) {
    return value.is_null() || (value.is_object() && std::ranges::all_of(value, [](const json& entry) {
                                   return entry.is_string();
                               }));
}

/// The header's JSON object. A name may stand in it once: of two entries the parser would keep the last in
/// silence.
json parse_header(const fs::path& file, std::string_view text) {
    auto [header, repeated_name] = parse_json(file, text);
    if (!header.is_object()) fail(file, "not a safetensors file", "its header is not a JSON object");
    if (const auto notes = header.find("__metadata__"); notes != header.end() && !is_text_map(*notes))
        fail(file, "not a safetensors file", "its '__metadata__' is not an object of texts");
    if (repeated_name) fail(file, fmt::format("tensor '{}' is in the header twice", *repeated_name));
    return std::move(header);
}

/// Enough of a file to tell what it is if it holds no tensors.
std::string_view beginning_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kLongestGitLfsPointerBytes)};
}

bool is_plain_name(const std::string& text) {
    const fs::path name = text;
    // The system's calls would read the name up to a zero byte only.
    return !name.empty() && name != "." && name != ".." && name == name.filename() &&
           text.find('\0') == std::string::npos;
}

}  // namespace

void add_tensors(const fs::path& file, std::span<const std::byte> bytes,
                 std::map<std::string, TensorView>& tensors) {
    std::uint64_t header_bytes = 0;
    if (bytes.size() < sizeof(header_bytes))
        fail(file, "not a safetensors file", "it is shorter than 8 bytes");
    std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
    const auto rest = bytes.subspan(sizeof(header_bytes));
    if (header_bytes > rest.size() || header_bytes > kMaxJsonBytes) {
        refuse_stand_in(file, beginning_of(bytes));
        fail(file, "not a whole safetensors file",
             fmt::format("its header should have {} bytes, the file has {}", header_bytes, bytes.size()));
    }
    const json header = parse_header(file, {reinterpret_cast<const char*>(rest.data()), header_bytes});
    std::vector<Entry> entries;
    for (const auto& [name, fields] : header.items()) {
        if (name == "__metadata__") continue;
        auto [tensor, entry] = parse_entry(file, name, fields, rest.subspan(header_bytes));
        entries.push_back(std::move(entry));
        if (!tensors.emplace(name, std::move(tensor)).second) {
            fail(file, fmt::format("tensor '{}' is in two files", name));
        }
    }
    check_cover(file, std::move(entries), rest.size() - header_bytes);
}

std::vector<std::string> shards_of_index(const fs::path& file, std::string_view text) {
    const json index = parse_json(file, text).value;
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
        refuse_stand_in(file, text);
        fail(file, "not an index of weight files", "it has no object 'weight_map'");
    }
    std::set<std::string> shards;
    for (const auto& [tensor, name] : index["weight_map"].items()) {
        if (!name.is_string() || !is_plain_name(name.get<std::string>())) {
            fail(file, fmt::format("tensor '{}' has no plain file name", tensor));
        }
        shards.insert(name.get<std::string>());
    }
    if (shards.empty()) fail(file, "not an index of weight files", "its 'weight_map' names no file");
    return {shards.begin(), shards.end()};
}

}  // namespace memcap::hub::detail
