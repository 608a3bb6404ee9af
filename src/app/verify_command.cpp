// memcap verify and memcap decode: stored vectors put back before their models.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <memory>
#include <optional>

#include "app/machine.hpp"
#include "app/options.hpp"
#include "app/self_check.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/memory/evaluation.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/plan/trial.hpp"
#include "memcap/store/result_file.hpp"
#include "memcap/text/helper_paths.hpp"
#include "memcap/text/tokenizer_client.hpp"

namespace memcap::app {

namespace {

namespace po = boost::program_options;

/// Largest difference of a recomputed loss that rounding explains: relative, and absolute in nats.
constexpr double kLossTolerance = 1e-4;

/// Loads each model of a result file when first needed, and keeps the last one.
class ModelsOfFile {
  public:
    explicit ModelsOfFile(const store::ResultFile& file) : file_(file) {}

    const models::CausalLM& model(const std::string& name, Precision precision) {
        if (!model_ || name != name_ || precision != precision_) {
            check_unchanged(row(name));
            model_ = models::load(row(name).path, precision, at::kCPU);
            name_ = name;
            precision_ = precision;
        }
        return *model_;
    }

    const record::ModelRow& row(const std::string& name) const {
        for (const auto& row : file_.tables().models) {
            if (row.name == name) return row;
        }
        throw DataError("results.h5", {.what = fmt::format("model '{}' is not in the table /models", name),
                                       .where = {},
                                       .why = {},
                                       .advice = {}});
    }

  private:
    /// A vector means something to the very model that it was optimised for, and to no other.
    static void check_unchanged(const record::ModelRow& row) {
        if (hub::config_sha256(row.path) == row.config_sha256 &&
            hub::weights_sha256(row.path) == row.weights_sha256)
            return;
        throw DataError(row.path, {.what = fmt::format("model '{}' is not the one of the record", row.name),
                                   .where = {},
                                   .why = "the SHA-256 of its config.json or weights differs from /models",
                                   .advice = "Put the model of the run back in place"});
    }

    const store::ResultFile& file_;
    std::unique_ptr<models::CausalLM> model_;
    std::string name_;
    Precision precision_ = Precision::float32;
};

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

Verdict verify_row(const store::StoredTrial& stored, const Protocol& protocol,
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
        fmt::print("{} differs: loss {:.6f} recorded, {:.6f} now; {} and {} tokens right\n",
                   stored.record.trial_id.hex(), stored.record.loss_nats, now.loss_nats,
                   stored.record.correct_tokens, now.correct_tokens);
    }
    return verdict;
}

}  // namespace

int verify_results(const Arguments& arguments) {
    CommandSyntax syntax{
        .usage = "memcap verify DIR [--limit N]",
        .purpose =
            "Evaluates each stored vector again, from results.h5 and the model folders alone, compares "
            "with the record, and decodes greedily.",
        .options = po::options_description(),
        .fewest_files = 1,
        .most_files = 1};
    syntax.options.add_options()("limit", po::value<std::size_t>(), "verify so many vectors");
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    const auto file = store::ResultFile::open(parsed->files.front());
    const std::size_t limit = parsed->has("limit") ? parsed->values["limit"].as<std::size_t>() : file.rows();
    at::set_num_threads(usable_cores());
    check_this_process(at::kCPU);
    ModelsOfFile models(file);
    std::size_t verified = 0;
    std::size_t different = 0;
    std::size_t exact = 0;
    std::size_t decoded = 0;
    for (std::size_t row = 0; row < file.rows() && verified < limit; ++row) {
        if (!file.has_vector(row)) continue;
        const auto stored = file.read(row);
        const auto verdict = verify_row(stored, protocol_of(file, stored.axes.protocol),
                                        models.model(stored.axes.model, stored.axes.precision));
        ++verified;
        different += verdict.same ? 0 : 1;
        exact += stored.record.exact ? 1 : 0;
        decoded += verdict.decoded ? 1 : 0;
    }
    fmt::print(
        "{} vectors verified: {} as recorded, {} differ; {} are exact on record, {} decode greedily to the "
        "whole text\n",
        verified, verified - different, different, exact, decoded);
    return different == 0 ? kDone : kDefect;
}

int decode_trial_text(const Arguments& arguments) {
    CommandSyntax syntax{.usage = "memcap decode DIR --trial ID",
                         .purpose = "Prints the text that a stored vector gives back by greedy decoding.",
                         .options = po::options_description(),
                         .fewest_files = 1,
                         .most_files = 1};
    syntax.options.add_options()("trial", po::value<std::string>()->required(), "trial_id of results.h5");
    const auto parsed = parse_options(syntax, arguments);
    if (!parsed) return kDone;
    const auto file = store::ResultFile::open(parsed->files.front());
    const auto rows = file.rows_of(Id128::from_hex(parsed->text("trial")));
    if (rows.empty() || !file.has_vector(rows.front())) {
        throw DataError(parsed->files.front(),
                        {.what = fmt::format("no vector of trial {}", parsed->text("trial")),
                         .where = {},
                         .why = rows.empty() ? "there is no such trial" : "the run kept no vectors",
                         .advice = "Choose a trial_id of results.h5"});
    }
    const auto stored = file.read(rows.front());
    at::set_num_threads(usable_cores());
    check_this_process(at::kCPU);
    ModelsOfFile models(file);
    const auto tokens = decode(models.model(stored.axes.model, stored.axes.precision), stored,
                               protocol_of(file, stored.axes.protocol));
    const std::string executable = executable_path();
    text::TokenizerClient client(
        {.python = text::find_python({}, executable), .script = text::find_helper_script(executable)});
    fmt::print("{}\n", client.decode(models.row(stored.axes.model).path, tokens));
    return kDone;
}

}  // namespace memcap::app
