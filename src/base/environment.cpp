// A second start of the program in a settled environment.
#include "memcap/base/environment.hpp"

#include <alloca.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <span>

namespace memcap {

namespace {

// Waiting threads spin for some hundred microseconds and then sleep. Left to itself, OpenMP spins for
// milliseconds as soon as the process has no more threads than CPUs, which takes the cores from whatever else
// computes there. Python decodes names of files as UTF-8 in every locale, as memcap does.
constexpr std::array<std::string_view, 2> kOwnSettings{"GOMP_SPINCOUNT=30000", "PYTHONUTF8=1"};

// Beginnings of names. OpenMP; MKL; oneDNN; libtorch and cuBLAS where they choose how to multiply.
constexpr std::array<std::string_view, 15> kForeignBeginnings{"OMP_",
                                                              "GOMP_",
                                                              "KMP_",
                                                              "MKL_",
                                                              "ONEDNN_",
                                                              "DNNL_",
                                                              "ATEN_CPU_CAPABILITY",
                                                              "TORCH_ALLOW_TF32",
                                                              "TORCH_BLAS_",
                                                              "TORCH_CUDNN_",
                                                              "TORCH_LINALG_",
                                                              "TORCH_LINEAR_",
                                                              "TORCH_MKLDNN_",
                                                              "CUBLAS_",
                                                              "NVIDIA_TF32_OVERRIDE"};

// How the second start learns of the names left out.
constexpr std::string_view kLeftOut = "MEMCAP_LEFT_OUT=";

std::string_view name_of(std::string_view variable) {
    return variable.substr(0, variable.find('='));
}

/// PYTHONPATH, PYTHONHOME and the like; not PYTHON or PYTHON_ROOT, and none that only says what Python leaves
/// on the disk or how it writes.
bool is_of_python(std::string_view name) {
    constexpr std::string_view kPython = "PYTHON";
    constexpr std::array<std::string_view, 3> kHarmless{"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX",
                                                        "PYTHONUNBUFFERED"};
    return name.starts_with(kPython) && name.size() > kPython.size() && name[kPython.size()] >= 'A' &&
           name[kPython.size()] <= 'Z' && std::ranges::find(kHarmless, name) == kHarmless.end();
}

bool is_own_setting(std::string_view variable) {
    return std::ranges::find(kOwnSettings, variable) != kOwnSettings.end();
}

/// What the environment holds. The buffers are the caller's, since nothing can be allocated yet.
struct Settled {
    std::span<char*> variables;  ///< those kept, then memcap's own, then a null pointer
    std::size_t kept = 0;
    bool is_changed = false;
};

/// `names` has room for kLeftOut and all names with a space each; `variables` for all variables and three
/// more.
Settled settle(std::span<char*> environment, std::span<char*> variables, char* names) {
    Settled settled{.variables = variables, .kept = 0, .is_changed = false};
    char* end = std::copy(kLeftOut.begin(), kLeftOut.end(), names);
    std::size_t settings = 0;
    for (char* variable : environment) {
        if (is_foreign(variable)) {
            const std::string_view name = name_of(variable);
            if (end != names + kLeftOut.size()) *end++ = ' ';
            end = std::copy(name.begin(), name.end(), end);
            settled.is_changed = true;
            continue;
        }
        settings += is_own_setting(variable) ? 1 : 0;
        variables[settled.kept++] = variable;
    }
    *end = '\0';
    std::size_t count = settled.kept;
    if (settled.is_changed) variables[count++] = names;
    if (settings < kOwnSettings.size()) {
        settled.is_changed = true;
        // Doubles of those that are there already have the same value. A literal ends with a zero byte.
        for (const std::string_view setting : kOwnSettings)
            variables[count++] = const_cast<char*>(setting.data());
    }
    variables[count] = nullptr;
    return settled;
}

void start_again(char** argv, char** environment) {
    // With the loader as the program (ld.so memcap ...) the link names the loader.
    if (getauxval(AT_BASE) == 0) return;
    constexpr const char* kSelf = "/proc/self/exe";
    // By its own name, which is what ps shows; the link alone still works where the file was replaced.
    std::array<char, PATH_MAX> path{};
    if (readlink(kSelf, path.data(), path.size() - 1) > 0) execve(path.data(), argv, environment);
    execve(kSelf, argv, environment);
}

}  // namespace

bool is_foreign(std::string_view variable) {
    if (is_own_setting(variable)) return false;
    const std::string_view name = name_of(variable);
    return is_of_python(name) || std::ranges::any_of(kForeignBeginnings, [name](std::string_view beginning) {
               return name.starts_with(beginning);
           });
}

void settle_environment(int /*argc*/, char** argv, char** environment) {
    std::size_t count = 0;
    std::size_t names_bytes = kLeftOut.size() + 1;
    for (; environment[count] != nullptr; ++count) names_bytes += name_of(environment[count]).size() + 1;
    // The left-out names and the own settings come on top, and the null pointer.
    const std::size_t room = count + 1 + kOwnSettings.size() + 1;
    auto* const variables = static_cast<char**>(alloca(room * sizeof(char*)));
    auto* const names = static_cast<char*>(alloca(names_bytes));
    const Settled settled = settle({environment, count}, {variables, room}, names);
    if (!settled.is_changed) return;
    start_again(argv, variables);
    std::copy_n(variables, settled.kept, environment);
    environment[settled.kept] = nullptr;
}

std::string left_out_variables() {
    const std::string name(name_of(kLeftOut));
    const char* names = std::getenv(name.c_str());
    return names == nullptr ? "" : names;
}

}  // namespace memcap
