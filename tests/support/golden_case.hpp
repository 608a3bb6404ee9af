// Golden cases of tests/golden: a model folder, the values that transformers computed, and the runs they
// belong to.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "memcap/base/files.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/plan/trial.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::test {

namespace fs = std::filesystem;
using nlohmann::json;

/// The checkout, or on another machine the folder that the environment names.
inline fs::path source_folder() {
    const char* elsewhere = std::getenv("MEMCAP_TEST_SOURCE_DIR");
    return elsewhere != nullptr ? elsewhere : MEMCAP_TEST_SOURCE_DIR;
}

/// max|a - b| / max|b|
inline double relative_error(const at::Tensor& a, const at::Tensor& b) {
    return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>() /
           b.to(at::kDouble).abs().max().item<double>();
}

class GoldenCase {
  public:
    explicit GoldenCase(const std::string& name)
        : folder_(source_folder() / "tests" / "golden" / name),
          facts_(json::parse(read_text_file(folder_ / "case.json"))),
          expected_(open_expected()) {}

    const json& facts() const { return facts_; }
    /// The case's own model, or the shipped model of its name.
    fs::path model_folder() const {
        return is_shipped() ? source_folder() / "experiments" / "models" / folder_.filename()
                            : folder_ / "model";
    }
    bool is_shipped() const { return !fs::exists(folder_ / "model"); }
    bool has(const std::string& name) const { return expected_.contains(name); }
    /// An expected tensor, float32 or int32.
    at::Tensor expected(const std::string& name) const {
        const auto& view = expected_.tensors().at(name);
        const bool floating = view.dtype == hub::Dtype::float32;
        at::Tensor tensor = at::empty(view.shape, floating ? at::kFloat : at::kInt);
        std::memcpy(tensor.data_ptr(), view.data.data(), view.data.size());
        return tensor;
    }
    std::vector<std::int32_t> tokens(const std::string& name) const {
        if (!has(name)) return {};
        const at::Tensor values = expected(name);
        return {values.const_data_ptr<std::int32_t>(),
                values.const_data_ptr<std::int32_t>() + values.numel()};
    }
    std::vector<float> floats(const std::string& name) const {
        const at::Tensor values = expected(name);
        return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
    }
    /// The trial of a run, with stops that never come before evaluation 50.
    plan::Trial trial(const json& run) const {
        const auto name = run["name"].get<std::string>();
        const json& keys = run["protocol"];
        plan::Trial trial;
        trial.id = {1, 1};
        trial.text = tokens(name + "/tokens");
        trial.prefix = tokens(name + "/prefix");
        trial.memory_vectors = run["memory_vectors"];
        trial.protocol.learning_rate = keys["learning_rate"];
        trial.protocol.beta1 = keys["betas"][0];
        trial.protocol.beta2 = keys["betas"][1];
        trial.protocol.weight_decay = keys["weight_decay"];
        trial.protocol.epsilon = keys["epsilon"];
        trial.protocol.max_steps = keys["max_steps"];
        trial.protocol.warmup_steps = keys["warmup_steps"];
        trial.protocol.schedule = parse_schedule(keys["schedule"].get<std::string>()).value();
        trial.protocol.target = parse_target(keys["target"].get<std::string>()).value();
        if (keys.contains("rate_unit") && keys["rate_unit"] == "embedding_std")
            trial.protocol.rate_unit = RateUnit::embedding_std;
        trial.protocol.loss_temperature = keys.value("loss_temperature", 1.0);
        trial.protocol.patience = 1'000'000;
        trial.protocol.stop_accuracy = 2.0;
        return trial;
    }

  private:
    hub::WeightFiles open_expected() const {
        // The reader of weights reads this file too, under the name it expects.
        fs::create_symlink(folder_ / "expected.safetensors", alias_.path() / "model.safetensors");
        return hub::WeightFiles::open(alias_.path());
    }

    fs::path folder_;
    json facts_;
    TemporaryFolder alias_;
    hub::WeightFiles expected_;
};

/// A copy of a model folder whose config.json (and index) is changed by JSON merge patches.
class PatchedModel {
  public:
    PatchedModel(const fs::path& folder, const json& patch, const json& index_patch = json::object()) {
        fs::copy(folder, copy_.path(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
        apply("config.json", patch);
        if (!index_patch.empty()) apply("model.safetensors.index.json", index_patch);
    }
    const fs::path& path() const { return copy_.path(); }

  private:
    void apply(const char* name, const json& patch) {
        json content = json::parse(read_text_file(copy_.path() / name));
        content.merge_patch(patch);
        std::ofstream(copy_.path() / name) << content.dump(1);
    }

    TemporaryFolder copy_;
};

inline std::vector<std::string> golden_case_names() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(source_folder() / "tests" / "golden")) {
        if (fs::exists(entry.path() / "case.json")) names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

/// The cases whose model lies beside its values.
inline std::vector<std::string> random_checkpoint_names() {
    std::vector<std::string> names = golden_case_names();
    std::erase_if(names, [](const auto& name) {
        return !fs::exists(source_folder() / "tests" / "golden" / name / "model");
    });
    return names;
}

/// Names of parameterised tests: letters and digits only.
inline std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
    std::string name = info.param;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

}  // namespace memcap::test
