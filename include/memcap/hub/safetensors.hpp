// Weight files of a Hugging Face folder: safetensors, one file or sharded, mapped into memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/base/file_memory.hpp"

namespace memcap::hub {

class HashCache;

enum class Dtype : std::uint8_t { float32, bfloat16, float16, other };

std::string_view to_string(Dtype value);

/// A tensor as it lies in its file: row-major, little-endian, not necessarily aligned. Valid while its
/// WeightFiles lives.
struct TensorView {
    Dtype dtype = Dtype::other;
    std::string type;  ///< as the file names it, e.g. F8_E4M3
    std::vector<std::int64_t> shape;
    std::span<const std::byte> data;
};

/// All tensors of a model folder (format: https://github.com/huggingface/safetensors, README "Format").
class WeightFiles {
  public:
    /// Maps model.safetensors, or where there is none the shards that model.safetensors.index.json names, as
    /// transformers does (modeling_utils.py, _get_resolved_checkpoint_files). Headers are checked
    /// against the files' sizes: truncated, overlapping or overflowing entries are DataErrors, as is a folder
    /// that has only pytorch_model.bin.
    static WeightFiles open(const std::filesystem::path& folder);
    /// The same over bytes in memory, which this keeps; `folder` is only named in errors. Waits for what it
    /// reads: here for the headers, in require() for a tensor. Throws TransportError if they do not come.
    static WeightFiles over(const std::filesystem::path& folder, std::shared_ptr<const FileMemory> memory);

    WeightFiles(WeightFiles&&) noexcept;
    WeightFiles& operator=(WeightFiles&&) noexcept;
    ~WeightFiles();

    bool contains(const std::string& name) const;
    /// The tensor of this name and shape; throws DataError if it is missing or has another shape.
    const TensorView& require(const std::string& name, std::span<const std::int64_t> shape) const;
    const std::map<std::string, TensorView>& tensors() const noexcept;
    const std::filesystem::path& folder() const noexcept;
    /// The files in name order.
    const std::vector<std::filesystem::path>& files() const noexcept;
    std::int64_t size_bytes() const noexcept;
    /// A file of the folder as it was opened or lies in memory.
    struct FileContent {
        std::filesystem::path path;
        std::span<const std::byte> bytes;
        std::optional<FileFacts> facts;  ///< none for bytes that came from elsewhere
        std::string identity;            ///< equal for processes of one node that see the same bytes
    };
    /// In the order of files().
    std::vector<FileContent> contents() const;
    /// What has become of the mapped files since they were opened.
    enum class Change : std::uint8_t {
        none,
        facts_only,  ///< a name, rights or the like; by their size and time, the bytes are as they were
        written,
    };
    /// Of memory that is still arriving it waits for the rest; throws TransportError if it will not come.
    Change change() const;
    /// Takes the facts of now for those that contents() gives.
    void renew_facts();
    /// What tells these files from others and from later versions of themselves: their facts, or the
    /// identity of the memory.
    std::string fingerprint() const;
    /// Gives the mapped memory of a tensor back after its values were copied; reading it again is allowed.
    void forget(const TensorView& tensor) const;

  private:
    struct Content;
    explicit WeightFiles(std::unique_ptr<Content> content);
    std::unique_ptr<Content> content_;
};

/// The weight files of a folder in name order, without opening them; empty if there are none.
std::vector<std::filesystem::path> weight_files(const std::filesystem::path& folder);

/// The weight files in memory that the processes of one node share: the first one reads them, the others wait
/// for it. Throws DataError if they cannot be read.
std::shared_ptr<const FileMemory> read_once_a_node(const std::filesystem::path& folder);

/// A weight file's name and SHA-256.
struct NamedHash {
    std::string name;
    std::string sha256;
};

/// SHA-256 of a model's weights, given those of its files, of which there is at least one: the file's own for
/// one file, else of the lines "<file name> <sha256>\n".
std::string weights_sha256(std::span<const NamedHash> files);
/// The same of the weight files of a folder.
std::string weights_sha256(const std::filesystem::path& folder, HashCache& hashes);
/// The same with every file read.
std::string weights_sha256(const std::filesystem::path& folder);

}  // namespace memcap::hub
