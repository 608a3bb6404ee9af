// Requests and answers of the tokenizer helper in JSON; its errors as those of memcap.
#include "memcap/text/tokenizer_client.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "text/detail/helper_process.hpp"

namespace memcap::text {

namespace {

using Json = nlohmann::json;

/// Texts of one request, in bytes: keeps requests and answers small beside the helper's own memory, which
/// grows by more than a hundred times as much while it encodes them.
constexpr std::size_t kBatchSizeBytes = std::size_t{1} << 20;

/// The first texts that together stay below the size of a batch, at least one.
std::span<const std::string> first_batch(std::span<const std::string> texts) {
    std::size_t count = 0;
    std::size_t size_bytes = 0;
    while (count < texts.size() && (count == 0 || size_bytes + texts[count].size() <= kBatchSizeBytes)) {
        size_bytes += texts[count++].size();
    }
    return texts.first(count);
}

std::string text_or_empty(const Json& value) {
    return value.is_string() ? value.get<std::string>() : std::string();
}

std::string shortened(const std::string& text) {
    constexpr std::size_t kShown = 200;
    return text.size() <= kShown ? text : text.substr(0, kShown) + "...";
}

}  // namespace

/// The process and the numbering of its requests.
class TokenizerClient::Connection {
  public:
    Connection(const HelperCommand& command, const HelperDeadlines& deadlines)
        : command_(command), deadlines_(deadlines), process_(command, deadlines.finish_s) {}

    /// Sends a request and returns its answer; errors that the helper reports about `subject` are thrown.
    Json ask(Json request, const std::filesystem::path& subject = {}) {
        const std::uint64_t id = ++last_id_;
        request["id"] = id;
        if (broken_) fail_rubbish("it failed earlier in this run");
        broken_ = true;  // until a whole answer has come
        const auto line =
            process_.exchange(request.dump(), id == 1 ? deadlines_.start_s : deadlines_.answer_s);
        Json answer = Json::parse(line, nullptr, /*allow_exceptions=*/false);
        if (!answer.is_object() || answer.value("id", Json()) != id) {
            fail_rubbish(fmt::format("it wrote: {}", shortened(line)));
        }
        broken_ = false;
        if (const auto error = answer.find("error"); error != answer.end()) fail_as_reported(*error, subject);
        return answer;
    }

    /// Takes a field of an answer as a C++ value; a missing or unfit one is rubbish.
    template <class Value>
    Value take(const Json& answer, const char* name) {
        try {
            return answer.at(name).get<Value>();
        } catch (const Json::exception& error) {
            broken_ = true;
            fail_rubbish(error.what());
        }
    }

    /// Asks for one list entry a text, in batches. `request` holds all but the texts; `see` gets each answer
    /// and the number of its first text.
    template <class Value, class See>
    std::vector<Value> ask_for_texts(const Json& request, std::span<const std::string> texts,
                                     const char* result, const std::filesystem::path& subject, See see) {
        std::vector<Value> values;
        for (auto rest = texts; !rest.empty();) {
            const auto batch = first_batch(rest);
            rest = rest.subspan(batch.size());
            Json batch_request = request;
            batch_request["texts"] = std::vector<std::string>(batch.begin(), batch.end());
            const Json answer = ask(std::move(batch_request), subject);
            auto part = take<std::vector<Value>>(answer, result);
            if (part.size() != batch.size()) {
                fail_rubbish(fmt::format("{} entries for {} texts", part.size(), batch.size()));
            }
            see(answer, values.size());
            values.insert(values.end(), std::make_move_iterator(part.begin()),
                          std::make_move_iterator(part.end()));
        }
        return values;
    }

    /// Takes a field {"number of a text": value} of an answer, which may be missing.
    template <class Value>
    void take_by_text(const Json& answer, const char* name, std::size_t first,
                      std::map<std::size_t, Value>& values) {
        if (!answer.contains(name)) return;
        for (auto& [number, value] : take<std::map<std::string, Value>>(answer, name)) {
            values[first + std::strtoull(number.c_str(), nullptr, 10)] = value;
        }
    }

  private:
    [[noreturn]] void fail_rubbish(const std::string& why) const {
        throw ToolError({.what = "the tokenizer helper does not answer as it should",
                         .where = command_.python.string() + " " + command_.script.string(),
                         .why = why,
                         .advice = "Name a plain Python as run.python: one that prints nothing of its own"});
    }

    /// Throws where the helper's error is about the files of the tokenizer; `own_advice` may be empty.
    static void throw_if_about_files(const std::string& kind, const std::string& message,
                                     const std::string& own_advice, const std::filesystem::path& subject) {
        const auto fail = [&](const char* what, const char* usual_advice) {
            const std::string advice = own_advice.empty() ? usual_advice : own_advice;
            throw DataError(subject, {.what = what, .where = {}, .why = message, .advice = advice});
        };
        if (kind == "missing_tokenizer") {
            fail("there is no tokenizer",
                 "Copy the model's tokenizer files into the folder: tokenizer.json, or "
                 "vocab.json and merges.txt, or tokenizer.model");
        }
        if (kind == "broken_tokenizer") {
            fail("the tokenizer cannot be read", "Fetch the tokenizer files of the model again");
        }
        if (kind == "untrusted_tokenizer") {
            fail("the token ids are in doubt", "Fetch the tokenizer files of the model again");
        }
    }

    [[noreturn]] void fail_as_reported(const Json& error, const std::filesystem::path& subject) const {
        const auto kind = text_or_empty(error.value("kind", Json()));
        const auto message = text_or_empty(error.value("message", Json()));
        throw_if_about_files(kind, message, text_or_empty(error.value("advice", Json())), subject);
        if (kind == "missing_package") {
            const auto install = fmt::format(
                "Install what is missing: {} -m pip install transformers sentencepiece "
                "protobuf; or run ./quickstart",
                command_.python.string());
            throw ToolError({.what = "the tokenizer helper lacks a Python package",
                             .where = command_.python.string(),
                             .why = message,
                             .advice = install});
        }
        if (kind == "missing_data") {
            throw ToolError({.what = "the corpus asks for `sentences: punkt`, which needs NLTK's data",
                             .where = command_.python.string(),
                             .why = message,
                             .advice = "Install it, or use `sentences: rule`"});
        }
        const auto messages = process_.last_messages();
        throw ToolError({.what = "the tokenizer helper failed",
                         .where = subject.empty() ? command_.script.string() : subject.string(),
                         .why = messages.empty() ? message : fmt::format("{}\n{}\n", message, messages),
                         .advice = "Check the versions of Python's packages with those that memcap names"});
    }

    HelperCommand command_;
    HelperDeadlines deadlines_;
    detail::HelperProcess process_;
    std::uint64_t last_id_ = 0;
    bool broken_ = false;
};

TokenizerClient::TokenizerClient(const HelperCommand& command, const HelperDeadlines& deadlines)
    : connection_(std::make_unique<Connection>(command, deadlines)) {
    const Json answer = connection_->ask({{"request", "version"}});
    const auto version = [&](const char* name) { return text_or_empty(answer.value(name, Json())); };
    versions_ = {.python = version("python"),
                 .transformers = version("transformers"),
                 .tokenizers = version("tokenizers"),
                 .sentencepiece = version("sentencepiece"),
                 .nltk = version("nltk")};
}

TokenizerClient::~TokenizerClient() = default;
TokenizerClient::TokenizerClient(TokenizerClient&&) noexcept = default;
TokenizerClient& TokenizerClient::operator=(TokenizerClient&&) noexcept = default;

TokenizerFacts TokenizerClient::open(const std::filesystem::path& tokenizer) {
    const Json answer = connection_->ask({{"request", "open"}, {"tokenizer", tokenizer.string()}}, tokenizer);
    return {.source = connection_->take<std::string>(answer, "source"),
            .opening = connection_->take<std::vector<std::int32_t>>(answer, "opening"),
            .opening_text = connection_->take<std::string>(answer, "opening_text"),
            .size = connection_->take<std::int64_t>(answer, "size")};
}

EncodedTexts TokenizerClient::encode(const std::filesystem::path& tokenizer,
                                     std::span<const std::string> texts, const EncodeOptions& options) {
    const Json request{{"request", "encode"},
                       {"tokenizer", tokenizer.string()},
                       {"add_special_tokens", options.special_tokens == SpecialTokens::own_rules},
                       {"max_length", options.max_length ? Json(*options.max_length) : Json()},
                       {"keep", options.keep == Keep::last ? "last" : "first"}};
    EncodedTexts encoded;
    const auto note = [&](const Json& answer, std::size_t first) {
        connection_->take_by_text(answer, "problems", first, encoded.problems);
        connection_->take_by_text(answer, "spelled", first, encoded.spelled);
        encoded.splits_special = answer.value("splits_special", Json(true)) != false;
        if (encoded.differs.empty()) encoded.differs = text_or_empty(answer.value("differs", Json()));
    };
    encoded.ids =
        connection_->ask_for_texts<std::vector<std::int32_t>>(request, texts, "ids", tokenizer, note);
    return encoded;
}

std::string TokenizerClient::decode(const std::filesystem::path& tokenizer,
                                    std::span<const std::int32_t> ids) {
    const Json request{{"request", "decode"},
                       {"tokenizer", tokenizer.string()},
                       {"ids", std::vector<std::int32_t>(ids.begin(), ids.end())},
                       {"skip_special_tokens", false}};
    return connection_->take<std::string>(connection_->ask(request, tokenizer), "text");
}

std::vector<std::vector<std::string>> TokenizerClient::split(std::span<const std::string> texts,
                                                             SentenceRule rule) {
    const Json request{{"request", "split"}, {"rule", std::string(to_string(rule))}};
    return connection_->ask_for_texts<std::vector<std::string>>(request, texts, "sentences", {},
                                                                [](const Json&, std::size_t) {});
}

}  // namespace memcap::text
