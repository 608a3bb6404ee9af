// The known step, beside its expected values.
#include "app/self_check.hpp"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/log.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/memory/slots.hpp"
#include "memcap/models/registry.hpp"
#include "memcap/nn/product.hpp"

namespace memcap::app {

namespace {

// Large enough that products, norms, activations, attention and head share their work among threads.
constexpr std::string_view kConfig = R"({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5,
    "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 1024, "max_position_embeddings": 256, "rope_theta": 10000.0,
    "tie_word_embeddings": true})";
constexpr std::int32_t kMemoryVectors = 2;
constexpr std::int32_t kLength = 65;
/// The trials' own: no element of their gradients is so small that rounding could turn the step that Adam
/// makes of it.
constexpr std::array<std::int32_t, KnownStep::kTrials> kNumbers{2, 3, 4, 5};
/// Far above what rounding and kernels of different processors make, far below what a lost part of a sum
/// makes.
constexpr double kTolerance = 1e-3;

plan::Trial known_trial(std::int32_t number) {
    plan::Trial trial;
    trial.id = {0, static_cast<std::uint64_t>(number)};
    trial.memory_vectors = kMemoryVectors;
    for (std::int32_t i = 0; i < kLength; ++i)
        trial.text.push_back((i * i * 7 + i * 31 + number * 101) % 1024);
    return trial;
}

memory::SlotState known_state(std::int32_t number, std::int32_t width) {
    memory::SlotState state;
    for (std::int32_t i = 0; i < kMemoryVectors * width; ++i) {
        const std::int32_t step = (i * 37 + number * 13) % 101 - 50;
        state.memory.push_back(static_cast<float>(step) / 2048.0F);
    }
    state.first_moment.assign(state.memory.size(), 0.0F);
    state.second_moment.assign(state.memory.size(), 0.0F);
    return state;
}

/// Norms of equal pieces of the gradient that made these first moments.
std::array<double, KnownStep::kPieces> piece_norms(const std::vector<float>& first_moment, double beta1) {
    std::array<double, KnownStep::kPieces> norms{};
    const std::size_t size = first_moment.size() / norms.size();
    for (std::size_t piece = 0; piece < norms.size(); ++piece) {
        double squares = 0.0;
        for (std::size_t i = piece * size; i < (piece + 1) * size; ++i)
            squares += std::pow(static_cast<double>(first_moment[i]), 2);
        norms[piece] = std::sqrt(squares) / (1.0 - beta1);
    }
    return norms;
}

/// The first number that is not as it should be; empty if all are.
std::string difference(const KnownStep& found, const KnownStep& expected) {
    const auto compare = [](std::string_view name, double is, double should_be) {
        // Written so that nan differs.
        if (std::abs(is - should_be) <= kTolerance * should_be) return std::string();
        return fmt::format("{} of a known step is {:.6g} instead of {:.6g}", name, is, should_be);
    };
    for (std::size_t t = 0; t < expected.trials.size(); ++t) {
        const auto& [losses, gradient] = found.trials[t];
        for (std::size_t i = 0; i < gradient.size(); ++i) {
            auto text = compare("the gradient", gradient[i], expected.trials[t].gradient[i]);
            if (!text.empty()) return text;
        }
        for (std::size_t i = 0; i < losses.size(); ++i) {
            auto text = compare("the loss", losses[i], expected.trials[t].loss_nats[i]);
            if (!text.empty()) return text;
        }
    }
    return {};
}

}  // namespace

std::unique_ptr<models::CausalLM> model_of_known_step(at::Device device) {
    return models::make_random(hub::ModelConfig::parse("known step", kConfig), Precision::float32, device);
}

KnownStep compute_known_step(const models::CausalLM& model) {
    memory::SlotsEngine engine(
        model, {.slots = KnownStep::kTrials, .keep_vectors = false, .curve_every = 1, .look_every = 1});
    std::vector<plan::Trial> trials;
    for (const std::int32_t number : kNumbers) trials.push_back(known_trial(number));
    std::vector<const plan::Trial*> waiting;
    for (const auto& trial : trials) waiting.push_back(&trial);
    engine.expect(waiting);
    for (std::size_t i = 0; i < trials.size(); ++i)
        engine.enter(trials[i], known_state(kNumbers[i], model.description().memory_width));
    KnownStep step{};
    for (std::size_t evaluation = 0; evaluation < KnownStep::kEvaluations; ++evaluation) {
        // A trial without numbers has ended, and leaves zeros, which are wrong as well.
        engine.step();
        const auto running = engine.running();
        for (std::size_t i = 0; i < trials.size(); ++i) {
            if (std::ranges::find(running, trials[i].id) == running.end()) continue;
            const memory::SlotState state = engine.export_state(trials[i].id);
            step.trials[i].loss_nats[evaluation] = state.curve.loss_nats.back();
            if (evaluation == 0)
                step.trials[i].gradient = piece_norms(state.first_moment, trials[i].protocol.beta1);
        }
    }
    return step;
}

const KnownStep& expected_known_step() {
    // Printed by tests/golden/known_step.py.
    static const KnownStep expected{{{
        {{6.9783411, 6.9348817, 6.9181294},
         {0.20116298, 0.20449786, 0.1951853, 0.18402441, 0.16790019, 0.15902618, 0.15292673, 0.1552918}},
        {{6.9639235, 6.9054899, 6.8905325},
         {0.31751812, 0.36892316, 0.34165925, 0.36662567, 0.26352289, 0.29781324, 0.28502822, 0.31335661}},
        {{6.9910455, 6.9429178, 6.9234347},
         {0.26254734, 0.19348209, 0.2601327, 0.25060368, 0.22911316, 0.16135566, 0.22472657, 0.21920161}},
        {{6.9645848, 6.9185128, 6.900466},
         {0.21083185, 0.32606465, 0.26548362, 0.23473638, 0.16742021, 0.26790148, 0.21431464, 0.19635226}},
    }}};
    return expected;
}

void require_known(const KnownStep& found) {
    const std::string wrong = difference(found, expected_known_step());
    if (wrong.empty()) return;
    throw WrongNumbers(
        {.what = "this process computes wrong numbers",
         .where = {},
         .why = fmt::format(
             "with threads: {}, {}; most likely a setting of the environment gives the libraries "
             "fewer threads than they ask for, or another library takes the place of one of theirs",
             at::get_num_threads(), wrong),
         .advice =
             "Unset the variables that begin with OMP_, GOMP_, KMP_ and MKL_, and LD_PRELOAD, and run again; "
             "if that changes nothing, try `run: {threads: 1}`"});
}

void check_this_process(at::Device device) {
    require_known(compute_known_step(*model_of_known_step(device)));
    if (device.is_cpu() && !nn::rows_stand_alone())
        log::warning(
            "on this processor the last bits of a result depend on the trials beside it, and on ranks and "
            "threads: products of few and of many rows round differently");
}

}  // namespace memcap::app
