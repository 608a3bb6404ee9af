// Facts from the operating system.
#include "app/machine.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include "app/control_groups.hpp"
#include "memcap/base/environment.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "memcap/nn/cuda.hpp"

namespace memcap::app {

CpuSet usable_cpus() {
    // The kernel refuses a mask with less room than the host has CPUs.
    std::array<cpu_set_t, 16> mask{};
    CpuSet cpus;
    if (sched_getaffinity(0, sizeof(mask), mask.data()) == 0) {
        for (std::size_t cpu = 0; cpu < mask.size() * CPU_SETSIZE; ++cpu) {
            if (CPU_ISSET_S(cpu, sizeof(mask), mask.data())) cpus.push_back(static_cast<std::int32_t>(cpu));
        }
    }
    if (cpus.empty()) cpus.push_back(0);
    return cpus;
}

std::int32_t usable_cores() {
    const CpuSet own = usable_cpus();
    return fair_threads(own, {own}, cpu_quota());
}

std::int32_t set_threads(std::int32_t wanted) {
    at::set_num_threads(wanted);
    std::atomic<std::int32_t> running{0};
#pragma omp parallel
    ++running;
    if (running != wanted) {
        log::warning(fmt::format("{} of {} threads run: OpenMP gives no more here", running.load(), wanted));
        at::set_num_threads(running);
    }
    return running;
}

void tell_left_out_variables() {
    const std::string names = left_out_variables();
    if (names.empty()) return;
    log::info(
        fmt::format("left out of the environment, since memcap settles threads, arithmetic and Python's "
                    "modules itself: {}",
                    names));
}

std::string to_text(const CpuSet& cpus) {
    return fmt::format("{}", fmt::join(cpus, " "));
}

CpuSet cpus_of_text(std::string_view text) {
    std::istringstream numbers{std::string(text)};
    return {std::istream_iterator<std::int32_t>(numbers), {}};
}

std::int32_t fair_threads(const CpuSet& own, const std::vector<CpuSet>& of_host, double quota_cpus) {
    double share = 0.0;
    for (const std::int32_t cpu : own) {
        const auto sharers = std::ranges::count_if(
            of_host, [cpu](const CpuSet& cpus) { return std::ranges::binary_search(cpus, cpu); });
        share += 1.0 / static_cast<double>(std::max<std::ptrdiff_t>(1, sharers));
    }
    share = std::min(share, quota_cpus / static_cast<double>(std::max<std::size_t>(1, of_host.size())));
    // Three thirds of a CPU are one.
    constexpr double kRounding = 1e-6;
    return std::max(1, static_cast<std::int32_t>(share + kRounding));
}

namespace {

/// What follows the colon in the first line of a file that begins with `name`; empty if there is none.
std::string fact(const std::filesystem::path& file, std::string_view name) {
    std::ifstream facts(file);
    for (std::string line; std::getline(facts, line);) {
        const auto colon = line.find(':');
        if (!line.starts_with(name) || colon == std::string::npos) continue;
        const auto value = line.find_first_not_of(" \t", colon + 1);
        return value == std::string::npos ? "" : line.substr(value);
    }
    return "";
}

/// As the driver names the first GPU of this host; empty without a driver that tells.
std::string gpu_name() {
    std::error_code problem;
    for (const auto& gpu : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", problem))
        return fact(gpu.path() / "information", "Model");
    return "";
}

std::int32_t gpus_of_host() {
    return at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
}

}  // namespace

std::string cpu_device(std::int32_t threads) {
    const std::string name = fact("/proc/cpuinfo", "model name");
    return fmt::format("{}, {} thread{}", name.empty() ? "CPU" : name, threads, threads == 1 ? "" : "s");
}

DeviceKind device_kind(config::DeviceChoice choice) {
    switch (choice) {
        case config::DeviceChoice::cpu:
            return DeviceKind::cpu;
        case config::DeviceChoice::cuda:
            return DeviceKind::cuda;
        case config::DeviceChoice::automatic:
            break;
    }
    return DeviceKind::automatic;
}

namespace {

[[noreturn]] void refuse_cuda(std::string why) {
    throw DeviceError({.what = "the device is to be cuda, but there is no GPU to run on",
                       .where = {},
                       .why = std::move(why),
                       .advice = "Set the device to cpu, or use memcap-cuda (MEMCAP_CUDA=ON builds it) on a "
                                 "machine with a GPU"});
}

}  // namespace

void require_device(DeviceKind kind) {
    if (kind == DeviceKind::cuda && !nn::has_cuda()) refuse_cuda("this program was linked without CUDA");
}

at::Device device_of_rank(DeviceKind kind, std::int32_t local_rank) {
    require_device(kind);
    const std::int32_t gpus = gpus_of_host();
    if (kind == DeviceKind::cuda && gpus == 0) refuse_cuda("the driver is missing or shows no device");
    if (kind == DeviceKind::cpu || gpus == 0) return at::kCPU;
    return {at::kCUDA, static_cast<c10::DeviceIndex>(local_rank % gpus)};
}

std::string device_id(at::Device device) {
    return device.is_cpu() ? "" : nn::cuda_device_uuid(device);
}

std::string device_name(at::Device device, std::int32_t threads) {
    return device.is_cpu() ? cpu_device(threads) : nn::cuda_device_name(device);
}

std::string device_kind_name(at::Device device, std::int32_t threads) {
    if (device.is_cpu()) return cpu_device(threads);
    const std::string name = gpu_name();
    return name.empty() ? "GPU" : name;
}

std::int64_t device_memory_bytes(at::Device device) {
    if (device.is_cpu()) return host_memory_bytes();
    const c10::DeviceIndex index = device.has_index() ? device.index() : c10::DeviceIndex{0};
    return static_cast<std::int64_t>(c10::getDeviceAllocator(device.type())->getMemoryInfo(index).second);
}

std::int64_t host_memory_bytes() {
    return static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<std::int64_t>(sysconf(_SC_PAGESIZE));
}

std::string executable_path() {
    std::error_code problem;
    const auto path = std::filesystem::read_symlink("/proc/self/exe", problem);
    return problem ? "memcap" : path.string();
}

}  // namespace memcap::app
