"""Deliberate errors in the families and in the slots engine, each of which tests must catch: python mutations.py BUILD_FOLDER [NAME...].

Works on a copy of the sources in BUILD_FOLDER (made if it is not there), so the checkout stays as it is. Each error is a build.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = "src/models/families/"

ENGINE_TESTS = "Slots.*:Shortage.*:*MixedSweep.*"

# Family -> prefix of its cases, and errors: what is wrong, file, text, the text that replaces it. Of the engine's errors, the tests
# of trials in company must catch each.
MUTATIONS = {
    "llama": ("llama", [
        ("values take the place of keys", "blocks.cpp", '"self_attn.k_proj", "self_attn.v_proj"', '"self_attn.v_proj", "self_attn.k_proj"'),
        ("no rotation", "llama.cpp", "segments, &rotary_,", "segments, nullptr,"),
        ("default epsilon instead of the file's", "pre_norm_decoder.cpp", 'config.number("rms_norm_eps", default_epsilon)',
         "default_epsilon * 10"),
        ("norms exchanged", "pre_norm_decoder.cpp", '"input_layernorm.weight"', '"post_attention_layernorm.weight"'),
    ]),
    "mistral": ("mistral", [
        ("window one too wide", "mistral.cpp", ".window = sliding_window_}", ".window = sliding_window_ + 1}"),
        ("no window", "mistral.cpp", ", .window = sliding_window_}", "}"),
        ("scale of the hidden width", "mistral.cpp", "inverse_root(config().sizes.head_dim)", "inverse_root(config().sizes.hidden_size)"),
    ]),
    "qwen2": ("qwen2", [
        ("no biases", "qwen2.cpp", "sizes, Bias::present, Bias::absent}", "sizes, Bias::absent, Bias::absent}"),
        ("lower layers slide", "qwen_windows.hpp", "i >= first", "i < first"),
        ("half the base of the rotation", "qwen2.cpp", "read_rotary(config, sizes)", "read_rotary(config, sizes, {.default_theta = 5000.0})"),
    ]),
    "qwen3": ("qwen3", [
        ("no norm of heads", "qwen3.cpp", "attention.attend(normed,", "attention.attend(projected,"),
        ("norms of queries and keys exchanged", "blocks.cpp", 'weights.vector(scope + "q_norm.weight"', 'weights.vector(scope + "k_norm.weight"'),
        ("another epsilon", "qwen3.cpp", "config().rms_norm_eps);", "0.1);"),
    ]),
    "qwen3_moe": ("qwen3-moe", [
        ("shares not normed", "experts.cpp", "if (config_.norm_topk_prob) share_Rk", "if (false) share_Rk"),
        ("experts in reverse", "experts.cpp", "experts_[i](rows", "experts_[experts_.size() - 1 - i](rows"),
        ("shares of other rows", "experts.cpp", ".index_select(0, order).unsqueeze(1)", ".unsqueeze(1)"),
        ("softmax over the chosen alone", "experts.cpp", "router_(x_RD).to(at::kFloat).softmax(-1)", "router_(x_RD).to(at::kFloat)"),
        ("no window", "qwen3_moe.cpp", ".window = window_}", "}"),
    ]),
    "smollm3": ("smollm3", [
        ("every layer rotates", "smollm3.cpp", "rotates_[index] ? &rotary_ : nullptr", "&rotary_"),
        ("1 means no rotation", "smollm3.cpp", "listed[i] != 0", "listed[i] == 0"),
        ("another default base", "smollm3.cpp", "2e6}", "1e4}"),
    ]),
    "phi3": ("phi3", [
        ("another activation", "phi3.cpp", "c.common.hidden_act}}", "nn::Activation::gelu}}"),
        ("whole heads rotate", "phi3.cpp", '{.share = "partial_rotary_factor",', '{.share = "rotary_pct",'),
        ("no window", "phi3.cpp", ".window = sliding_window_}", ".window = 0}"),
    ]),
    "olmo": ("olmo-", [
        ("nothing is clipped", "olmo.cpp", "if (std::isfinite(config_.clip_qkv))", "if (false)"),
        ("another epsilon", "olmo.cpp", "kNormEpsilon = 1e-5", "kNormEpsilon = 1e-2"),
        ("no norm at the end", "olmo.cpp", "return normed(x_RD);\n    }\n\n  private", "return x_RD;\n    }\n\n  private"),
    ]),
    "olmo2": ("olmo2", [
        ("norm before attention", "post_norm_decoder.cpp", "nn::rms_norm(attention(i, projected, segments), layer.post_attention_norm, epsilon)",
         "attention(i, layer.attention.project(nn::rms_norm(x_RD, layer.post_attention_norm, epsilon)), segments)"),
        ("norm of keys left out", "post_norm_decoder.cpp", "normed(query, key, layer.key_norm)", "projected.narrow(-1, query, key)"),
        ("another epsilon", "post_norm_decoder.cpp", 'config.number("rms_norm_eps", 1e-5)', "0.2"),
    ]),
    "olmo3": ("olmo3", [
        ("window one too wide", "olmo3.cpp", ".window = sliding_window_}", ".window = sliding_window_ + 1}"),
        ("each fourth layer slides", "olmo3.cpp", "(i + 1) % 4 != 0", "(i + 1) % 4 == 0"),
        ("every layer rotates scaled", "olmo3.cpp", ".rotary = &local_rotary_", ".rotary = &global_rotary_"),
        ("rope_theta in every layer", "olmo3.cpp", "plain_rotary(sizes, kDefaultTheta)", 'plain_rotary(sizes, config.number("rope_theta", kDefaultTheta))'),
    ]),
    "gpt_neox": ("gpt-neox", [
        ("heads not interleaved", "gpt_neox.cpp", "nn::HeadLayout::interleaved(config_.sizes.num_attention_heads,",
         "nn::HeadLayout::stacked(config_.sizes.num_attention_heads, config_.sizes.num_attention_heads,"),
        ("always in sequence", "gpt_neox.cpp", "if (config_.use_parallel_residual) {", "if (false) {"),
        ("another share of a head rotates", "gpt_neox.cpp", '.share = "rotary_pct", .default_share = 0.25', '.share = "rotary_part", .default_share = 0.5'),
    ]),
    "opt": ("opt", [
        ("positions off by one", "opt.cpp", "kPositionOffset = 2", "kPositionOffset = 1"),
        ("always norms before", "opt.cpp", "if (config_.do_layer_norm_before) {", "if (true) {"),
        ("another activation", "opt.cpp", "nn::activate(layer.up(x_RD), config_.activation_function)",
         "nn::activate(layer.up(x_RD), nn::Activation::gelu)"),
    ]),
    "gpt2": ("gpt2", [
        ("positions off by one", "gpt2.cpp", "segments.positions())", "segments.positions() + 1)"),
        ("erf instead of tanh", "gpt2.cpp", "nn::activate(layer.up(normed_RD), config_.activation_function)",
         "nn::activate(layer.up(normed_RD), nn::Activation::gelu)"),
        ("no scale by layer", "gpt2.cpp", "scale /= static_cast<double>(index + 1)", "scale /= 1.0"),
    ]),
    "gemma": ("gemma", [
        ("factor without the one", "gemma.cpp", 'weights.vector(name + ".weight", width).add(1.0)', 'weights.vector(name + ".weight", width)'),
        ("local and global rotation exchanged", "gemma.cpp", "slides ? &local_rotary_ : &global_rotary_", "slides ? &global_rotary_ : &local_rotary_"),
        ("no cap on scores", "gemma.cpp", ",\n                                       .soft_cap = config_.attn_logit_softcapping", ""),
        ("tied by the key of the text", "gemma.cpp", 'c.tie_word_embeddings = config.boolean("tie_word_embeddings", true);\n    return c;', "return c;"),
        ("embedding not scaled", "gemma.cpp", "std::sqrt(static_cast<double>(c.sizes.hidden_size))", "1.0"),
    ]),
    "mamba": ("mamba", [
        ("input and output exchanged", "mamba.cpp", ".input = parts.narrow(-1, rank, state)", ".input = parts.narrow(-1, rank + state, state)"),
        ("gate without activation", "mamba.cpp", "y_RC * nn::activate(halves[1], config_.sizes.hidden_act)", "y_RC * halves[1]"),
        ("no skip", "mamba.cpp", "layer.decay, layer.skip)", "layer.decay, layer.skip * 0)"),
    ]),
    "mamba2": ("mamba2", [
        ("norm over all groups", "mamba2_mixer.cpp", "gated_RC.unflatten(-1, {config_.n_groups, -1}), gated_norm_",
         "gated_RC.unflatten(-1, {1, -1}), gated_norm_.reshape({1, -1})"),
        ("steps not limited", "mamba2_mixer.cpp", "config_.shortest_step, config_.longest_step)", "0.0, 1e9)"),
        ("no bias of the steps", "mamba2_mixer.cpp", "+ step_bias_)", "+ step_bias_ * 0)"),
    ]),
    "granite": ("granite-hybrid", [
        ("usual scale of scores", "granite_hybrid.cpp", "{.scale = config_.attention_multiplier}", "{.scale = inverse_root(config_.sizes.head_dim)}"),
        ("memory not multiplied", "granite_hybrid.cpp", "input_RE.mul(config_.embedding_multiplier)", "input_RE.mul(1.0)"),
        ("residuals not multiplied", "granite_hybrid.cpp", ".mul(config_.residual_multiplier)", ".mul(1.0)"),
        ("logits not divided", "granite_hybrid.cpp", ".div(c.logits_scaling)", ".div(1.0)"),
        ("always rotates", "granite_hybrid.cpp", 'config.text("position_embedding_type", "nope") == "rope"', "true"),
        ("layer types exchanged", "granite_hybrid.cpp", 'type == "attention" || type == "full_attention"', 'type == "mamba" || type == "linear_attention"'),
    ]),
    "longrope": ("phi3-longrope", [
        ("short factors in long inputs", "src/nn/rotary.cpp", "beyond ? config.longrope->long_factors :", "false ? config.longrope->long_factors :"),
        ("long factors ten positions early", "src/nn/rotary.cpp", "return longrope->original_context_tokens;", "return longrope->original_context_tokens - 10;"),
        ("attention not sharpened", "config_keys.cpp", 'scaling.number("attention_factor", usual)', 'scaling.number("attention_factor", 1.0)'),
        ("cosines alone sharpened", "src/nn/rotary.cpp", "angle.sin().mul(config_.attention_factor)", "angle.sin()"),
        ("original context of the scaling first", "config_keys.cpp", "original_tokens > 0 ? original_tokens : inside", "inside > 0 ? inside : original_tokens"),
    ]),
    "dynamic": ("llama-rope-dynamic", [
        ("base does not grow", "src/nn/rotary.cpp", "if (config.dynamic && beyond)", "if (config.dynamic && false)"),
        ("exponent of the whole width", "src/nn/rotary.cpp", ".pow(width / (width - 2.0))", ".pow(1.0)"),
        ("all lengths beyond alike", "src/nn/rotary.cpp", "config_.dynamic ? length : 0", "0"),
    ]),
    "yarn": ("qwen3", [
        ("every pair slowed down", "src/nn/rotary.cpp", "if (config.yarn) return scaled_by_yarn(wavelength, *config.yarn, config.theta, config.head_width);",
         "if (config.yarn) return wavelength.mul(config.yarn->factor).reciprocal();"),
        ("band always of whole pairs", "src/nn/rotary.cpp", "if (scaling.whole_pairs) {", "if (true) {"),
        ("weights of the factor left out", "config_keys.cpp", "weighted ? sharpened(factor, weight) / sharpened(factor, weight_of_all)", "false ? sharpened(factor, weight) / sharpened(factor, weight_of_all)"),
        ("ends of the band exchanged", "config_keys.cpp", 'or_default("beta_fast", 32.0)', 'or_default("beta_slow", 32.0)'),
    ]),
    "optimisers": ("llama-plain", [
        ("temperature not differentiated", "src/nn/kernels/head.cpp", "exponential((value - largest) * sharpness);\n            sums",
         "exponential((value - largest) * (sharpness > 0.0F ? 1.0F : sharpness));\n            sums"),
        ("temperature of the row before", "src/memory/detail/bucket.cpp", "rows.sharpnesses.push_back(content->sharpness);",
         "rows.sharpnesses.push_back(rows.sharpnesses.empty() ? 1.0F : content->sharpness);"),
        ("decay counts in the unit of the rate", "src/memory/detail/slot_step.hpp", "1.0 - rate * rules.weight_decay", "1.0 - rate * rules.rate_unit * rules.weight_decay"),
        ("second moments stay in the old basis", "src/memory/detail/rotation.cpp", "second_moment_KE.copy_(at::mm(second_moment_KE, turn.square()));", "second_moment_KE.copy_(second_moment_KE * turn.numel() / turn.numel());"),
        ("first moments stay in the old basis", "src/memory/detail/rotation.cpp", "first_moment_KE.copy_(at::mm(first_moment_KE, turn));", "first_moment_KE.copy_(first_moment_KE * turn.numel() / turn.numel());"),
        ("basis never renewed", "src/memory/detail/rotation.cpp", "    if (evaluations - renewed < kRenewEvery) return;\n", "    return;\n"),
    ]),
    "engine": (ENGINE_TESTS, [
        ("few rows as they are", "src/nn/detail/cpu_product.cpp", "std::max(x.size(0), fewest_rows())", "x.size(0)"),
        ("softplus as libtorch rounds it", "src/nn/state_space.cpp", "activate(x.to(at::kFloat), Activation::softplus)", "at::softplus(x.to(at::kFloat))"),
        ("moments of the trial before", "src/memory/detail/bucket.cpp", "    write(first_moment_BKE_[slot], vectors.first_moment, objective.memory_vectors);\n", ""),
        ("rows of the trial before", "src/memory/detail/bucket.cpp", "    laid_out_ = false;\n    return slot;", "    return slot;"),
        ("first layer's parts of the trial before", "src/memory/detail/bucket.cpp",
         "rows_of_tokens(row_parts[i]).copy_(content->token_parts[i]);", "static_cast<void>(row_parts[i]);"),
        ("best vector never kept", "src/memory/detail/slot_update.cpp", "if (judge(rules, now, progress)) {",
         "if (judge(rules, now, progress) && progress.evaluations == 1) {"),
        ("evaluations behind the end count", "src/memory/detail/slot_update.cpp",
         "        if (progress.phase != SlotPhase::running) continue;\n        const SlotRules& rules", "        const SlotRules& rules"),
        ("patience one too long", "src/memory/detail/slot_step.hpp", ">= rules.patience", "> rules.patience"),
        ("the last of the best", "src/memory/detail/slot_step.hpp", "now.correct > progress.best_correct", "now.correct >= progress.best_correct"),
        ("curve points of the next evaluation", "src/memory/detail/bucket.cpp", "(number - 1) % curve_points_", "number % curve_points_"),
        ("buckets never get smaller", "src/memory/slots.cpp", "if (rounds_of_waste_ <= kRoundsOfWaste) return;", "return;"),
        ("a trial that finds no memory leaves its rows", "src/memory/detail/bucket.cpp", "    const SlotVectors& vectors = *content.vectors;\n",
         "    contents_[index(slot)] = entering;\n    const SlotVectors& vectors = *content.vectors;\n"),
        ("float16's gradients as they are", "src/memory/detail/bucket.cpp", "mode.rounded == at::kHalf ?", "mode.rounded == at::kHalf && scored < 0 ?"),
        ("pads lead past the common rotation", "src/memory/slots.cpp", "positions > common ? model.context_tokens : common", "model.context_tokens"),
        ("pads under a rotation by length", "src/memory/slots.cpp", "positions > common && model.rotates_by_length", "false"),
        ("a shortage takes nothing away", "src/memory/slots.cpp", "options_.position_budget = reduced_budget_;", ""),
        ("a bucket takes all that is free", "src/memory/slots.cpp", "std::max(1, expected == expected_.end() ? 0 : expected->second)", "options_.slots"),
    ]),
}


def prepare(folder):
    """The copy of the sources, configured."""
    sources = folder / "sources"
    if not sources.exists():
        sources.mkdir(parents=True)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (sources / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, sources / name)
    (sources / ".venv").unlink(missing_ok=True)
    (sources / ".venv").symlink_to(ROOT / ".venv")
    subprocess.run(["cmake", "-G", "Ninja", "-S", str(sources), "-B", str(folder / "build"), "-DCMAKE_BUILD_TYPE=Release"],
                   check=True, stdout=subprocess.DEVNULL)
    return sources


def source_of(name):
    """The file of an error, relative to the root."""
    return name if "/" in name else FAMILIES + name


def tests_pass(folder, cases):
    """Builds, and runs the golden tests of these cases, or those of the engine."""
    built = subprocess.run(["ninja", "-C", str(folder / "build"), "memcap_memory_tests"], check=False, capture_output=True, text=True)
    if built.returncode:
        raise SystemExit(f"the changed sources do not compile:\n{built.stdout[-3000:]}")
    tests = folder / "build" / "tests" / "memcap_memory_tests"
    chosen = cases if cases == ENGINE_TESTS else f"*Golden*/{cases.replace('-', '_')}*"
    return subprocess.run([str(tests), f"--gtest_filter={chosen}"], check=False, capture_output=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode == 0


def survives(folder, sources, cases, mutation):
    """Whether the tests pass in spite of this error."""
    _, name, text, replacement = mutation
    file = sources / source_of(name)
    original = file.read_text(encoding="utf-8")
    if original.count(text) != 1:
        raise SystemExit(f"{name} has this {original.count(text)} times, not once: {text}")
    try:
        file.write_text(original.replace(text, replacement), encoding="utf-8")
        return tests_pass(folder, cases)
    finally:
        file.write_text(original, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("families", nargs="*", default=list(MUTATIONS), metavar="FAMILY")
    arguments = parser.parse_args()
    sources = prepare(arguments.folder.resolve())
    survivors = 0
    for family in arguments.families:
        cases, mutations = MUTATIONS[family]
        if not tests_pass(arguments.folder.resolve(), cases):
            raise SystemExit(f"{family}: the tests fail without any error planted")
        for mutation in mutations:
            alive = survives(arguments.folder.resolve(), sources, cases, mutation)
            survivors += alive
            print(f"{family}: {mutation[0]}: {'SURVIVED' if alive else 'caught'}", flush=True)
    print(f"{survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
