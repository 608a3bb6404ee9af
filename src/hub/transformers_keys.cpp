// The keys of config.json that transformers knows; scripts/transformers_keys.py writes the table.
#include "hub/detail/transformers_keys.hpp"

#include <algorithm>
#include <array>

#include "memcap/base/contracts.hpp"

namespace memcap::hub::detail {

namespace {

struct Row {
    std::string_view model_type;  ///< empty: of every type
    std::string_view read;        ///< words: what the forward pass depends on
    std::string_view idle;        ///< words: what the configuration has besides
};

// clang-format off
constexpr std::array kRows{
    Row{"",
         "add_cross_attention compression_config fusion_config is_causal per_layer_config pruned_heads "
         "quantization_config tie_word_embeddings transformers_weights",
         "_attn_implementation _attn_implementation_autoset _attn_implementation_internal _auto_class "
         "_commit_hash _experts_implementation _experts_implementation_internal _name_or_path _num_labels "
         "_output_attentions architectures assistant_confidence_threshold assistant_early_exit "
         "assistant_ensemble_weight assistant_lookbehind attention_probs_dropout_prob attn_implementation "
         "attribute_map auto_map bad_words_ids base_config_key base_model_ep_plan base_model_pp_plan "
         "base_model_tp_plan begin_suppress_tokens bos_token_id cache_config cache_implementation chunk_size "
         "chunk_size_feed_forward compile_config constraints continuous_batching_config "
         "cross_attention_hidden_size decoder_start_token_id disable_compile diversity_penalty do_sample "
         "dola_layers dtype early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty "
         "eos_token_id epsilon_cutoff eta_cutoff experts_implementation exponential_decay_length_penalty "
         "finetuning_task force_bos_token_to_be_generated force_words_ids forced_bos_token_id "
         "forced_decoder_ids forced_eos_token_id generation_kwargs gradient_checkpointing guidance_scale "
         "has_no_defaults_at_init hidden_dropout_prob id2label ignore_keys_at_rope_validation is_assistant "
         "is_composition is_decoder is_encoder_decoder label2id length_penalty low_memory max_cache_len "
         "max_length max_matching_ngram_size max_new_tokens max_time min_length min_new_tokens min_p "
         "model_type n_special name_or_path no_repeat_ngram_size num_assistant_tokens "
         "num_assistant_tokens_schedule num_beam_groups num_beams num_labels num_return_sequences "
         "output_attentions output_hidden_states output_logits output_past output_router_logits "
         "output_scores pad_token_id penalty_alpha predict_special_tokens prefill_chunk_size prefix "
         "problem_type prompt_lookup_num_tokens remove_invalid_values renormalize_logits "
         "reorder_and_upcast_attn repetition_penalty residual_in_fp32 return_dict return_dict_in_generate "
         "return_legacy_cache router_aux_loss_coef sep_token_id sequence_bias speculation_type stop_strings "
         "sub_configs suppress_tokens target_lookbehind task_specific_params temperature tf_legacy_loss "
         "tie_encoder_decoder token_healing tokenizer_class top_h top_k top_p torch_dtype torchscript "
         "transformers_version typical_p use_associative_scan use_bfloat16 use_cache use_mambapy use_mtp "
         "watermarking_config xla_device"},
    Row{"rope_parameters",
         "attention_factor beta_fast beta_slow factor high_freq_factor long_factor low_freq_factor mscale "
         "mscale_all_dim original_max_position_embeddings partial_rotary_factor rope_scaling rope_theta "
         "rope_type short_factor truncate type",
         ""},
    Row{"gemma2",
         "attention_bias attn_logit_softcapping final_logit_softcapping head_dim hidden_activation "
         "hidden_size intermediate_size layer_types max_position_embeddings num_attention_heads "
         "num_hidden_layers num_key_value_heads original_max_position_embeddings partial_rotary_factor "
         "query_pre_attn_scalar rms_norm_eps rope_parameters rope_scaling rope_theta sliding_window "
         "use_bidirectional_attention vocab_size",
         "attention_dropout initializer_range"},
    Row{"gemma3",
         "image_token_id image_token_index text_config vision_config",
         "boi_token_id boi_token_index eoi_token_id eoi_token_index initializer_range mm_tokens_per_image"},
    Row{"gemma3_text",
         "_sliding_window_pattern attention_bias attn_logit_softcapping final_logit_softcapping head_dim "
         "hidden_activation hidden_size intermediate_size layer_types max_position_embeddings "
         "num_attention_heads num_hidden_layers num_key_value_heads original_max_position_embeddings "
         "partial_rotary_factor query_pre_attn_scalar rms_norm_eps rope_local_base_freq rope_parameters "
         "rope_scaling rope_theta sliding_window sliding_window_pattern use_bidirectional_attention "
         "vocab_size",
         "attention_dropout initializer_range"},
    Row{"gpt2",
         "activation_function hidden_size layer_norm_epsilon max_position_embeddings n_embd n_head n_inner "
         "n_layer n_positions num_attention_heads num_hidden_layers scale_attn_by_inverse_layer_idx "
         "scale_attn_weights vocab_size",
         "attn_pdrop embd_pdrop initializer_range resid_pdrop summary_activation summary_first_dropout "
         "summary_proj_to_labels summary_type summary_use_proj"},
    Row{"gpt_neox",
         "attention_bias head_dim hidden_act hidden_size intermediate_size layer_norm_eps "
         "max_position_embeddings num_attention_heads num_hidden_layers original_max_position_embeddings "
         "partial_rotary_factor rope_parameters rope_scaling rope_theta rotary_emb_base rotary_pct "
         "use_parallel_residual vocab_size",
         "attention_dropout classifier_dropout hidden_dropout initializer_range"},
    Row{"granitemoehybrid",
         "attention_bias attention_multiplier embedding_multiplier head_dim hidden_act hidden_size "
         "intermediate_size layer_types layers_block_type logits_scaling mamba_chunk_size mamba_conv_bias "
         "mamba_d_conv mamba_d_head mamba_d_state mamba_expand mamba_n_groups mamba_n_heads mamba_proj_bias "
         "max_position_embeddings num_attention_heads num_experts_per_tok num_hidden_layers "
         "num_key_value_heads num_local_experts original_max_position_embeddings partial_rotary_factor "
         "position_embedding_type residual_multiplier rms_norm_eps rope_parameters rope_scaling rope_theta "
         "shared_intermediate_size time_step_limit vocab_size",
         "attention_dropout initializer_range"},
    Row{"llama",
         "attention_bias head_dim hidden_act hidden_size intermediate_size max_position_embeddings mlp_bias "
         "num_attention_heads num_hidden_layers num_key_value_heads original_max_position_embeddings "
         "partial_rotary_factor rms_norm_eps rope_parameters rope_scaling rope_theta vocab_size",
         "attention_dropout initializer_range pretraining_tp"},
    Row{"mamba",
         "conv_kernel expand hidden_act hidden_size intermediate_size layer_norm_epsilon num_hidden_layers "
         "state_size time_step_rank use_bias use_conv_bias vocab_size",
         "initializer_range rescale_prenorm_residual time_step_floor time_step_init_scheme time_step_max "
         "time_step_min time_step_scale"},
    Row{"mamba2",
         "conv_kernel expand head_dim hidden_act hidden_size layer_norm_epsilon n_groups num_heads "
         "num_hidden_layers state_size time_step_limit time_step_rank use_bias use_conv_bias vocab_size",
         "initializer_range rescale_prenorm_residual rms_norm time_step_floor time_step_max time_step_min"},
    Row{"mistral",
         "head_dim hidden_act hidden_size intermediate_size max_position_embeddings num_attention_heads "
         "num_hidden_layers num_key_value_heads original_max_position_embeddings partial_rotary_factor "
         "rms_norm_eps rope_parameters rope_scaling rope_theta sliding_window vocab_size",
         "attention_dropout initializer_range"},
    Row{"olmo",
         "attention_bias clip_qkv head_dim hidden_act hidden_size intermediate_size max_position_embeddings "
         "num_attention_heads num_hidden_layers num_key_value_heads original_max_position_embeddings "
         "partial_rotary_factor rope_parameters rope_scaling rope_theta vocab_size",
         "attention_dropout initializer_range"},
    Row{"olmo2",
         "attention_bias head_dim hidden_act hidden_size intermediate_size max_position_embeddings "
         "num_attention_heads num_hidden_layers num_key_value_heads original_max_position_embeddings "
         "partial_rotary_factor rms_norm_eps rope_parameters rope_scaling rope_theta vocab_size",
         "attention_dropout initializer_range"},
    Row{"olmo3",
         "attention_bias head_dim hidden_act hidden_size intermediate_size layer_types "
         "max_position_embeddings num_attention_heads num_hidden_layers num_key_value_heads "
         "original_max_position_embeddings partial_rotary_factor rms_norm_eps rope_parameters rope_scaling "
         "rope_theta sliding_window vocab_size",
         "attention_dropout initializer_range"},
    Row{"opt",
         "_remove_final_layer_norm activation_function do_layer_norm_before enable_bias ffn_dim hidden_size "
         "layer_norm_elementwise_affine max_position_embeddings num_attention_heads num_hidden_layers "
         "vocab_size word_embed_proj_dim",
         "attention_dropout dropout init_std layerdrop"},
    Row{"phi3",
         "head_dim hidden_act hidden_size intermediate_size max_position_embeddings num_attention_heads "
         "num_hidden_layers num_key_value_heads original_max_position_embeddings partial_rotary_factor "
         "rms_norm_eps rope_parameters rope_scaling rope_theta sliding_window vocab_size",
         "attention_dropout embd_pdrop initializer_range resid_pdrop"},
    Row{"qwen2",
         "head_dim hidden_act hidden_size intermediate_size layer_types max_position_embeddings "
         "max_window_layers num_attention_heads num_hidden_layers num_key_value_heads "
         "original_max_position_embeddings partial_rotary_factor rms_norm_eps rope_parameters rope_scaling "
         "rope_theta sliding_window use_sliding_window vocab_size",
         "attention_dropout initializer_range"},
    Row{"qwen3",
         "attention_bias head_dim hidden_act hidden_size intermediate_size layer_types "
         "max_position_embeddings max_window_layers num_attention_heads num_hidden_layers "
         "num_key_value_heads original_max_position_embeddings partial_rotary_factor rms_norm_eps "
         "rope_parameters rope_scaling rope_theta sliding_window use_sliding_window vocab_size",
         "attention_dropout initializer_range"},
    Row{"qwen3_moe",
         "attention_bias decoder_sparse_step head_dim hidden_act hidden_size intermediate_size "
         "max_position_embeddings mlp_only_layers moe_intermediate_size norm_topk_prob num_attention_heads "
         "num_experts num_experts_per_tok num_hidden_layers num_key_value_heads num_local_experts "
         "original_max_position_embeddings partial_rotary_factor rms_norm_eps rope_parameters rope_scaling "
         "rope_theta sliding_window use_sliding_window vocab_size",
         "attention_dropout initializer_range"},
    Row{"smollm3",
         "attention_bias head_dim hidden_act hidden_size intermediate_size layer_types "
         "max_position_embeddings mlp_bias no_rope_layer_interval no_rope_layers num_attention_heads "
         "num_hidden_layers num_key_value_heads original_max_position_embeddings partial_rotary_factor "
         "rms_norm_eps rope_parameters rope_scaling rope_theta sliding_window use_sliding_window vocab_size",
         "attention_dropout initializer_range"},
};
// clang-format on

bool has_word(std::string_view words, std::string_view word) {
    for (std::size_t at = words.find(word); at != std::string_view::npos; at = words.find(word, at + 1)) {
        const std::size_t end = at + word.size();
        if ((at == 0 || words[at - 1] == ' ') && (end == words.size() || words[end] == ' ')) return true;
    }
    return false;
}

}  // namespace

KeyUse key_use(std::string_view model_type, std::string_view key) {
    if (key.empty() || key.find(' ') != std::string_view::npos) return KeyUse::unknown;
    const auto* own = std::ranges::find(kRows, model_type, &Row::model_type);
    MEMCAP_EXPECT(own != kRows.end());
    const Row& common = kRows.front();
    if (has_word(own->read, key) || has_word(common.read, key)) return KeyUse::read;
    if (has_word(own->idle, key) || has_word(common.idle, key)) return KeyUse::idle;
    return KeyUse::unknown;
}

}  // namespace memcap::hub::detail
