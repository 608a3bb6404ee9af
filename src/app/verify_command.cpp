// memcap verify and memcap decode: stored vectors put back before their models.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include "app/amounts.hpp"
#include "app/machine.hpp"
#include "app/options.hpp"
#include "app/self_check.hpp"
#include "app/trial_lookup.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/hub/model_identity.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/memory/evaluation.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/plan/trial.hpp"
#include "memcap/store/result_file.hpp"
#include "memcap/text/helper_paths.hpp"
#include "memcap/text/tokenizer_client.hpp"

namespace memcap::app {

namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

/// Largest difference of a recomputed loss that rounding explains: relative, and absolute in nats.
constexpr double kLossTolerance = 1e-4;

/// Where models lie now, by name.
using ModelFolders = std::map<std::string, std::string>;

/// Loads each model of a result file when first needed, and keeps the last one.
class ModelsOfFile {
  public:
    /// Of models that `moved` names, the folder there counts instead of that on record. Throws UsageError for
    /// a name that the file does not have.
    ModelsOfFile(const store::ResultFile& file, ModelFolders moved) : file_(file), moved_(std::move(moved)) {
        std::vector<std::string> names;
        for (const auto& row : file_.tables().models) names.push_back(row.name);
        for (const auto& [name, folder] : moved_) {
            if (std::ranges::find(names, name) != names.end()) continue;
            throw UsageError({.what = fmt::format("the results have no model '{}'", name),
                              .where = "--model",
                              .why = {},
                              .advice = fmt::format("They have: {}", fmt::join(names, ", "))});
        }
    }

    const models::CausalLM& model(const std::string& name, Precision precision) {
        if (!model_ || name != name_ || precision != precision_) {
            model_ = load(row(name), precision);
            name_ = name;
            precision_ = precision;
        }
        return *model_;
    }

    /// Where a model lies now.
    std::string folder(const std::string& name) const {
        const auto found = moved_.find(name);
        return found == moved_.end() ? row(name).path : found->second;
    }

  private:
    const record::ModelRow& row(const std::string& name) const {
        for (const auto& row : file_.tables().models) {
            if (row.name == name) return row;
        }
        throw DataError("results.h5", {.what = fmt::format("model '{}' is not in the table /models", name),
                                       .where = {},
                                       .why = {},
                                       .advice = {}});
    }

    /// A vector means something to the very model that it was optimised for, and to no other: what is loaded
    /// has the hashes on record.
    std::unique_ptr<models::CausalLM> load(const record::ModelRow& row, Precision precision) {
        const fs::path path = folder(row.name);
        const hub::ModelIdentity identity{
            .config_sha256 = row.config_sha256, .weights_sha256 = row.weights_sha256, .files = {}};
        try {
            const auto config = hub::load_config(path, identity);
            const auto files = std::make_shared<hub::WeightFiles>(hub::WeightFiles::open(path));
            hub::require_identity(*files, identity, hashes_);
            auto model = models::load(config, files, precision, at::kCPU);
            hub::require_unchanged(*files, identity, hashes_);
            return model;
        } catch (const DataError& problem) {
            ErrorText text = problem.text();
            text.where.clear();
            text.advice = fmt::format(
                "Put the model '{}' of the run back in place or, if it lies elsewhere now, give "
                "its folder: --model {}=FOLDER",
                row.name, row.name);
            throw DataError(problem.path(), text);
        }
    }

    const store::ResultFile& file_;
    ModelFolders moved_;
    hub::NodeHashes hashes_;
    std::unique_ptr<models::CausalLM> model_;
    std::string name_;
    Precision precision_ = Precision::float32;
};

constexpr const char* kModelOption = "model";

void add_model_option(CommandSyntax& syntax) {
    syntax.options.add_options()(kModelOption, po::value<std::vector<std::string>>()->composing(),
                                 "NAME=FOLDER: where a model of the run lies now (its hashes are compared)");
}

ModelFolders moved_models(const ParsedCommand& parsed) {
    ModelFolders folders;
    if (!parsed.has(kModelOption)) return folders;
    for (const auto& given : parsed.values[kModelOption].as<std::vector<std::string>>()) {
        const auto equals = given.find('=');
        if (equals == std::string::npos || equals == 0 || equals + 1 == given.size()) {
            throw UsageError({.what = fmt::format("'{}' is not NAME=FOLDER", given),
                              .where = "--model",
                              .why = {},
                              .advice = "Write the model's name in the experiment, '=' and its folder"});
        }
        folders[given.substr(0, equals)] = given.substr(equals + 1);
    }
    return folders;
}

bool has_vectors(const store::ResultFile& file) {
    for (std::size_t row = 0; row < file.rows(); ++row) {
        if (file.has_vector(row)) return true;
    }
    return false;
}

/// The row of the trial whose id begins so; where several tuples of axes lead to it, the first.
std::size_t row_of_trial(const store::ResultFile& file, const std::string& folder,
                         const std::string& beginning) {
    std::vector<Id128> ids;
    for (std::size_t row = 0; row < file.rows(); ++row) ids.push_back(file.numbers(row).trial_id);
    if (const auto found = find_trial(ids, beginning))
        return static_cast<std::size_t>(std::ranges::find(ids, *found) - ids.begin());
    throw DataError(folder, {.what = fmt::format("no trial's id begins with '{}'", beginning),
                             .where = {},
                             .why = {},
                             .advice = "Copy one from the column trial_id of results.h5"});
}

const Protocol& protocol_of(const store::ResultFile& file, const std::string& name) {
    for (const auto& row : file.tables().protocols) {
        if (row.name == name) return row.values;
    }
    throw DataError("results.h5", {.what = fmt::format("protocol '{}' is not in the table /protocols", name),
                                   .where = {},
                                   .why = {},
                                   .advice = {}});
}

/// What decoding from the vector gives back. The first token is given where the protocol does not score it.
std::vector<std::int32_t> decode(const models::CausalLM& model, const store::StoredTrial& stored,
                                 const Protocol& protocol) {
    const std::size_t given = protocol.target == Target::all ? 0 : 1;
    std::vector<std::int32_t> tokens(stored.text.begin(),
                                     stored.text.begin() + static_cast<std::ptrdiff_t>(given));
    const auto rest =
        memory::decode_greedily(model, stored.record.vector, stored.axes.memory_vectors, stored.prefix,
                                tokens, static_cast<std::int32_t>(stored.text.size() - given));
    tokens.insert(tokens.end(), rest.begin(), rest.end());
    return tokens;
}

struct Verdict {
    bool same = false;
    bool decoded = false;
};

/// `segment`: the file that the vector comes from, empty for the results file itself.
Verdict verify_row(const store::StoredTrial& stored, const std::string& segment, const Protocol& protocol,
                   const models::CausalLM& model) {
    plan::Trial trial;
    trial.text = stored.text;
    trial.prefix = stored.prefix;
    trial.memory_vectors = stored.axes.memory_vectors;
    trial.protocol = protocol;
    const auto now = memory::evaluate(model, memory::objective_of(trial), stored.record.vector);
    const double difference = std::abs(now.loss_nats - stored.record.loss_nats);
    Verdict verdict;
    verdict.same = difference <= kLossTolerance * (1.0 + stored.record.loss_nats) &&
                   now.correct_tokens == stored.record.correct_tokens;
    verdict.decoded = decode(model, stored, protocol) == stored.text;
    if (!verdict.same) {
        fmt::print("{} differs: loss {:.6f} recorded, {:.6f} now; {} and {} tokens right{}\n",
                   stored.record.trial_id.hex(), stored.record.loss_nats, now.loss_nats,
                   stored.record.correct_tokens, now.correct_tokens,
                   segment.empty() ? "" : fmt::format("; its vector lies in {}", segment));
    }
    return verdict;
}

}  // namespace

int verify_results(const Arguments& arguments) {
    CommandSyntax syntax{
        .usage = "memcap verify DIR [--limit N] [--model NAME=FOLDER]...",
        .purpose =
            "Evaluates each stored vector again, from results.h5 and the model folders alone, compares "
            "with the record, and decodes greedily.",
        .options = po::options_description(),
        .fewest_files = 1,
        .most_files = 1};
    syntax.options.add_options()("limit", po::value<std::int64_t>(), "verify so many vectors");
    add_model_option(syntax);
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    const auto asked = parsed->count("limit");
    const auto file = store::ResultFile::open(parsed->files.front());
    if (asked == std::uint64_t{0}) {
        throw UsageError({.what = "--limit 0 verifies nothing",
                          .where = {},
                          .why = {},
                          .advice = "Give 1 or more, or leave it out for all vectors"});
    }
    const std::size_t limit = asked.value_or(file.rows());
    if (!has_vectors(file)) {
        throw DataError(
            parsed->files.front(),
            {.what = "there is no vector to verify",
             .where = {},
             .why = "no trial is done yet, the run keeps none (store: {vectors: false}), or its files in "
                    "vectors/ are gone",
             .advice = "For vectors of finished trials, run them with `--set store.vectors=true` "
                       "into another folder (--out)"});
    }
    tell_left_out_variables();
    set_threads(usable_cores());
    check_this_process(at::kCPU);
    ModelsOfFile models(file, moved_models(*parsed));
    std::size_t verified = 0;
    std::size_t different = 0;
    std::size_t exact = 0;
    std::size_t decoded = 0;
    for (std::size_t row = 0; row < file.rows() && verified < limit; ++row) {
        if (!file.has_vector(row)) continue;
        const auto stored = file.read(row);
        const auto verdict = verify_row(stored, file.segment_of(row), protocol_of(file, stored.axes.protocol),
                                        models.model(stored.axes.model, stored.axes.precision));
        ++verified;
        different += verdict.same ? 0 : 1;
        exact += stored.record.exact ? 1 : 0;
        decoded += verdict.decoded ? 1 : 0;
    }
    fmt::print(
        "{} verified: {} as recorded, {} differ; {} are exact on record, {} decode greedily to the whole "
        "text\n",
        count_text(static_cast<std::int64_t>(verified), "vector"), verified - different, different, exact,
        decoded);
    if (different > 0) {
        log::warning(
            "some vectors do not give what is on record: `memcap rebuild DIR` compares the files of vectors/ "
            "with "
            "their checksums, and names damaged ones; vectors that stay were made with other arithmetic or "
            "weights");
    }
    return different == 0 ? kDone : kDefect;
}

int decode_trial_text(const Arguments& arguments) {
    CommandSyntax syntax{.usage = "memcap decode DIR --trial ID [--model NAME=FOLDER]",
                         .purpose = "Prints the text that a stored vector gives back by greedy decoding.",
                         .options = po::options_description(),
                         .fewest_files = 1,
                         .most_files = 1};
    syntax.options.add_options()("trial", po::value<std::string>()->required(),
                                 "trial_id of results.h5, or so many digits of it that no other begins so");
    add_model_option(syntax);
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    const auto file = store::ResultFile::open(parsed->files.front());
    const std::size_t row = row_of_trial(file, parsed->files.front(), parsed->text("trial"));
    if (!file.has_vector(row)) {
        throw DataError(parsed->files.front(),
                        {.what = fmt::format("no vector of trial {}", file.numbers(row).trial_id.hex()),
                         .where = {},
                         .why = "it failed, or the run keeps none (store: {vectors: false})",
                         .advice = "Choose a trial that has one"});
    }
    const auto stored = file.read(row);
    set_threads(usable_cores());
    check_this_process(at::kCPU);
    ModelsOfFile models(file, moved_models(*parsed));
    const auto tokens = decode(models.model(stored.axes.model, stored.axes.precision), stored,
                               protocol_of(file, stored.axes.protocol));
    const std::string executable = executable_path();
    text::TokenizerClient client(
        {.python = text::find_python({}, executable), .script = text::find_helper_script(executable)});
    fmt::print("{}\n", client.decode(models.folder(stored.axes.model), tokens));
    return kDone;
}

}  // namespace memcap::app
