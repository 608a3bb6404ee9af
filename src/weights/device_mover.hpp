// The thread that moves chunks between GPUs.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "weights/arrival.hpp"
#include "weights/chunk_reader.hpp"
#include "weights/device_calls.hpp"

namespace memcap::weights {

/// One rank's part of a broadcast over NCCL, from the communicator's start to its end. The leader uploads
/// what the reader gives while earlier chunks travel; the others copy what came to the host while later ones
/// do. Each wait has a deadline; beyond it, on an error and on cancel() the communicator is aborted.
class DeviceMover {
  public:
    struct Setup {
        int ranks = 0;
        int rank = 0;  ///< 0 is the leader
        std::string id;
        std::size_t chunk_bytes = 0;
        std::size_t buffers = 4;
        double silence_s = 30.0;
    };

    /// `reader` (of the leader) or `arrival` (of all others) must outlive this.
    DeviceMover(Setup setup, DeviceAccess access, ChunkReader* reader, Arrival* arrival);
    /// Cancels and waits for the thread.
    ~DeviceMover();
    DeviceMover(const DeviceMover&) = delete;
    DeviceMover& operator=(const DeviceMover&) = delete;

    void cancel() noexcept { cancelled_ = true; }
    /// The thread has ended.
    bool finished() const noexcept { return finished_; }
    /// Why it did not move everything; empty if it did. Once finished.
    std::string failure() const;

  private:
    void run();
    void move_all(DeviceCalls& calls);
    void send_chunks(DeviceCalls& calls);
    void receive_chunks(DeviceCalls& calls);
    void expect(DeviceCalls& calls, CallState state);
    void wait_for_mark(DeviceCalls& calls, std::size_t buffer);
    Bytes next_chunk();
    void land(DeviceCalls& calls, std::size_t index);

    Setup setup_;
    DeviceAccess access_;
    ChunkReader* reader_;
    Arrival* arrival_;
    std::atomic<bool> cancelled_ = false;
    std::atomic<bool> finished_ = false;
    mutable std::mutex mutex_;
    std::string failure_;
    std::thread thread_;
};

}  // namespace memcap::weights
