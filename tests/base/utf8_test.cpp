// Bytes that are no UTF-8, in messages.
#include "memcap/base/utf8.hpp"

#include <gtest/gtest.h>

namespace memcap {
namespace {

TEST(Utf8, ShowsEachByteThatIsNone) {
    EXPECT_EQ(printable("caf\xE9/\xFF"), "caf\\xe9/\\xff");
    EXPECT_EQ(printable("caf\xC3\xA9"), "caf\xC3\xA9");
    EXPECT_EQ(printable(""), "");
}

}  // namespace
}  // namespace memcap
