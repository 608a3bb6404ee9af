// XXH3 and SHA-256 through their libraries.
#include "memcap/base/hash.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <memory>

#include "memcap/base/contracts.hpp"
#include "memcap/base/input_file.hpp"

namespace memcap {

namespace {

XXH3_state_t* sum(void* state) {
    return static_cast<XXH3_state_t*>(state);
}

EVP_MD_CTX* digest(void* context) {
    return static_cast<EVP_MD_CTX*>(context);
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
    MEMCAP_ENSURE(context_ && EVP_DigestInit_ex(digest(context_.get()), EVP_sha256(), nullptr) == 1);
}

void Sha256::Free::operator()(void* context) const {
    EVP_MD_CTX_free(digest(context));
}

void Sha256::add(std::span<const std::byte> bytes) {
    MEMCAP_ENSURE(EVP_DigestUpdate(digest(context_.get()), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish_hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
    unsigned int size = 0;
    MEMCAP_ENSURE(EVP_DigestFinal_ex(digest(context_.get()), sum.data(), &size) == 1);
    std::string hex;
    for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", sum[i]);
    return hex;
}

Hash64::Hash64() : state_(XXH3_createState()) {
    MEMCAP_ENSURE(state_ && XXH3_64bits_reset(sum(state_.get())) == XXH_OK);
}

void Hash64::Free::operator()(void* state) const {
    XXH3_freeState(sum(state));
}

void Hash64::add(std::span<const std::byte> bytes) {
    MEMCAP_ENSURE(XXH3_64bits_update(sum(state_.get()), bytes.data(), bytes.size()) == XXH_OK);
}

std::uint64_t Hash64::finish() const {
    return XXH3_64bits_digest(sum(state_.get()));
}

Id128 hash128(std::span<const std::byte> bytes) {
    const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
    return {hash.high64, hash.low64};
}

std::uint64_t hash64(std::span<const std::byte> bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

std::string sha256_hex(std::span<const std::byte> bytes) {
    Sha256 sha;
    sha.add(bytes);
    return sha.finish_hex();
}

std::string sha256_file_hex(const std::filesystem::path& path) {
    return sha256_file_hex(InputFile(path));
}

std::string sha256_file_hex(const InputFile& file) {
    constexpr std::size_t kBlockBytes = std::size_t{1} << 20U;
    Bytes block(std::min(kBlockBytes, file.size_bytes()));
    Sha256 sha;
    for (std::size_t at = 0; at < file.size_bytes(); at += block.size()) {
        const auto part = std::span(block).first(std::min(block.size(), file.size_bytes() - at));
        file.read(at, part);
        sha.add(part);
    }
    return sha.finish_hex();
}

}  // namespace memcap
