// What this process has used so far, for tests that bound it.
#pragma once

#include <sys/resource.h>

#include <ctime>

namespace memcap::test {

/// Processor time, because other work on the machine must not fail a test.
inline double processor_s() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

inline double peak_memory_mib() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

/// Whether the build's own instruments take memory, as a sanitizer's shadow and its store of freed blocks do.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kMemoryIsInstrumented = true;
#else
inline constexpr bool kMemoryIsInstrumented = false;
#endif

}  // namespace memcap::test
