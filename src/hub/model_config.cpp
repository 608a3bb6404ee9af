// config.json through nlohmann-json.
#include "memcap/hub/model_config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "hub/detail/json_text.hpp"
#include "hub/detail/stand_ins.hpp"
#include "hub/detail/transformers_keys.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/hash.hpp"

namespace memcap::hub {

using nlohmann::json;

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

struct ModelConfig::Problem {
    Path path;  ///< of the key inside the file
    std::string why;
    std::string advice;
    bool of_a_size = false;  ///< other values are judged by this one
};

namespace {

constexpr const char* kFitAdvice = "Use the config.json that belongs to the weights";
constexpr const char* kUnsupportedAdvice =
    "If this is the config.json of the weights, memcap cannot compute the model";

std::string dotted(const std::vector<std::string>& path) {
    return fmt::format("{}", fmt::join(path, "."));
}

/// The value at the path, or nullptr where there is none.
json* find_at(json& values, const std::vector<std::string>& path) {
    json* at = &values;
    for (const auto& key : path) {
        const auto found = at->find(key);
        if (found == at->end()) return nullptr;
        at = &*found;
    }
    return at;
}

/// Whether a feature with this value is the same as one that is not named at all.
bool is_off(std::string_view key, const json& value) {
    // The one switch that is on by default.
    if (key == "is_causal") return value == true;
    return value.is_null() || value == false || (value.is_number() && value == 0) ||
           (value.is_string() && value.get_ref<const std::string&>().empty()) ||
           (value.is_structured() && value.empty());
}

}  // namespace

/// Keys of one config.json that memcap cannot use.
class ModelConfig::UnusableKeys : public DataError {
  public:
    UnusableKeys(const std::filesystem::path& file, std::vector<Problem> problems)
        : DataError(file, text_of(problems)), problems_(std::move(problems)) {}

    const std::vector<Problem>& problems() const noexcept { return problems_; }

  private:
    static ErrorText text_of(const std::vector<Problem>& problems) {
        if (problems.size() == 1) {
            const Problem& only = problems.front();
            return {.what = fmt::format("key '{}' is not usable", dotted(only.path)),
                    .where = {},
                    .why = only.why,
                    .advice = only.advice};
        }
        std::vector<std::string> whys;
        for (const Problem& problem : problems)
            whys.push_back(fmt::format("'{}': {}", dotted(problem.path), problem.why));
        return {.what = fmt::format("{} keys are not usable", problems.size()),
                .where = {},
                .why = fmt::format("{}", fmt::join(whys, "; ")),
                .advice = advice_of(problems)};
    }

    /// Each advice once; where there are several, with the keys that it is for.
    static std::string advice_of(const std::vector<Problem>& problems) {
        std::vector<std::pair<std::string, std::vector<std::string>>> keys_by_advice;
        for (const Problem& problem : problems) {
            auto found = std::ranges::find(keys_by_advice, problem.advice,
                                           &std::pair<std::string, std::vector<std::string>>::first);
            if (found == keys_by_advice.end()) found = keys_by_advice.insert(found, {problem.advice, {}});
            found->second.push_back(fmt::format("'{}'", dotted(problem.path)));
        }
        if (keys_by_advice.size() == 1) return keys_by_advice.front().first;
        std::vector<std::string> lines;
        for (const auto& [advice, keys] : keys_by_advice)
            lines.push_back(fmt::format("For {}: {}", fmt::join(keys, ", "), lower_first(advice)));
        return fmt::format("{}", fmt::join(lines, ". "));
    }

    static std::string lower_first(std::string text) {
        if (!text.empty() && text.front() >= 'A' && text.front() <= 'Z')
            text.front() = static_cast<char>(text.front() - 'A' + 'a');
        return text;
    }

    std::vector<Problem> problems_;
};

struct ModelConfig::Content {
    std::filesystem::path file;
    Path path;  ///< of this object inside the file
    json values;
    std::shared_ptr<std::vector<std::string>> ignored = std::make_shared<std::vector<std::string>>();

    Path path_of(std::string_view key) const {
        Path whole = path;
        whole.emplace_back(key);
        return whole;
    }

    /// The value of a key, or nullptr if it is absent or null.
    const json* find(std::string_view key) const {
        const auto found = values.find(std::string(key));
        return found == values.end() || found->is_null() ? nullptr : &*found;
    }

    [[noreturn]] void fail(std::string_view key, std::string why, bool of_a_size = false) const {
        throw UnusableKeys(file, {{path_of(key), std::move(why), kFitAdvice, of_a_size}});
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
        if (!value.is_number_integer())
            fail(key, fmt::format("{} is not an integer", detail::shown(value)), true);
        // get() would wrap a number from 2^63 on to a negative one.
        if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)
            fail(key, fmt::format("{} is too large", detail::shown(value)), true);
        return value.get<std::int64_t>();
    }

    void ignore(std::string_view key) const {
        std::string name = dotted(path_of(key));
        if (std::ranges::find(*ignored, name) == ignored->end()) ignored->push_back(std::move(name));
    }

    /// What is wrong with a key that memcap does not read, if anything is.
    std::optional<Problem> judge(const std::string& key, const std::string& model_type) const {
        if (is_off(key, values.at(key))) return std::nullopt;
        if (model_type.empty())
            return Problem{path_of(key), "memcap does not know it, and it may change what the model computes",
                           kUnsupportedAdvice};
        const detail::KeyUse use = detail::key_use(model_type, key);
        if (use == detail::KeyUse::unknown) ignore(key);
        if (use != detail::KeyUse::read) return std::nullopt;
        if (key == "quantization_config" || key == "compression_config")
            return Problem{path_of(key), "the weights are quantised, which memcap does not read",
                           "Use the model as it was before it was quantised"};
        return Problem{path_of(key), "transformers computes by it, and memcap lacks it", kUnsupportedAdvice};
    }
};

ModelConfig::ModelConfig(std::shared_ptr<const Content> content) : content_(std::move(content)) {}

ModelConfig ModelConfig::load(const std::filesystem::path& folder) {
    return parse(folder / "config.json", read(folder));
}

std::string ModelConfig::read(const std::filesystem::path& folder) {
    const auto file = folder / "config.json";
    detail::refuse_dangling_link(file);
    detail::refuse_adapter(folder);
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
    if (value < 1 || value > INT32_MAX) content_->fail(key, fmt::format("{} is not a size", value), true);
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
    nested->path = content_->path_of(key);
    nested->values = *value;
    nested->ignored = content_->ignored;
    return ModelConfig(std::move(nested));
}

std::vector<std::string> ModelConfig::keys() const {
    std::vector<std::string> names;
    for (const auto& [name, value] : content_->values.items()) {
        if (!value.is_null()) names.push_back(name);
    }
    return names;
}

bool ModelConfig::names_architecture() const {
    const json* names = content_->find("architectures");
    return names != nullptr && !(names->is_array() && names->empty());
}

std::string ModelConfig::architecture() const {
    const json& names = content_->require("architectures");
    if (!names.is_array() || names.empty() || !names.front().is_string()) {
        content_->fail("architectures", "it is not a list of names");
    }
    return names.front().get<std::string>();
}

void ModelConfig::allow_only(const std::vector<std::string_view>& known,
                             const std::string& model_type) const {
    std::vector<Problem> problems;
    for (const auto& key : keys()) {
        if (std::ranges::find(known, key) != known.end()) continue;
        if (auto problem = content_->judge(key, model_type)) problems.push_back(std::move(*problem));
    }
    if (!problems.empty()) throw UnusableKeys(content_->file, std::move(problems));
}

void ModelConfig::reject(std::string_view key, std::string why, std::string advice) const {
    const json* value = content_->find(key);
    const bool of_a_size = value != nullptr && value->is_number_integer();
    if (advice.empty()) advice = kUnsupportedAdvice;
    throw UnusableKeys(content_->file,
                       {{content_->path_of(key), std::move(why), std::move(advice), of_a_size}});
}

void ModelConfig::read_naming_all(const std::function<void(const ModelConfig&)>& read) const {
    MEMCAP_EXPECT(content_->path.empty());
    std::vector<Problem> problems;
    json whole = content_->values;
    auto rest = std::make_shared<Content>(*content_);
    for (bool more = true; more;) {
        more = false;
        try {
            read(ModelConfig(rest));
        } catch (const UnusableKeys& error) {
            rest = std::make_shared<Content>(*rest);
            for (const Problem& problem : error.problems()) {
                const bool in_rest = find_at(rest->values, problem.path) != nullptr;
                // A key that was taken out before is missed because of that.
                if (in_rest || find_at(whole, problem.path) == nullptr) problems.push_back(problem);
                more = in_rest && !problem.of_a_size;
                if (!more) break;
                find_at(rest->values, {problem.path.begin(), problem.path.end() - 1})
                    ->erase(problem.path.back());
            }
        } catch (const DataError&) {
            if (problems.empty()) throw;
        }
    }
    if (!problems.empty()) throw UnusableKeys(content_->file, std::move(problems));
}

std::vector<std::string> ModelConfig::ignored_keys() const {
    std::vector<std::string> sorted = *content_->ignored;
    std::ranges::sort(sorted);
    return sorted;
}

const std::filesystem::path& ModelConfig::file() const noexcept {
    return content_->file;
}

bool has_tokenizer(const std::filesystem::path& folder) {
    return std::ranges::any_of(std::array{"tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt",
                                          "spiece.model", "tekken.json"},
                               [&](const char* name) { return std::filesystem::exists(folder / name); });
}

std::string config_sha256(const std::filesystem::path& folder) {
    return sha256_file_hex(folder / "config.json");
}

}  // namespace memcap::hub
