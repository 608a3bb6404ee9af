// Weight files of a folder: which ones, mapped, and their identity.
#include "memcap/hub/safetensors.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "hub/detail/json_text.hpp"
#include "hub/detail/mapped_file.hpp"
#include "hub/detail/stand_ins.hpp"
#include "hub/detail/weight_formats.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/hub/hash_cache.hpp"

namespace memcap::hub {

namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr const char* kPickleFile = "pytorch_model.bin";
constexpr const char* kPickleIndexFile = "pytorch_model.bin.index.json";

std::vector<fs::path> indexed_files(const fs::path& folder) {
    const fs::path index = folder / kIndexFile;
    std::vector<fs::path> files;
    for (const auto& name : detail::shards_of_index(index, detail::read_json_file(index))) {
        files.push_back(folder / name);
    }
    return files;
}

/// A word that a shell takes as it stands.
std::string shell_word(const std::string& text) {
    std::string quoted = "'";
    for (const char letter : text) quoted += letter == '\'' ? "'\\''" : std::string(1, letter);
    return quoted + "'";
}

/// Waits for the part of a safetensors file that says where its tensors lie.
void wait_for_header(const FileMemory& memory, std::span<const std::byte> bytes) {
    std::uint64_t header_bytes = 0;
    if (bytes.size() < sizeof(header_bytes)) return;
    memory.wait_for(bytes.first(sizeof(header_bytes)));
    std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
    const std::uint64_t rest = bytes.size() - sizeof(header_bytes);
    memory.wait_for(bytes.first(sizeof(header_bytes) + std::min(header_bytes, rest)));
}

/// Weight files that no index names, in name order.
std::vector<std::string> stray_weights(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        if (entry.path().extension() == ".safetensors") names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

[[noreturn]] void fail_without_index(const fs::path& folder, const std::vector<std::string>& names) {
    constexpr std::size_t kNamed = 4;
    const std::span named(names.data(), std::min(kNamed, names.size()));
    throw DataError(
        folder,
        {.what = fmt::format("the folder has {} and neither {} nor {}",
                             names.size() == 1 ? "a weight file" : "weight files", kSingleFile, kIndexFile),
         .where = {},
         .why = fmt::format("{}{}", fmt::join(named, ", "), names.size() > kNamed ? ", ..." : ""),
         .advice = fmt::format("Fetch {}, which says what is in which file, from where these are from; "
                               "if one file has all tensors, call it {}",
                               kIndexFile, kSingleFile)});
}

[[noreturn]] void fail_without_weights(const fs::path& folder) {
    for (const char* name : {kSingleFile, kIndexFile, kPickleFile, kPickleIndexFile})
        detail::refuse_dangling_link(folder / name);
    if (const auto names = stray_weights(folder); !names.empty()) fail_without_index(folder, names);
    ErrorText text{.what = "no safetensors file in the model folder",
                   .where = {},
                   .why = {},
                   .advice = "Give the folder that holds config.json and model.safetensors"};
    if (fs::exists(folder / kPickleFile) || fs::exists(folder / kPickleIndexFile)) {
        text.why = "it has only pytorch_model.bin, whose pickles memcap does not run";
        text.advice =
            "Convert it once, where torch and transformers are installed: python -c \"import sys; from "
            "transformers import AutoModelForCausalLM as M; "
            "M.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])\" " +
            shell_word(folder.string());
    }
    throw DataError(folder, text);
}

}  // namespace

std::string_view to_string(Dtype value) {
    switch (value) {
        case Dtype::float32:
            return "float32";
        case Dtype::bfloat16:
            return "bfloat16";
        case Dtype::float16:
            return "float16";
        case Dtype::other:
            break;
    }
    return "other";
}

struct WeightFiles::Content {
    fs::path folder;
    std::vector<fs::path> files;
    std::vector<detail::MappedFile> mapped;
    std::shared_ptr<const FileMemory> memory;  ///< instead of mapped files
    std::map<std::string, TensorView> tensors;
};

WeightFiles::WeightFiles(std::unique_ptr<Content> content) : content_(std::move(content)) {}
WeightFiles::WeightFiles(WeightFiles&&) noexcept = default;
WeightFiles& WeightFiles::operator=(WeightFiles&&) noexcept = default;
WeightFiles::~WeightFiles() = default;

std::vector<fs::path> weight_files(const fs::path& folder) {
    if (fs::exists(folder / kSingleFile)) return {folder / kSingleFile};
    if (fs::exists(folder / kIndexFile)) return indexed_files(folder);
    return {};
}

WeightFiles WeightFiles::open(const fs::path& folder) {
    auto content = std::make_unique<Content>();
    content->folder = folder;
    content->files = weight_files(folder);
    if (content->files.empty()) fail_without_weights(folder);
    for (const auto& file : content->files) {
        content->mapped.emplace_back(file);
        detail::add_tensors(file, content->mapped.back().bytes(), content->tensors);
    }
    return WeightFiles(std::move(content));
}

WeightFiles WeightFiles::over(const fs::path& folder, std::shared_ptr<const FileMemory> memory) {
    auto content = std::make_unique<Content>();
    content->folder = folder;
    content->memory = std::move(memory);
    if (content->memory->files().empty()) fail_without_weights(folder);
    for (const auto& file : content->memory->files()) {
        content->files.push_back(folder / file.name);
        wait_for_header(*content->memory, file.bytes);
        detail::add_tensors(content->files.back(), file.bytes, content->tensors);
    }
    return WeightFiles(std::move(content));
}

bool WeightFiles::contains(const std::string& name) const {
    return content_->tensors.contains(name);
}

const TensorView& WeightFiles::require(const std::string& name, std::span<const std::int64_t> shape) const {
    const auto found = content_->tensors.find(name);
    if (found == content_->tensors.end()) {
        throw DataError(content_->folder,
                        {.what = fmt::format("tensor '{}' is missing", name),
                         .where = {},
                         .why = "config.json asks for it, no weight file has it",
                         .advice = "Check that all weight files were copied and belong to this config"});
    }
    if (!std::ranges::equal(found->second.shape, shape)) {
        throw DataError(
            content_->folder,
            {.what = fmt::format("tensor '{}' has shape [{}]", name, fmt::join(found->second.shape, ", ")),
             .where = {},
             .why = fmt::format("config.json makes it [{}]", fmt::join(shape, ", ")),
             .advice = "Check that config.json and the weights are of one model"});
    }
    if (content_->memory) content_->memory->wait_for(found->second.data);
    return found->second;
}

const std::map<std::string, TensorView>& WeightFiles::tensors() const noexcept {
    return content_->tensors;
}
const fs::path& WeightFiles::folder() const noexcept {
    return content_->folder;
}
const std::vector<fs::path>& WeightFiles::files() const noexcept {
    return content_->files;
}

std::int64_t WeightFiles::size_bytes() const noexcept {
    std::int64_t total = 0;
    for (const auto& file : content_->mapped) total += static_cast<std::int64_t>(file.bytes().size());
    if (!content_->memory) return total;
    for (const auto& file : content_->memory->files()) total += static_cast<std::int64_t>(file.bytes.size());
    return total;
}

std::string WeightFiles::fingerprint() const {
    if (content_->memory) return content_->memory->identity();
    std::string all;
    for (const auto& file : content_->mapped) all += file.facts().text() + " ";
    return all;
}

std::vector<WeightFiles::FileContent> WeightFiles::contents() const {
    std::vector<FileContent> contents;
    for (std::size_t i = 0; i < content_->mapped.size(); ++i) {
        const auto& file = content_->mapped[i];
        contents.push_back({content_->files[i], file.bytes(), file.facts(), file.facts().text()});
    }
    if (!content_->memory) return contents;
    for (const auto& file : content_->memory->files()) {
        contents.push_back({content_->folder / file.name, file.bytes, file.facts,
                            content_->memory->identity() + " / " + file.name});
    }
    return contents;
}

WeightFiles::Change WeightFiles::change() const {
    Change found = Change::none;
    for (const auto& file : content_->mapped) {
        if (!file.is_unwritten()) return Change::written;
        if (!file.is_unchanged()) found = Change::facts_only;
    }
    if (!content_->memory) return found;
    for (const auto& file : content_->memory->files()) content_->memory->wait_for(file.bytes);
    return found;
}

void WeightFiles::renew_facts() {
    for (auto& file : content_->mapped) file.renew_facts();
}

void WeightFiles::forget(const TensorView& tensor) const {
    // What lies in memory alone could not be read again.
    if (!content_->memory) detail::MappedFile::forget(tensor.data);
}

std::string weights_sha256(std::span<const NamedHash> files) {
    MEMCAP_EXPECT(!files.empty());
    if (files.size() == 1) return files.front().sha256;
    std::string lines;
    for (const auto& file : files) lines += file.name + " " + file.sha256 + "\n";
    return sha256_hex(as_bytes(lines));
}

std::string weights_sha256(const fs::path& folder, HashCache& hashes) {
    const auto files = weight_files(folder);
    if (files.empty()) fail_without_weights(folder);
    std::vector<NamedHash> named;
    for (const auto& file : files) named.push_back({file.filename().string(), hashes.sha256(file)});
    return weights_sha256(named);
}

std::string weights_sha256(const fs::path& folder) {
    HashCache hashes;
    return weights_sha256(folder, hashes);
}

}  // namespace memcap::hub
