// Whether the model that is loaded is the one that was hashed.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "memcap/base/file_facts.hpp"
#include "memcap/base/shared_arena.hpp"
#include "memcap/hub/model_config.hpp"
#include "memcap/hub/safetensors.hpp"

namespace memcap::hub {

class HashCache;

/// What a model folder held when it was hashed.
struct ModelIdentity {
    std::string config_sha256;
    std::string weights_sha256;    ///< as weights_sha256() makes it
    std::vector<KnownFile> files;  ///< the weight files in name order; empty where only the hashes are known
};

ModelIdentity identify(const std::filesystem::path& folder, HashCache& hashes);

/// SHA-256 of bytes that processes of a node have loaded, computed by the first that asks, while this object
/// of at least one of them lives.
class NodeHashes {
  public:
    /// `identity` is equal for all processes of the node that see the same bytes, and for no others.
    std::string sha256(const std::string& identity, std::span<const std::byte> bytes);

  private:
    std::map<std::string, std::shared_ptr<SharedArena>> arenas_;
};

/// Reads folder/config.json as ModelConfig::load does; throws DataError if its bytes are not those that
/// were hashed.
ModelConfig load_config(const std::filesystem::path& folder, const ModelIdentity& identity);

/// Throws DataError, which names the file and this host, unless the weights that are open are those that were
/// hashed. A file that lies where it was hashed and has its facts is not read; of any other the bytes that
/// are mapped, or lie in memory, are hashed.
void require_identity(const WeightFiles& weights, const ModelIdentity& identity, NodeHashes& hashes);

/// The same some time after the weights were opened, for bytes that are still in use: throws DataError if a
/// file was written to. One that was only replaced, or got other rights, is hashed once more.
void require_unchanged(WeightFiles& weights, const ModelIdentity& identity, NodeHashes& hashes);

/// Throws the DataError for bytes of other weights, or of another config.json, than those that were hashed.
[[noreturn]] void refuse_other_bytes(const std::filesystem::path& file, const std::string& sha256,
                                     const std::string& expected_sha256);

}  // namespace memcap::hub
