// The system's name of this machine.
#include "memcap/base/host.hpp"

#include <unistd.h>

#include <array>

namespace memcap {

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

}  // namespace memcap
