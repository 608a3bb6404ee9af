// Token ids of a corpus, kept in the run folder so that a resume needs no tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "memcap/base/ids.hpp"

namespace memcap::store {

/// The token ids of one sample: all that any trial of the run may need of it.
struct TokenSample {
    std::vector<std::int32_t> text;    ///< a trial of length N has the first N, behind a prefix those after
                                       ///< `opening`
    std::vector<std::int32_t> prefix;  ///< a trial with prefix n has `lead` and as many of the last
    std::int32_t opening = 0;          ///< tokens of `text` that open it and leave it where a prefix stands
    std::vector<std::int32_t> lead = {};  ///< what opens a prefix
    std::string source = {};              ///< the file it came from
    std::string problem = {};             ///< why it has no tokens
    bool operator==(const TokenSample&) const = default;
};

/// The files tokens/<key>.bin of a run folder.
class TokenCache {
  public:
    explicit TokenCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

    /// The samples saved under `key`; nothing if there are none, or if the file is damaged (which is logged:
    /// the tokenizer can make it again).
    std::optional<std::vector<TokenSample>> load(const Id128& key) const;
    /// Saves them, atomically and durably. Throws StoreError.
    void save(const Id128& key, const std::vector<TokenSample>& samples) const;

    std::filesystem::path file(const Id128& key) const;

  private:
    std::filesystem::path folder_;
};

}  // namespace memcap::store
