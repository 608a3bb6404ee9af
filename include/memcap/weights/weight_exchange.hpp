// The seam between ranks that start on one model together: one of them reads its weight files, the others are
// sent the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/base/file_facts.hpp"
#include "memcap/base/file_memory.hpp"
#include "memcap/sched/transport.hpp"

namespace memcap::weights {

/// Times and sizes of an exchange.
struct ExchangeOptions {
    double gather_s = 3.0;    ///< from the first rank that asks until its group is closed
    double silence_s = 30.0;  ///< without progress for so long, a member reads for itself
    std::size_t chunk_bytes = std::size_t{1} << 20U;         ///< sent at once over the transport
    std::size_t device_chunk_bytes = std::size_t{8} << 20U;  ///< sent at once over NCCL
    std::size_t window = 16;                                 ///< chunks of one sender on their way
};

struct WeightRequest {
    std::string model;                         ///< equal on all ranks that mean the same files
    std::vector<std::filesystem::path> files;  ///< as this rank would read them
    std::vector<KnownFile> known;  ///< what they must hold, by name: others are not sent; empty: anything
    int device = -1;  ///< number of the CUDA device that will hold the model; negative: none, so no NCCL
};

/// How an answer to WeightRequest came about.
enum class WeightWay : std::uint8_t {
    read,         ///< from the file system, by choice or as there was no group
    sent,         ///< read here and sent to others
    received,     ///< from another rank
    shared,       ///< from the memory of a rank of the same node
    fallen_back,  ///< read from the file system, as the group failed
};

std::string_view to_string(WeightWay way);

struct Obtained {
    std::shared_ptr<const FileMemory> memory;  ///< null: to be read from the files
    WeightWay way = WeightWay::read;
    std::string reason;  ///< of reading, for the log
};

/// What a model's weights cost one rank; steps that it had no part in are 0.
struct WeightTimes {
    std::string model;
    WeightWay way = WeightWay::read;
    std::uint64_t size_bytes = 0;
    double read_s = 0.0;       ///< from the file system into memory, where that is a step of its own
    double broadcast_s = 0.0;  ///< from the forming of the group to the last byte that left or arrived
    double upload_s = 0.0;  ///< until the model stands on its device; includes reading where files are mapped
};

Bytes encode(const WeightTimes& times);
/// Throws TransportError if the bytes are damaged.
WeightTimes decode_weight_times(std::span<const std::byte> bytes);

/// One rank's end. No call waits for a rank that is not in the group, nor for one of it beyond the deadlines.
class WeightExchange {
  public:
    virtual ~WeightExchange() = default;

    /// Joins the group that forms around this model now and returns when this rank's part in it is known: the
    /// memory may still be filling. Never throws for what other ranks do: then the files are to be read.
    /// `cancelled` is asked now and then. For the computing thread.
    virtual Obtained obtain(const WeightRequest& request, const std::function<bool()>& cancelled) = 0;
    /// Waits until nothing of this rank's transfers uses its device any more. For the computing thread.
    virtual void settle(const std::function<bool()>& cancelled) = 0;
    /// Keeps what a model cost here. For the computing thread.
    virtual void report(WeightTimes times) = 0;

    /// Moves what can be moved without waiting; true if there was something. For the thread that polls.
    virtual bool step() = 0;
    /// Ends all transfers of this rank; waits up to `timeout_s` until its last words have left.
    virtual void close(double timeout_s) = 0;
    /// What this rank's loads and transfers have cost since the last call. For the polling thread.
    virtual std::vector<WeightTimes> take_reports() = 0;
};

/// The exchange of one rank of several over a transport of its own; rank 0 coordinates. Of the ranks with the
/// same `node` one takes part in a transfer, and the others share its memory.
std::unique_ptr<WeightExchange> make_group_exchange(std::unique_ptr<sched::Transport> transport,
                                                    const std::string& node,
                                                    const ExchangeOptions& options = {});

/// The exchange of a process that is alone: every answer is to read.
std::unique_ptr<WeightExchange> make_local_exchange();

}  // namespace memcap::weights
