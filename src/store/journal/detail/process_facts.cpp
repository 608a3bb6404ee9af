// Facts from /proc.
#include "store/journal/detail/process_facts.hpp"

#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <string>

namespace memcap::store::detail {

std::optional<ProcessFacts> process_facts(std::int64_t pid) {
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string line;
    if (!std::getline(file, line)) return std::nullopt;
    // The second field is the program's name in brackets, which may hold anything, brackets too.
    const auto name_end = line.rfind(')');
    if (name_end == std::string::npos) return std::nullopt;
    std::istringstream fields(line.substr(name_end + 1));
    std::string state;
    fields >> state;
    constexpr int kFieldsBetween = 18;  // the 4th to the 21st
    std::string field;
    for (int i = 0; i < kFieldsBetween; ++i) fields >> field;
    ProcessFacts facts{.has_ended = state == "Z" || state == "X"};
    return fields >> facts.start ? std::optional(facts) : std::nullopt;
}

}  // namespace memcap::store::detail
