// The machine of this rank: cores, threads, device, host.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/config/experiment.hpp"

namespace memcap::app {

/// Numbers of CPUs of a host, ascending.
using CpuSet = std::vector<std::int32_t>;

/// CPUs that this process may use: what its launcher and a cpuset leave it.
CpuSet usable_cpus();

/// How many they are, or as many as the CPU quota of a container leaves: the threads of a process that shares
/// them with no other rank.
std::int32_t usable_cores();

/// Lets this thread's computations run on so many threads, and returns how many really run: those that a
/// parallel region of it gets. Says so in the log if they are fewer.
std::int32_t set_threads(std::int32_t wanted);

/// Says in the log which variables of the environment were left out, if any were.
void tell_left_out_variables();

/// As ranks tell each other.
std::string to_text(const CpuSet& cpus);
CpuSet cpus_of_text(std::string_view text);

/// Threads for a rank that may use the CPUs `own`, itself among the ranks `of_host`: the ranks that may use a
/// CPU share it evenly, and all of them a quota of so many CPUs. At least 1.
std::int32_t fair_threads(const CpuSet& own, const std::vector<CpuSet>& of_host,
                          double quota_cpus = std::numeric_limits<double>::infinity());

/// E.g. "AMD EPYC 9654, 2 threads".
std::string cpu_device(std::int32_t threads);

/// What an experiment may ask for; `automatic` takes a GPU where this build and machine have one.
enum class DeviceKind : std::uint8_t { automatic, cpu, cuda };

DeviceKind device_kind(config::DeviceChoice choice);

/// Throws DeviceError if `cuda` is asked for and this program cannot compute on any GPU. Calls no driver.
void require_device(DeviceKind kind);

/// The device of a rank: the GPUs of a host are dealt to its ranks in turn. Throws DeviceError if `cuda` is
/// asked for and there is none.
at::Device device_of_rank(DeviceKind kind, std::int32_t local_rank);

/// The GPU's UUID, by which ranks tell whether they share one; empty for CPUs.
std::string device_id(at::Device device);

/// The device as the records name it.
std::string device_name(at::Device device, std::int32_t threads);

/// What devices of one kind share, so that their speeds compare: the GPU's model, or the CPU's with the
/// number of threads.
std::string device_kind_name(at::Device device, std::int32_t threads);

/// Bytes of memory that a device has.
std::int64_t device_memory_bytes(at::Device device);

/// Bytes of memory that this host has.
std::int64_t host_memory_bytes();

/// Folder-independent path of this executable.
std::string executable_path();

}  // namespace memcap::app
