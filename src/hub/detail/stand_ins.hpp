// What stands in a model folder where a file should be: recognised, and said with what to do.
#pragma once

#include <filesystem>
#include <string_view>

namespace memcap::hub::detail {

/// Throws DataError if a file that begins so is a pointer of Git LFS or a page of a web server.
void refuse_stand_in(const std::filesystem::path& file, std::string_view first_bytes);

/// Throws DataError if this is a link that leads nowhere, as in a hub cache whose blobs were removed.
void refuse_dangling_link(const std::filesystem::path& file);

/// Throws DataError if the folder holds an adapter of peft, alone or beside a model: where peft is installed,
/// transformers adds it to the weights.
void refuse_adapter(const std::filesystem::path& folder);

}  // namespace memcap::hub::detail
