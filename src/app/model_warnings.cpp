// One line of the log each.
#include "app/model_warnings.hpp"

#include <fmt/format.h>

#include <memory>

#include "memcap/base/log.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/hub/safetensors.hpp"
#include "memcap/models/registry.hpp"

namespace memcap::app {

std::string tell_unread_weights(const std::string& model, const std::filesystem::path& folder) {
    const auto files = std::make_shared<const hub::WeightFiles>(hub::WeightFiles::open(folder));
    std::string unread = models::unread_text(models::unread_weights(hub::ModelConfig::load(folder), files));
    if (!unread.empty()) {
        log::warning(
            fmt::format("model '{}': the weight files have tensors that no layer reads, nor those of "
                        "transformers: {}",
                        model, unread));
    }
    return unread;
}

}  // namespace memcap::app
