// The places where Python and the helper's script are looked for.
#include "memcap/text/helper_paths.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/build_info.hpp"
#include "memcap/base/errors.hpp"

namespace memcap::text {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPythonBelow = ".venv/python/bin/python3";
constexpr const char* kPythonAdvice =
    "Run ./quickstart, which makes the environment, or set run.python to a Python that has transformers";

bool is_executable(const fs::path& path) {
    std::error_code ignored;
    return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

/// The folder of the executable, some folders above it, and the folder memcap was built from.
std::vector<fs::path> roots(const fs::path& executable) {
    constexpr int kLevels = 4;  // <root>/build/<preset>/memcap lies two below the root
    std::vector<fs::path> found;
    std::error_code failed;
    auto folder = fs::weakly_canonical(executable, failed).parent_path();
    for (int level = 0; level < kLevels && !failed && folder.has_relative_path(); ++level) {
        found.push_back(folder);
        folder = folder.parent_path();
    }
    found.emplace_back(kSourceFolder);
    return found;
}

fs::path find_on_path(const std::string& name) {
    const char* path = std::getenv("PATH");
    for (std::string_view rest = path == nullptr ? "" : path; !rest.empty();) {
        const auto end = rest.find(':');
        auto candidate = fs::path(rest.substr(0, end)) / name;
        if (is_executable(candidate)) return candidate;
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
    return {};
}

fs::path configured_python(const fs::path& configured) {
    auto python = configured.has_parent_path() ? configured : find_on_path(configured.string());
    if (is_executable(python)) return python;
    throw ToolError(
        {.what = "run.python names no program that can be started",
         .where = configured.string(),
         .why = fs::exists(python) ? "it is not executable" : "there is no such file",
         .advice = "Correct the path, or leave `auto` and run ./quickstart, which makes the environment"});
}

[[noreturn]] void fail_not_found(const char* what, const std::vector<fs::path>& tried, const char* advice) {
    std::string places;
    for (const auto& path : tried) places += fmt::format("{}{}", places.empty() ? "" : ", ", path.string());
    throw ToolError({.what = what, .where = {}, .why = "looked for " + places, .advice = advice});
}

}  // namespace

fs::path find_python(const fs::path& configured, const fs::path& executable) {
    if (!configured.empty() && configured != "auto") return configured_python(configured);
    std::vector<fs::path> tried;
    for (const auto& root : roots(executable)) {
        tried.push_back(root / kPythonBelow);
        if (is_executable(tried.back())) return tried.back();
    }
    fail_not_found("there is no Python environment for the tokenizer helper", tried, kPythonAdvice);
}

fs::path find_helper_script(const fs::path& executable) {
    std::vector<fs::path> tried;
    for (const auto& root : roots(executable)) {
        for (const char* folder : {"src/text", "share/memcap"}) {
            tried.push_back(root / folder / "tokenizer_helper.py");
            if (fs::is_regular_file(tried.back())) return tried.back();
        }
    }
    fail_not_found("there is no tokenizer_helper.py", tried,
                   "Keep memcap's source folder, or install memcap again");
}

}  // namespace memcap::text
