// Where the tokenizer helper and the Python that runs it are found.
#pragma once

#include <filesystem>

namespace memcap::text {

/// What is started as the tokenizer helper: `python script`.
struct HelperCommand {
    std::filesystem::path python;
    std::filesystem::path script;
};

/// The Python interpreter for the helper: the configured one (a path, or a name on PATH) unless that is empty
/// or `auto`; else `.venv/python/bin/python3` in a folder above the executable; else the one of the folder
/// memcap was built from. Throws ToolError if there is none.
std::filesystem::path find_python(const std::filesystem::path& configured,
                                  const std::filesystem::path& executable);

/// tokenizer_helper.py: in `src/text` or `share/memcap` of a folder above the executable, else of the folder
/// memcap was built from. Throws ToolError if there is none.
std::filesystem::path find_helper_script(const std::filesystem::path& executable);

}  // namespace memcap::text
