// The calls of NCCL and of the CUDA runtime that a transfer between GPUs makes, one virtual function each.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace memcap::weights {

/// How a call, or what it started, stands.
struct CallState {
    enum class Kind { done, in_progress, failed };
    Kind kind = Kind::done;
    std::string reason;  ///< of a failure
};

/// One thread's NCCL communicator and buffers. A buffer is a pair of pinned host memory and device memory;
/// the copies and broadcasts run in the order of their calls. No call waits for another rank, but destroy()
/// after a finalize() that is done, and abort(), return only when the communicator is gone.
class DeviceCalls {
  public:
    virtual ~DeviceCalls() = default;

    /// Makes the device this thread's current one and so many buffers; throws DeviceError.
    virtual void prepare(std::size_t buffers, std::size_t buffer_bytes) = 0;
    /// The host side of a buffer.
    virtual std::span<std::byte> host(std::size_t buffer) = 0;

    /// ncclCommInitRankConfig, non-blocking.
    virtual CallState start_communicator(int ranks, const std::string& id, int rank) = 0;
    /// ncclCommGetAsyncError.
    virtual CallState communicator_state() = 0;
    /// ncclBroadcast of a buffer's first bytes, device side, in place.
    virtual CallState broadcast(std::size_t buffer, std::size_t size_bytes, int root) = 0;
    /// ncclCommFinalize.
    virtual CallState finalize() = 0;
    /// ncclCommDestroy.
    virtual void destroy() = 0;
    /// ncclCommAbort.
    virtual void abort() = 0;

    /// Starts the copy of a buffer's first bytes from its host side to its device side.
    virtual CallState copy_to_device(std::size_t buffer, std::size_t size_bytes) = 0;
    virtual CallState copy_to_host(std::size_t buffer, std::size_t size_bytes) = 0;
    /// Marks the end of what was started for this buffer; marked() says whether that is done.
    virtual CallState mark(std::size_t buffer) = 0;
    virtual CallState marked(std::size_t buffer) = 0;
};

/// Where a rank's calls come from.
struct DeviceAccess {
    std::string uuid;                                    ///< of the GPU; empty: none, or no NCCL
    std::function<std::string()> make_id;                ///< ncclGetUniqueId; throws DeviceError
    std::function<std::unique_ptr<DeviceCalls>()> open;  ///< throws DeviceError
};

/// The access to a CUDA device of this process, with NCCL loaded as a shared library at run time; without an
/// UUID if this build has no CUDA, the device is negative, or NCCL is missing or too old.
DeviceAccess device_access(int device);

}  // namespace memcap::weights
