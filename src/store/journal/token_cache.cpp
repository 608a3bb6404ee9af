// Files of token ids: magic, layout, samples, and a checksum over all of it.
#include "memcap/store/journal/token_cache.hpp"

#include <fmt/format.h>

#include "memcap/base/bytes.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/log.hpp"

namespace memcap::store {

namespace {

constexpr std::uint64_t kMagic = 0x324B4F5450434D4DuLL;
/// Of files that know nothing but tokens.
constexpr std::uint64_t kFirstMagic = 0x314B4F5450434D4DuLL;
constexpr std::size_t kChecksumBytes = sizeof(std::uint64_t);

std::vector<TokenSample> decode(std::span<const std::byte> bytes) {
    if (bytes.size() < kChecksumBytes) ByteReader(bytes).number<std::uint64_t>();
    const auto content = bytes.first(bytes.size() - kChecksumBytes);
    ByteReader tail(bytes.last(kChecksumBytes));
    ByteReader reader(content);
    const auto magic = reader.number<std::uint64_t>();
    if (tail.number<std::uint64_t>() != hash64(content) || (magic != kMagic && magic != kFirstMagic)) {
        throw TransportError({.what = "the checksum is wrong", .where = {}, .why = {}, .advice = {}});
    }
    std::vector<TokenSample> samples(reader.number<std::uint64_t>());
    for (TokenSample& sample : samples) {
        sample.text = reader.array<std::int32_t>();
        sample.prefix = reader.array<std::int32_t>();
        if (magic == kFirstMagic) continue;
        sample.opening = reader.number<std::int32_t>();
        sample.lead = reader.array<std::int32_t>();
        sample.source = reader.text();
        sample.problem = reader.text();
    }
    reader.expect_end();
    return samples;
}

}  // namespace

std::filesystem::path TokenCache::file(const Id128& key) const {
    return folder_ / (key.hex() + ".bin");
}

std::optional<std::vector<TokenSample>> TokenCache::load(const Id128& key) const {
    std::error_code error;
    if (!std::filesystem::exists(file(key), error)) return std::nullopt;
    try {
        const std::string content = read_text_file(file(key));
        return decode(as_bytes(content));
    } catch (const Error& problem) {
        log::warning(
            fmt::format("{}: damaged token file is ignored ({})", file(key).string(), problem.what()));
        return std::nullopt;
    }
}

void TokenCache::save(const Id128& key, const std::vector<TokenSample>& samples) const {
    ByteWriter writer;
    writer.number(kMagic);
    writer.number(static_cast<std::uint64_t>(samples.size()));
    for (const TokenSample& sample : samples) {
        writer.array(sample.text);
        writer.array(sample.prefix);
        writer.number(sample.opening);
        writer.array(sample.lead);
        writer.text(sample.source);
        writer.text(sample.problem);
    }
    writer.number(hash64(writer.bytes()));
    const Bytes& bytes = writer.bytes();
    write_file_atomically(file(key), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace memcap::store
