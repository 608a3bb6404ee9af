// The files of a model folder that a tokenizer is read from.
#pragma once

#include <filesystem>

namespace memcap::hub {

/// Throws DataError if one of them is a pointer of Git LFS, a page of a web server or a link that leads
/// nowhere.
void check_tokenizer_files(const std::filesystem::path& folder);

}  // namespace memcap::hub
