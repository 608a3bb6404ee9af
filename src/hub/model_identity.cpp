// Hashes of what was opened against hashes of what was meant.
#include "memcap/hub/model_identity.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "hub/detail/json_text.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/host.hpp"
#include "memcap/hub/hash_cache.hpp"

namespace memcap::hub {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kSha256Digits = 64;

}  // namespace

ModelIdentity identify(const fs::path& folder, HashCache& hashes) {
    ModelIdentity identity{.config_sha256 = hashes.sha256(folder / "config.json"),
                           .weights_sha256 = weights_sha256(folder, hashes),
                           .files = {}};
    for (const auto& file : weight_files(folder)) identity.files.push_back(hashes.known(file));
    return identity;
}

std::string NodeHashes::sha256(const std::string& identity, std::span<const std::byte> bytes) {
    auto& arena = arenas_[identity];
    if (!arena) {
        auto opened = SharedArena::open("SHA-256 of " + identity, kSha256Digits);
        if (opened->is_maker()) {
            const std::string hash = sha256_hex(bytes);
            std::ranges::copy(as_bytes(hash), opened->add("hash", kSha256Digits).begin());
            opened->publish();
        }
        arena = std::move(opened);
    }
    const auto hash = arena->find("hash");
    return {reinterpret_cast<const char*>(hash->data()), hash->size()};
}

ModelConfig load_config(const fs::path& folder, const ModelIdentity& identity) {
    const fs::path file = folder / "config.json";
    // The hash and the values are of one reading.
    const std::string text = ModelConfig::read(folder);
    const std::string hash = sha256_hex(as_bytes(text));
    if (hash != identity.config_sha256) refuse_other_bytes(file, hash, identity.config_sha256);
    return ModelConfig::parse(file, text);
}

void require_identity(const WeightFiles& weights, const ModelIdentity& identity, NodeHashes& hashes) {
    std::vector<NamedHash> found;
    for (const auto& file : weights.contents()) {
        const std::string name = file.path.filename().string();
        const auto known = std::ranges::find(identity.files, name, &KnownFile::name);
        const bool is_known = known != identity.files.end();
        const bool same_file = is_known && file.facts && known->vouches_for(*file.facts);
        found.push_back({name, same_file ? known->sha256 : hashes.sha256(file.identity, file.bytes)});
        if (is_known && found.back().sha256 != known->sha256)
            refuse_other_bytes(file.path, found.back().sha256, known->sha256);
    }
    if (const std::string hash = weights_sha256(found); hash != identity.weights_sha256)
        refuse_other_bytes(weights.folder(), hash, identity.weights_sha256);
}

void require_unchanged(WeightFiles& weights, const ModelIdentity& identity, NodeHashes& hashes) {
    auto change = weights.change();
    if (change == WeightFiles::Change::none) return;
    if (change == WeightFiles::Change::facts_only) {
        weights.renew_facts();
        require_identity(weights, identity, hashes);
        change = weights.change();
    }
    if (change == WeightFiles::Change::none) return;
    throw DataError(weights.folder(),
                    {.what = fmt::format("a weight file was changed on {} while it was in use", host_name()),
                     .where = {},
                     .why = "what was computed with it may be of two versions",
                     .advice = "Leave the model as it is while memcap runs, and run again"});
}

void refuse_other_bytes(const fs::path& file, const std::string& sha256, const std::string& expected_sha256) {
    throw DataError(
        file,
        {.what = fmt::format("on {} this has other bytes than those that were hashed", host_name()),
         .where = {},
         .why = fmt::format("SHA-256 {} here, {} in the plan or on record: it was replaced, or this host has "
                            "another copy",
                            sha256, expected_sha256),
         .advice = "Put the same model in place on every host and run again; trials of other weights are "
                   "new ones"});
}

}  // namespace memcap::hub
