// An MLP of experts, of which each row takes a few.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/families/blocks.hpp"

// Shapes: R rows, D hidden width, X experts, k of them for each row, F width of an expert.
namespace memcap::models::families {

/// What decides an MLP of experts, under the names of transformers' configurations.
struct ExpertsConfig {
    std::int32_t num_experts;            ///< X
    std::int32_t num_experts_per_tok;    ///< k
    std::int32_t moe_intermediate_size;  ///< F
    bool norm_topk_prob;                 ///< the shares of a row's experts are divided by their sum
    nn::Activation hidden_act;
};

/// Sum over the k experts of largest share, softmax(router x), of share * expert(x); each expert is a gated
/// MLP. What a row gets depends on itself alone. `mlp.gate` and `mlp.experts.<number>.`, as published files
/// and those that transformers 5 writes have them (transformers modeling_qwen3_moe.py).
class ExpertsMlp {
  public:
    /// Throws UsageError on a GPU: how many rows an expert gets changes from step to step, and a recorded
    /// step cannot.
    ExpertsMlp(const nn::WeightReader& weights, const std::string& layer_scope, std::int32_t hidden_size,
               const ExpertsConfig& config);

    /// x [R, D] -> [R, D]
    at::Tensor operator()(const at::Tensor& x_RD) const;

    static std::int64_t parameters(std::int64_t hidden_size, const ExpertsConfig& config);
    /// Of these, those of the experts that a row does not take.
    static std::int64_t idle_parameters(std::int64_t hidden_size, const ExpertsConfig& config);
    /// Floats that it keeps of a row; numbers of rows and experts are as large as two floats.
    static std::int64_t kept(std::int64_t hidden_size, const ExpertsConfig& config);

  private:
    struct Choice {
        at::Tensor expert_Rk;  ///< int64
        at::Tensor share_Rk;
    };
    Choice choose(const at::Tensor& x_RD) const;
    /// rows [R k, D], those of each expert side by side, `counts` of them -> the same through their experts.
    at::Tensor through_experts(const at::Tensor& rows, const at::Tensor& counts) const;

    ExpertsConfig config_;
    nn::Linear router_;
    std::vector<GatedMlp> experts_;
};

}  // namespace memcap::models::families
