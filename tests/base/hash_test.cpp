// Hashes against published vectors, and the text form of ids.
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <unordered_set>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/ids.hpp"
#include "support/temporary_folder.hpp"

namespace memcap {
namespace {

// FIPS 180-4 and NIST's example values for SHA-256.
TEST(Sha256, GivesThePublishedDigests) {
    EXPECT_EQ(sha256_hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(sha256_hex(as_bytes("abc")),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(sha256_hex(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    EXPECT_EQ(sha256_hex(as_bytes(std::string(1'000'000, 'a'))),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, OfAFileIsThatOfItsBytesAlsoAcrossBlocks) {
    const test::TemporaryFolder folder;
    for (const std::size_t size : {0U, 1U, (1U << 20) - 1, 1U << 20, (1U << 20) + 1, 3U << 20}) {
        std::string content(size, '\0');
        for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 31 + (i >> 11));
        std::ofstream(folder.path() / "file", std::ios::binary) << content;
        EXPECT_EQ(sha256_file_hex(folder.path() / "file"), sha256_hex(as_bytes(content))) << size;
    }
}

TEST(Sha256, OfAFileThatCannotBeReadIsAnError) {
    const test::TemporaryFolder folder;
    EXPECT_THROW(sha256_file_hex(folder.path() / "none"), DataError);
    EXPECT_THROW(sha256_file_hex(folder.path()), DataError);
}

// The values of xxHash's own sanity checks and of `xxhsum -H2`, seed 0.
TEST(Xxh3, GivesThePublishedHashes) {
    EXPECT_EQ(hash64({}), 0x2d06800538d394c2U);
    EXPECT_EQ(hash64(as_bytes("abc")), 0x78af5f94892f3950U);
    EXPECT_EQ(hash128({}).hex(), "99aa06d3014798d86001c324468d497f");
    EXPECT_EQ(hash128(as_bytes("a")).hex(), "a96faf705af16834e6c632b61e964e1f");
    EXPECT_EQ(hash128(as_bytes("abc")).hex(), "06b05ab6733a618578af5f94892f3950");
    EXPECT_EQ(hash128(as_bytes(std::string(1000, 'a'))).hex(), "b01da365eddaa29cb3e7af627147db7c");
}

TEST(Id128, HexGoesThereAndBack) {
    for (const Id128 id : {Id128{}, Id128{0, 1}, Id128{1, 0}, Id128{0x0123456789abcdef, 0xfedcba9876543210},
                           Id128{UINT64_MAX, UINT64_MAX}}) {
        EXPECT_EQ(id.hex().size(), 32U);
        EXPECT_EQ(Id128::from_hex(id.hex()), id);
    }
    EXPECT_EQ((Id128{0x0123456789abcdef, 0xfe}.hex()), "0123456789abcdef00000000000000fe");
}

TEST(Id128, RefusesWhatIsNotThirtyTwoHexadecimalDigits) {
    const std::string good = "0123456789abcdef0123456789abcdef";
    ASSERT_NO_THROW(Id128::from_hex(good));
    for (const std::string& bad :
         {std::string(), good.substr(1), good + "0", "0x" + good.substr(2), "g" + good.substr(1),
          good.substr(0, 31) + " ", " " + good.substr(1), "-" + good.substr(1), "+" + good.substr(1),
          good.substr(0, 16) + "-" + good.substr(17), good.substr(0, 15) + "_" + good.substr(16)}) {
        EXPECT_THROW(Id128::from_hex(bad), UsageError) << bad;
    }
}

TEST(Id128, TheErrorSaysWhatWasGivenAndWhereToFindOne) {
    try {
        Id128::from_hex("7");
        FAIL() << "accepted";
    } catch (const UsageError& error) {
        EXPECT_STREQ(error.what(),
                     "'7' is not a trial id (an id has 32 hexadecimal digits). "
                     "Copy one from the column trial_id of results.h5");
    }
}

TEST(Id128, OrdersByItsHexText) {
    EXPECT_LT((Id128{1, 9}), (Id128{2, 0}));
    EXPECT_LT((Id128{2, 0}), (Id128{2, 1}));
    const std::unordered_set<Id128> set{{1, 2}, {2, 1}, {1, 2}};
    EXPECT_EQ(set.size(), 2U);
}

}  // namespace
}  // namespace memcap
