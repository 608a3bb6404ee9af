// The choice of a CPU's kernels.
#include "nn/kernels/cpu_kernels.hpp"

#include <cstdlib>
#include <string_view>

namespace memcap::nn::kernels {

namespace plain {
const CpuKernels& table();
}
#if defined(__x86_64__)
namespace v3 {
const CpuKernels& table();
}
namespace v4 {
const CpuKernels& table();
}
#endif

namespace {

const CpuKernels& choose() {
#if defined(__x86_64__)
    const char* asked = std::getenv("MEMCAP_ISA");
    const std::string_view limit = asked == nullptr ? "v4" : asked;
    if (limit == "v4" && __builtin_cpu_supports("x86-64-v4")) return v4::table();
    if (limit != "plain" && __builtin_cpu_supports("x86-64-v3")) return v3::table();
#endif
    return plain::table();
}

}  // namespace

const CpuKernels& cpu_kernels() {
    static const CpuKernels& chosen = choose();
    return chosen;
}

}  // namespace memcap::nn::kernels
