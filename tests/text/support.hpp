// What the text tests share: scratch folders, the environment's Python, the small tokenizer under
// tests/golden.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "memcap/text/helper_paths.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::text::testing {

inline const std::filesystem::path kSource = MEMCAP_TEST_SOURCE_DIR;
inline const std::filesystem::path kTokenizer = kSource / "tests/golden/tokenizer";
inline const std::filesystem::path kEssays = kSource / "experiments/texts/essays";
inline const std::filesystem::path kWords = kSource / "experiments/texts/words.txt";

/// A temporary folder that files can be written to.
class ScratchFolder : public memcap::test::TemporaryFolder {
  public:
    std::filesystem::path write(const std::string& name, std::string_view content) const {
        const auto file = path() / name;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file, std::ios::binary) << content;
        return file;
    }
};

/// The message of the error that `action` throws, checked to be of class `Expected`.
template <class Expected, class Action>
std::string message_of(Action&& action) {
    try {
        action();
    } catch (const Expected& error) {
        return error.what();
    } catch (const std::exception& error) {
        ADD_FAILURE() << "another class of error: " << error.what();
        return {};
    }
    ADD_FAILURE() << "no error";
    return {};
}

/// The real helper under the environment's Python.
inline HelperCommand real_helper() {
    return {kSource / ".venv/python/bin/python3", kSource / "src/text/tokenizer_helper.py"};
}

}  // namespace memcap::text::testing

/// Leaves a test out where the Python environment has not been made.
#define SKIP_WITHOUT_PYTHON()                                                             \
    if (!std::filesystem::exists(::memcap::text::testing::real_helper().python)) {        \
        GTEST_SKIP() << ::memcap::text::testing::real_helper().python << " is not there"; \
    }
