// XXH3 and SHA-256 through their libraries.
#include "memcap/base/hash.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <xxhash.h>

#include <array>
#include <fstream>
#include <memory>
#include <vector>

#include "memcap/base/contracts.hpp"

namespace memcap {

namespace {

class Sha256 {
  public:
    Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
        MEMCAP_ENSURE(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
    }
    void add(const void* data, std::size_t size_bytes) {
        MEMCAP_ENSURE(EVP_DigestUpdate(context_.get(), data, size_bytes) == 1);
    }
    std::string finish_hex() {
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
        unsigned int size = 0;
        MEMCAP_ENSURE(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
        std::string hex;
        for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
        return hex;
    }

  private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

Id128 hash128(std::span<const std::byte> bytes) {
    const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
    return {hash.high64, hash.low64};
}

std::uint64_t hash64(std::span<const std::byte> bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

std::string sha256_hex(std::span<const std::byte> bytes) {
    Sha256 sha;
    sha.add(bytes.data(), bytes.size());
    return sha.finish_hex();
}

std::string sha256_file_hex(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    Sha256 sha;
    std::vector<char> block(1 << 20);
    while (file) {
        file.read(block.data(), static_cast<std::streamsize>(block.size()));
        sha.add(block.data(), static_cast<std::size_t>(file.gcount()));
    }
    if (!file.eof()) {
        throw DataError(path, {.what = "cannot read the file",
                               .where = {},
                               .why = {},
                               .advice = "Check that it exists and that you may read it"});
    }
    return sha.finish_hex();
}

}  // namespace memcap
