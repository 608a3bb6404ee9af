// What is odd about a model's folder and stops no run.
#pragma once

#include <filesystem>
#include <string>

namespace memcap::app {

/// Warns of tensors of the weight files that no layer reads, and gives the words for the record; empty where
/// there are none. Throws DataError for tensors that are missing or misshapen.
std::string tell_unread_weights(const std::string& model, const std::filesystem::path& folder);

}  // namespace memcap::app
