// The first bytes of each.
#include "memcap/hub/tokenizer_files.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <string>

#include "hub/detail/stand_ins.hpp"
#include "memcap/base/git_lfs.hpp"

namespace memcap::hub {

void check_tokenizer_files(const std::filesystem::path& folder) {
    constexpr std::array kFiles{"tokenizer.json",   "tokenizer.model", "tokenizer_config.json",
                                "vocab.json",       "merges.txt",      "special_tokens_map.json",
                                "added_tokens.json"};
    for (const char* name : kFiles) {
        const auto file = folder / name;
        detail::refuse_dangling_link(file);
        std::string beginning(kLongestGitLfsPointerBytes, '\0');
        std::ifstream stream(file, std::ios::binary);
        stream.read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
        beginning.resize(static_cast<std::size_t>(std::max<std::streamsize>(stream.gcount(), 0)));
        detail::refuse_stand_in(file, beginning);
    }
}

}  // namespace memcap::hub
