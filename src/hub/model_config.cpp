// config.json through nlohmann-json.
#include "memcap/hub/model_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "hub/detail/json_text.hpp"
#include "hub/detail/stand_ins.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/hash.hpp"

namespace memcap::hub {

namespace {

using nlohmann::json;

/// Keys that transformers writes into config.json and that do not change what a frozen decoder computes.
constexpr std::array<std::string_view, 61> kHarmlessKeys{"_name_or_path",
                                                         "architectures",
                                                         "attention_dropout",
                                                         "auto_map",
                                                         "bad_words_ids",
                                                         "begin_suppress_tokens",
                                                         "bos_token_id",
                                                         "chunk_size_feed_forward",
                                                         "classifier_dropout",
                                                         "cross_attention_hidden_size",
                                                         "decoder_start_token_id",
                                                         "diversity_penalty",
                                                         "do_sample",
                                                         "dtype",
                                                         "early_stopping",
                                                         "embd_pdrop",
                                                         "encoder_no_repeat_ngram_size",
                                                         "eos_token_id",
                                                         "exponential_decay_length_penalty",
                                                         "finetuning_task",
                                                         "forced_bos_token_id",
                                                         "forced_eos_token_id",
                                                         "hidden_dropout",
                                                         "id2label",
                                                         "initializer_range",
                                                         "is_decoder",
                                                         "is_encoder_decoder",
                                                         "label2id",
                                                         "length_penalty",
                                                         "max_length",
                                                         "min_length",
                                                         "model_type",
                                                         "no_repeat_ngram_size",
                                                         "num_beam_groups",
                                                         "num_beams",
                                                         "num_return_sequences",
                                                         "output_attentions",
                                                         "output_hidden_states",
                                                         "output_scores",
                                                         "pad_token_id",
                                                         "prefix",
                                                         "pretraining_tp",
                                                         "problem_type",
                                                         "pruned_heads",
                                                         "remove_invalid_values",
                                                         "repetition_penalty",
                                                         "return_dict",
                                                         "return_dict_in_generate",
                                                         "sep_token_id",
                                                         "suppress_tokens",
                                                         "task_specific_params",
                                                         "temperature",
                                                         "tie_encoder_decoder",
                                                         "tokenizer_class",
                                                         "top_k",
                                                         "top_p",
                                                         "torch_dtype",
                                                         "torchscript",
                                                         "transformers_version",
                                                         "typical_p",
                                                         "use_cache"};

}  // namespace

namespace {

/// Python's json writes Infinity, which is not JSON; published Mamba-2 files have it. Outside of strings it
/// becomes what transformers 5 writes.
std::string with_written_infinity(std::string_view text) {
    constexpr std::string_view kWord = "Infinity";
    std::string written;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (!in_string && text.substr(i).starts_with(kWord)) {
            written += R"({"__float__": "Infinity"})";
            i += kWord.size() - 1;
            continue;
        }
        if (in_string && text[i] == '\\' && i + 1 < text.size()) {
            written += text[i++];
        } else if (text[i] == '"') {
            in_string = !in_string;
        }
        written += text[i];
    }
    return written;
}

}  // namespace

struct ModelConfig::Content {
    std::filesystem::path file;
    std::string prefix;  ///< dotted path of this object inside the file
    json values;

    std::string name(std::string_view key) const { return prefix + std::string(key); }

    /// The value of a key, or nullptr if it is absent or null.
    const json* find(std::string_view key) const {
        const auto found = values.find(std::string(key));
        return found == values.end() || found->is_null() ? nullptr : &*found;
    }

    [[noreturn]] void fail(std::string_view key, std::string why) const {
        throw DataError(file, {.what = fmt::format("key '{}' is not usable", name(key)),
                               .where = {},
                               .why = std::move(why),
                               .advice = "Use the config.json that belongs to the weights"});
    }

    const json& require(std::string_view key) const {
        const json* value = find(key);
        if (value == nullptr) fail(key, "it is missing");
        return *value;
    }

    const json& require_list(std::string_view key) const {
        const json& value = require(key);
        if (!value.is_array()) fail(key, fmt::format("{} is not a list", detail::shown(value)));
        return value;
    }

    /// The integer that stands under a key, or in its list.
    std::int64_t integer(std::string_view key, const json& value) const {
        if (!value.is_number_integer()) fail(key, fmt::format("{} is not an integer", detail::shown(value)));
        // get() would wrap a number from 2^63 on to a negative one.
        if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)
            fail(key, fmt::format("{} is too large", detail::shown(value)));
        return value.get<std::int64_t>();
    }
};

ModelConfig::ModelConfig(std::shared_ptr<const Content> content) : content_(std::move(content)) {}

ModelConfig ModelConfig::load(const std::filesystem::path& folder) {
    return parse(folder / "config.json", read(folder));
}

std::string ModelConfig::read(const std::filesystem::path& folder) {
    const auto file = folder / "config.json";
    detail::refuse_dangling_link(file);
    if (!std::filesystem::exists(file)) {
        throw DataError(folder, {.what = "no config.json in the model folder",
                                 .where = {},
                                 .why = std::filesystem::exists(folder) ? "" : "the folder does not exist",
                                 .advice = "Give the folder of a Hugging Face model"});
    }
    return detail::read_json_file(file);
}

ModelConfig ModelConfig::parse(const std::filesystem::path& file, std::string_view text) {
    auto content = std::make_shared<Content>();
    content->file = file;
    content->values = detail::parse_json(file, with_written_infinity(text)).value;
    if (!content->values.is_object()) {
        detail::refuse_stand_in(file, text);
        throw DataError(file, {.what = "not a JSON object",
                               .where = {},
                               .why = {},
                               .advice = "Use the config.json that belongs to the weights"});
    }
    return ModelConfig(std::move(content));
}

bool ModelConfig::has(std::string_view key) const {
    return content_->find(key) != nullptr;
}

bool ModelConfig::is_null(std::string_view key) const {
    const auto found = content_->values.find(std::string(key));
    return found != content_->values.end() && found->is_null();
}

std::int64_t ModelConfig::integer(std::string_view key) const {
    return content_->integer(key, content_->require(key));
}

double ModelConfig::number(std::string_view key) const {
    const json& value = content_->require(key);
    if (!value.is_number()) content_->fail(key, fmt::format("{} is not a number", detail::shown(value)));
    return value.get<double>();
}

bool ModelConfig::boolean(std::string_view key) const {
    const json& value = content_->require(key);
    if (!value.is_boolean())
        content_->fail(key, fmt::format("{} is neither true nor false", detail::shown(value)));
    return value.get<bool>();
}

std::string ModelConfig::text(std::string_view key) const {
    const json& value = content_->require(key);
    if (!value.is_string()) content_->fail(key, fmt::format("{} is not a text", detail::shown(value)));
    return value.get<std::string>();
}

std::int64_t ModelConfig::integer(std::string_view key, std::int64_t otherwise) const {
    return has(key) ? integer(key) : otherwise;
}
double ModelConfig::number(std::string_view key, double otherwise) const {
    return has(key) ? number(key) : otherwise;
}
bool ModelConfig::boolean(std::string_view key, bool otherwise) const {
    return has(key) ? boolean(key) : otherwise;
}
std::string ModelConfig::text(std::string_view key, std::string otherwise) const {
    return has(key) ? text(key) : std::move(otherwise);
}

std::int32_t ModelConfig::size(std::string_view key) const {
    const std::int64_t value = integer(key);
    if (value < 1 || value > INT32_MAX) content_->fail(key, fmt::format("{} is not a size", value));
    return static_cast<std::int32_t>(value);
}

std::int32_t ModelConfig::size(std::string_view key, std::int32_t otherwise) const {
    return has(key) ? size(key) : otherwise;
}

bool ModelConfig::is_text(std::string_view key) const {
    const json* value = content_->find(key);
    return value != nullptr && value->is_string();
}

std::vector<double> ModelConfig::numbers(std::string_view key) const {
    std::vector<double> numbers;
    for (const json& value : content_->require_list(key)) {
        if (value.is_number()) {
            numbers.push_back(value.get<double>());
        } else if (value == json{{"__float__", "Infinity"}}) {
            numbers.push_back(std::numeric_limits<double>::infinity());
        } else {
            content_->fail(key, fmt::format("{} is not a number", detail::shown(value)));
        }
    }
    return numbers;
}

std::vector<std::int64_t> ModelConfig::integers(std::string_view key) const {
    std::vector<std::int64_t> numbers;
    for (const json& value : content_->require_list(key)) numbers.push_back(content_->integer(key, value));
    return numbers;
}

std::vector<std::string> ModelConfig::texts(std::string_view key) const {
    std::vector<std::string> texts;
    for (const json& value : content_->require_list(key)) {
        if (!value.is_string()) content_->fail(key, fmt::format("{} is not a text", detail::shown(value)));
        texts.push_back(value.get<std::string>());
    }
    return texts;
}

std::optional<ModelConfig> ModelConfig::object(std::string_view key) const {
    const json* value = content_->find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_object()) content_->fail(key, fmt::format("{} is not an object", detail::shown(*value)));
    auto nested = std::make_shared<Content>();
    nested->file = content_->file;
    nested->prefix = content_->name(key) + ".";
    nested->values = *value;
    return ModelConfig(std::move(nested));
}

std::vector<std::string> ModelConfig::keys() const {
    std::vector<std::string> names;
    for (const auto& [name, value] : content_->values.items()) {
        if (!value.is_null()) names.push_back(name);
    }
    return names;
}

std::string ModelConfig::architecture() const {
    const json& names = content_->require("architectures");
    if (!names.is_array() || names.empty() || !names.front().is_string()) {
        content_->fail("architectures", "it is not a list of names");
    }
    return names.front().get<std::string>();
}

void ModelConfig::allow_only(std::vector<std::string_view> known) const {
    for (const auto& key : keys()) {
        const bool allowed = std::ranges::find(known, key) != known.end() ||
                             std::ranges::find(kHarmlessKeys, key) != kHarmlessKeys.end();
        if (!allowed) {
            throw DataError(
                content_->file,
                {.what = fmt::format("key '{}' is unknown to memcap", content_->name(key)),
                 .where = {},
                 .why = "it may change what the model computes",
                 .advice = "If it does not, remove it from a copy of config.json; if it does, this model "
                           "is not supported yet"});
        }
    }
}

void ModelConfig::reject(std::string_view key, std::string why) const {
    content_->fail(key, std::move(why));
}

const std::filesystem::path& ModelConfig::file() const noexcept {
    return content_->file;
}

bool has_tokenizer(const std::filesystem::path& folder) {
    return std::ranges::any_of(std::array{"tokenizer.json", "tokenizer.model", "vocab.json"},
                               [&](const char* name) { return std::filesystem::exists(folder / name); });
}

std::string config_sha256(const std::filesystem::path& folder) {
    return sha256_file_hex(folder / "config.json");
}

}  // namespace memcap::hub
