// How an error's parts become its message, and that the kinds of errors can be told apart.
#include <gtest/gtest.h>

#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"

namespace memcap {
namespace {

std::string composed(std::string what, std::string where, std::string why, std::string advice) {
    return to_string(ErrorText{.what = std::move(what),
                               .where = std::move(where),
                               .why = std::move(why),
                               .advice = std::move(advice)});
}

TEST(ErrorText, JoinsItsPartsAndLeavesOutEmptyOnes) {
    EXPECT_EQ(composed("it broke", "a.yaml:3", "too thin", "Use glue"),
              "a.yaml:3: it broke (too thin). Use glue");
    EXPECT_EQ(composed("it broke", "", "", ""), "it broke");
    EXPECT_EQ(composed("it broke", "a.yaml:3", "", ""), "a.yaml:3: it broke");
    EXPECT_EQ(composed("it broke", "", "too thin", ""), "it broke (too thin)");
    EXPECT_EQ(composed("it broke", "", "", "Use glue"), "it broke. Use glue");
}

TEST(Error, KeepsItsPartsBesideTheMessage) {
    const UsageError error({.what = "no such option", .where = "--fast", .why = {}, .advice = "See --help"});
    EXPECT_STREQ(error.what(), "--fast: no such option. See --help");
    EXPECT_EQ(error.text().where, "--fast");
    EXPECT_EQ(error.text().advice, "See --help");
}

TEST(Error, OfAFileIsLocatedAtItsPathUnlessItSaysMore) {
    const DataError data("model/config.json", {.what = "bad", .where = {}, .why = {}, .advice = {}});
    EXPECT_STREQ(data.what(), "model/config.json: bad");
    EXPECT_EQ(data.path(), "model/config.json");
    const StoreError store("runs/a",
                           {.what = "bad", .where = "runs/a/journal, byte 7", .why = {}, .advice = {}});
    EXPECT_STREQ(store.what(), "runs/a/journal, byte 7: bad");
    EXPECT_EQ(store.path(), "runs/a");
}

TEST(Error, KindsAreToldApartAndShareABase) {
    const auto thrower = [] { throw TransportError({.what = "lost", .where = {}, .why = {}, .advice = {}}); };
    EXPECT_THROW(thrower(), TransportError);
    EXPECT_THROW(thrower(), Error);
    bool usage = false;
    try {
        thrower();
    } catch (const UsageError&) {
        usage = true;
    } catch (const Error&) {
    }
    EXPECT_FALSE(usage);
}

TEST(Contract, FailsOnlyWhereItsConditionIsFalseAndNamesIt) {
    EXPECT_NO_THROW(MEMCAP_EXPECT(1 + 1 == 2));
    try {
        MEMCAP_ENSURE(1 + 1 == 3);
        FAIL() << "kept";
    } catch (const ContractViolation& violation) {
        const std::string message = violation.what();
        EXPECT_NE(message.find("promised 1 + 1 == 3 at "), std::string::npos) << message;
        EXPECT_NE(message.find("errors_test.cpp:"), std::string::npos) << message;
    }
}

}  // namespace
}  // namespace memcap
