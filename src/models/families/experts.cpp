// Rows are sorted by expert, so that each expert computes its rows in one product.
#include "models/families/experts.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "memcap/base/errors.hpp"

namespace memcap::models::families {

namespace {

GatedMlp read_expert(const nn::WeightReader& weights, const std::string& scope, std::int64_t hidden,
                     const ExpertsConfig& config) {
    const std::int64_t inner = config.moe_intermediate_size;
    return {read_linear(weights, scope, {"gate_proj", "up_proj"}, {inner, inner}, hidden, Bias::absent),
            read_linear(weights, scope, {"down_proj"}, {hidden}, inner, Bias::absent), config.hidden_act};
}

std::int64_t expert_parameters(std::int64_t hidden, const ExpertsConfig& config) {
    return 3 * hidden * config.moe_intermediate_size;
}

}  // namespace

ExpertsMlp::ExpertsMlp(const nn::WeightReader& weights, const std::string& layer_scope,
                       std::int32_t hidden_size, const ExpertsConfig& config)
    : config_(config) {
    if (weights.device().is_cuda()) {
        throw UsageError({.what = "a model with a mixture of experts cannot run on a GPU yet",
                          .where = {},
                          .why = "the rows of an expert change from step to step, and recorded steps do not",
                          .advice = "Run it on CPUs: `device: cpu`"});
    }
    router_ =
        read_linear(weights, layer_scope, {"mlp.gate"}, {config.num_experts}, hidden_size, Bias::absent);
    for (std::int32_t i = 0; i < config.num_experts; ++i) {
        experts_.push_back(
            read_expert(weights, fmt::format("{}mlp.experts.{}.", layer_scope, i), hidden_size, config));
    }
}

ExpertsMlp::Choice ExpertsMlp::choose(const at::Tensor& x_RD) const {
    const at::Tensor share_RX = router_(x_RD).to(at::kFloat).softmax(-1);
    auto [share_Rk, expert_Rk] = share_RX.topk(config_.num_experts_per_tok, -1);
    if (config_.norm_topk_prob) share_Rk = share_Rk / share_Rk.sum(-1, true);
    return {.expert_Rk = expert_Rk, .share_Rk = share_Rk};
}

at::Tensor ExpertsMlp::through_experts(const at::Tensor& rows, const at::Tensor& counts) const {
    std::vector<at::Tensor> outputs;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < experts_.size(); ++i) {
        const std::int64_t count = counts.const_data_ptr<std::int64_t>()[i];
        if (count == 0) continue;
        outputs.push_back(experts_[i](rows.narrow(0, first, count)));
        first += count;
    }
    return at::cat(outputs);
}

at::Tensor ExpertsMlp::operator()(const at::Tensor& x_RD) const {
    const Choice choice = choose(x_RD);
    const at::Tensor expert = choice.expert_Rk.flatten();
    const at::Tensor order = at::argsort(expert, /*stable=*/true, /*dim=*/0, /*descending=*/false);
    const at::Tensor row = order.div(config_.num_experts_per_tok, "floor");
    const at::Tensor share = choice.share_Rk.flatten().index_select(0, order).unsqueeze(1);
    const at::Tensor counts = at::bincount(expert, {}, config_.num_experts);
    const at::Tensor output = through_experts(x_RD.index_select(0, row), counts) * share;
    // Each row's own results side by side again. An index_add would keep all of them for its backward.
    const at::Tensor place = at::argsort(order);
    return output.index_select(0, place).view({-1, config_.num_experts_per_tok, x_RD.size(1)}).sum(1);
}

std::int64_t ExpertsMlp::parameters(std::int64_t hidden_size, const ExpertsConfig& config) {
    return config.num_experts * (hidden_size + expert_parameters(hidden_size, config));
}

std::int64_t ExpertsMlp::idle_parameters(std::int64_t hidden_size, const ExpertsConfig& config) {
    return (config.num_experts - config.num_experts_per_tok) * expert_parameters(hidden_size, config);
}

std::int64_t ExpertsMlp::kept(std::int64_t hidden_size, const ExpertsConfig& config) {
    const std::int64_t of_choice =
        2 + 2 + 2 + 2 + std::int64_t{2} * config.moe_intermediate_size + hidden_size + 1;
    const std::int64_t of_sums = config.norm_topk_prob ? config.num_experts_per_tok + 1 : 0;
    return config.num_experts + config.num_experts_per_tok * of_choice + of_sums;
}

}  // namespace memcap::models::families
