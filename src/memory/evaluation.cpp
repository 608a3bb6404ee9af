// Forward passes of single texts.
#include "memcap/memory/evaluation.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <limits>

#include "memcap/base/contracts.hpp"
#include "memcap/nn/head_loss.hpp"

namespace memcap::memory {

namespace {

at::Tensor token_tensor(std::span<const std::int32_t> tokens, at::Device device) {
    std::vector<std::int64_t> wide(tokens.begin(), tokens.end());
    return at::tensor(wide, at::kLong).to(device);
}

/// [K + n, E]: the memory's vectors, then the tokens' embeddings.
at::Tensor input_of(const models::CausalLM& model, std::span<const float> memory, std::int64_t memory_vectors,
                    std::span<const std::int32_t> tokens) {
    const std::int64_t width = model.description().memory_width;
    MEMCAP_EXPECT(static_cast<std::int64_t>(memory.size()) == memory_vectors * width);
    const at::Tensor memory_KE =
        at::from_blob(const_cast<float*>(memory.data()), {memory_vectors, width}, at::kFloat)
            .clone()
            .to(model.device());
    return at::cat({memory_KE, model.embed(token_tensor(tokens, model.device()))}, 0);
}

/// [T, D] of one text.
at::Tensor hidden_of(const models::CausalLM& model, const at::Tensor& input_TE) {
    return model.hidden(input_TE, nn::Segments({input_TE.size(0)}, model.device()));
}

}  // namespace

Evaluation evaluate(const models::CausalLM& model, const Objective& objective,
                    std::span<const float> memory) {
    Evaluation result;
    result.scored_tokens = static_cast<std::int32_t>(objective.scored.size());
    if (objective.scored.empty()) {
        result.loss_nats = result.accuracy = std::numeric_limits<double>::quiet_NaN();
        return result;
    }
    const at::NoGradGuard no_gradients;
    std::vector<std::int32_t> positions;
    std::vector<std::int32_t> targets;
    for (const auto& scored : objective.scored) {
        positions.push_back(scored.position);
        targets.push_back(scored.target);
    }
    const at::Tensor hidden_TD =
        hidden_of(model, input_of(model, memory, objective.memory_vectors, objective.input_tokens));
    const at::Tensor rows = hidden_TD.index_select(0, token_tensor(positions, model.device()));
    const auto loss = nn::head_loss(model.head(), rows, token_tensor(targets, model.device()));
    result.loss_nats = loss.nll_nats.to(at::kDouble).mean().item<double>();
    result.correct_tokens = static_cast<std::int32_t>(loss.correct.sum().item<std::int64_t>());
    result.accuracy = static_cast<double>(result.correct_tokens) / result.scored_tokens;
    return result;
}

std::vector<std::int32_t> decode_greedily(const models::CausalLM& model, std::span<const float> memory,
                                          std::int32_t memory_vectors, std::span<const std::int32_t> prefix,
                                          std::span<const std::int32_t> given, std::int32_t count) {
    const at::NoGradGuard no_gradients;
    std::vector<std::int32_t> tokens(prefix.begin(), prefix.end());
    tokens.insert(tokens.end(), given.begin(), given.end());
    std::size_t known = tokens.size();
    MEMCAP_EXPECT(memory_vectors + static_cast<std::int32_t>(known) >= 1 && count >= 1);
    // Pads behind the known tokens keep the shape; the causal order hides them.
    tokens.resize(known + static_cast<std::size_t>(count) - 1, 0);
    std::vector<std::int32_t> decoded;
    for (std::int32_t i = 0; i < count; ++i) {
        const at::Tensor hidden_TD = hidden_of(model, input_of(model, memory, memory_vectors, tokens));
        const auto last = memory_vectors + static_cast<std::int64_t>(known) - 1;
        decoded.push_back(static_cast<std::int32_t>(
            model.head().logits(hidden_TD.narrow(0, last, 1)).argmax().item<std::int64_t>()));
        if (known < tokens.size()) tokens[known++] = decoded.back();
    }
    return decoded;
}

}  // namespace memcap::memory
