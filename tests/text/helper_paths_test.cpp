// Where Python and the helper's script are found, and what is said when they are not.
#include "memcap/text/helper_paths.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memcap/base/errors.hpp"
#include "support.hpp"

namespace memcap::text {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::message_of;
using testing::ScratchFolder;

fs::path write_program(const ScratchFolder& scratch, const std::string& name) {
    const auto path = scratch.write(name, "#!/bin/sh\n");
    fs::permissions(path, fs::perms::owner_all);
    return fs::canonical(path);
}

TEST(FindPython, TakesTheConfiguredPathOrName) {
    const ScratchFolder scratch;
    const auto python = write_program(scratch, "my/python");
    EXPECT_EQ(find_python(python, "/nowhere/memcap"), python);
    EXPECT_EQ(find_python("sh", "/nowhere/memcap").filename(), "sh");
}

TEST(FindPython, RefusesAConfiguredPathThatCannotBeStarted) {
    const ScratchFolder scratch;
    const auto text = scratch.write("python", "no program");
    fs::permissions(text, fs::perms::owner_read);
    EXPECT_EQ(message_of<ToolError>([&] { find_python(text, "/nowhere/memcap"); }),
              text.string() +
                  ": run.python names no program that can be started (it is not executable). Correct the "
                  "path, or leave `auto` and run ./quickstart, which makes the environment");
    EXPECT_THAT(message_of<ToolError>([&] { find_python("/nowhere/python3", {}); }),
                HasSubstr("there is no such file"));
    EXPECT_THAT(message_of<ToolError>([&] { find_python("no-such-python-anywhere", {}); }),
                HasSubstr("no-such-python-anywhere: run.python names no program"));
}

TEST(FindPython, LooksAboveTheExecutableAndThroughLinksToIt) {
    const ScratchFolder scratch;
    const auto python = write_program(scratch, "copy/.venv/python/bin/python3");
    const auto executable = write_program(scratch, "copy/build/release/memcap");
    fs::create_symlink(executable, scratch.path() / "memcap");
    EXPECT_EQ(find_python("auto", executable), python);
    EXPECT_EQ(find_python("", scratch.path() / "memcap"), python);
}

TEST(FindHelperScript, LooksAboveTheExecutableThenWhereMemcapWasBuilt) {
    const ScratchFolder scratch;
    const auto executable = write_program(scratch, "copy/bin/memcap");
    const fs::path built_from(MEMCAP_TEST_SOURCE_DIR);
    EXPECT_EQ(find_helper_script(executable), built_from / "src/text/tokenizer_helper.py");
    const auto installed = fs::canonical(scratch.write("copy/share/memcap/tokenizer_helper.py", ""));
    EXPECT_EQ(find_helper_script(executable), installed);
}

}  // namespace
}  // namespace memcap::text
