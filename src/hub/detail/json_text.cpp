// Two passes of nlohmann-json's parser: one that checks, one that builds.
#include "hub/detail/json_text.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <set>
#include <system_error>
#include <utility>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"

namespace memcap::hub::detail {

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kLongestShownBytes = 200;

[[noreturn]] void refuse(const fs::path& file, std::string what, std::string why) {
    throw DataError(file, {.what = std::move(what),
                           .where = {},
                           .why = std::move(why),
                           .advice = "Get the file again from where the model was published"});
}

/// Watches depth and outermost names. This is no callback of json::parse: with one, the parser of
/// nlohmann-json 3.11 walks over all earlier members at the end of each object, which takes minutes for
/// 20,000 tensors.
class Checker final : public nlohmann::json_sax<json> {
  public:
    bool too_deep() const { return too_deep_; }
    std::optional<std::string> repeated_key() { return std::move(repeated_key_); }

    bool null() override { return true; }
    bool boolean(bool /*value*/) override { return true; }
    bool number_integer(number_integer_t /*value*/) override { return true; }
    bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
    bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return true; }
    bool string(string_t& /*value*/) override { return true; }
    bool binary(binary_t& /*value*/) override { return true; }
    bool key(string_t& name) override {
        if (depth_ == 1 && !keys_.insert(name).second) repeated_key_ = name;
        return true;
    }
    bool start_object(std::size_t /*elements*/) override { return enter(); }
    bool end_object() override { return leave(); }
    bool start_array(std::size_t /*elements*/) override { return enter(); }
    bool end_array() override { return leave(); }
    bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                     const nlohmann::detail::exception& /*error*/) override {
        return false;
    }

  private:
    bool enter() {
        too_deep_ = ++depth_ > kMaxJsonDepth;
        return !too_deep_;
    }
    bool leave() {
        --depth_;
        return true;
    }

    int depth_ = 0;
    bool too_deep_ = false;
    std::set<std::string> keys_;
    std::optional<std::string> repeated_key_;
};

}  // namespace

JsonText parse_json(const fs::path& file, std::string_view text) {
    JsonText parsed{.value = json(json::value_t::discarded), .repeated_key = {}};
    {
        Checker checker;
        const bool is_json = json::sax_parse(text, &checker);
        if (checker.too_deep()) {
            refuse(file, "its JSON is not usable",
                   fmt::format("its values stand in each other more than {} levels deep", kMaxJsonDepth));
        }
        if (!is_json) return parsed;
        parsed.repeated_key = checker.repeated_key();
    }
    parsed.value = json::parse(text, nullptr, false);
    return parsed;
}

std::string read_json_file(const fs::path& file) {
    // What has no size, as a folder, is left to the reading, which tells why it cannot be read.
    std::error_code no_size;
    const std::uintmax_t size_bytes = fs::file_size(file, no_size);
    if (!no_size && size_bytes > kMaxJsonBytes) {
        refuse(file, "no such file of a model is this large",
               fmt::format("it has {} bytes, the limit is {}", size_bytes, kMaxJsonBytes));
    }
    return read_text_file(file);
}

std::string shown(const json& value) {
    std::string text = value.dump();
    if (text.size() <= kLongestShownBytes) return text;
    std::size_t end = kLongestShownBytes;
    // Not in the middle of a character: the bytes after the first of one start with the bits 10.
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    text.resize(end);
    return text + "...";
}

}  // namespace memcap::hub::detail
