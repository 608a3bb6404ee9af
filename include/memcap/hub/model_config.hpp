// config.json of a Hugging Face folder as typed, checked values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace memcap::hub {

/// A JSON object of config.json; keys whose value is null count as absent.
class ModelConfig {
  public:
    /// Reads folder/config.json; throws DataError if it is missing or not a JSON object.
    static ModelConfig load(const std::filesystem::path& folder);
    /// The text of folder/config.json; throws DataError if it cannot be read.
    static std::string read(const std::filesystem::path& folder);
    /// Reads the text of a config.json; `file` is the name that errors give. Throws DataError as load does.
    static ModelConfig parse(const std::filesystem::path& file, std::string_view text);

    bool has(std::string_view key) const;
    /// Whether the key is there with the value null, where transformers tells that from an absent key.
    bool is_null(std::string_view key) const;
    /// Each throws DataError naming the file and the key when the key is absent or has another type.
    std::int64_t integer(std::string_view key) const;
    double number(std::string_view key) const;
    bool boolean(std::string_view key) const;
    std::string text(std::string_view key) const;
    /// The same with a value for an absent key.
    std::int64_t integer(std::string_view key, std::int64_t otherwise) const;
    double number(std::string_view key, double otherwise) const;
    bool boolean(std::string_view key, bool otherwise) const;
    std::string text(std::string_view key, std::string otherwise) const;
    /// A positive integer that fits 31 bits: a size or count.
    std::int32_t size(std::string_view key) const;
    std::int32_t size(std::string_view key, std::int32_t otherwise) const;
    bool is_text(std::string_view key) const;
    /// A list. Among numbers, infinity counts as written by Python's json (Infinity) and by transformers 5
    /// ({"__float__": "Infinity"}).
    std::vector<double> numbers(std::string_view key) const;
    std::vector<std::int64_t> integers(std::string_view key) const;
    std::vector<std::string> texts(std::string_view key) const;
    /// The nested object of this key, if there is one.
    std::optional<ModelConfig> object(std::string_view key) const;
    /// All keys whose value is not null, in name order.
    std::vector<std::string> keys() const;
    /// Whether `architectures` is there and not an empty list.
    bool names_architecture() const;
    /// First entry of `architectures`; throws DataError if there is none.
    std::string architecture() const;
    /// Throws DataError that names each key which is not in `known`, means something to the forward pass of
    /// transformers' model of this type (model_type in config.json) and is not off (false, 0, null, empty).
    /// Keys that transformers does not know are noted for ignored_keys(). Without a type every key means
    /// something.
    void allow_only(const std::vector<std::string_view>& known, const std::string& model_type = {}) const;
    /// Calls `read` with a whole file, which may throw for one of its keys, and again without that key and so
    /// on; then throws one DataError for all of them. What a wrong size makes wrong is not looked for.
    void read_naming_all(const std::function<void(const ModelConfig&)>& read) const;
    /// Keys, with their paths in the file, that allow_only() found to be unknown to transformers, in this
    /// object and in those around and inside of it; in name order.
    std::vector<std::string> ignored_keys() const;
    /// Throws DataError that this key's value is not supported; `why` says what memcap can do, `advice` what
    /// the reader can, unless there is nothing.
    [[noreturn]] void reject(std::string_view key, std::string why, std::string advice = {}) const;
    const std::filesystem::path& file() const noexcept;

  private:
    using Path = std::vector<std::string>;
    struct Content;
    struct Problem;
    class UnusableKeys;
    explicit ModelConfig(std::shared_ptr<const Content> content);
    std::shared_ptr<const Content> content_;
};

/// Whether the folder holds files that transformers' AutoTokenizer can read.
bool has_tokenizer(const std::filesystem::path& folder);

/// SHA-256 of folder/config.json.
std::string config_sha256(const std::filesystem::path& folder);

}  // namespace memcap::hub
