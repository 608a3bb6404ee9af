// The system's name of this machine.
#include "memcap/base/host.hpp"

#include <unistd.h>

#include <array>
#include <cstdlib>

namespace memcap {

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

std::string node_name() {
    const char* given = std::getenv("MEMCAP_NODE");
    return given == nullptr || *given == '\0' ? host_name() : given;
}

}  // namespace memcap
