// What stands in weight files: the header of a safetensors file, the index of a sharded model. Bytes only, no
// files.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/hub/safetensors.hpp"

namespace memcap::hub::detail {

/// Adds the tensors of one safetensors file, whose whole content is `bytes`; the views point into it. Throws
/// DataError if a header entry is unusable, lies outside of the file or on another one, or has a name that
/// `tensors` holds, if bytes belong to no tensor, or if the file is a pointer of Git LFS or a web page.
void add_tensors(const std::filesystem::path& file, std::span<const std::byte> bytes,
                 std::map<std::string, TensorView>& tensors);

/// The files that an index names, each once, in name order: plain names, no paths. Throws DataError.
std::vector<std::string> shards_of_index(const std::filesystem::path& file, std::string_view text);

}  // namespace memcap::hub::detail
