// What the ranks of a weight exchange tell each other, and its form as bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/sched/transport.hpp"
#include "memcap/weights/weight_exchange.hpp"

namespace memcap::weights {

/// A rank that asked for a model.
struct Member {
    sched::Rank rank = 0;
    std::string node;
    std::string device;  ///< UUID of the GPU it would use in NCCL; empty: none
};

/// A weight file as its reader found it.
struct FileHeader {
    std::string name;
    std::uint64_t size_bytes = 0;
};

namespace exchange {

/// To the coordinator, rank 0: this rank starts on a model.
struct Want {
    std::string key;
    std::string node;
    std::string device;
};
/// From the coordinator: nobody to share with.
struct Alone {
    std::string key;
    std::string reason;
};
/// From the coordinator: these ranks, in rank order, start on the model together.
struct Formed {
    std::string key;
    std::uint64_t group = 0;
    std::vector<Member> members;
};
/// From the leader, down the chain: what will come.
struct Announce {
    std::uint64_t group = 0;
    std::vector<FileHeader> files;
    std::uint64_t chunk_bytes = 0;
    std::string
        nccl_id;  ///< of the communicator that carries the chunks; empty: they come over the transport
};
/// A chunk of the files, as seen in the bytes of a parcel.
struct Chunk {
    std::uint64_t group = 0;
    std::uint64_t index = 0;
    std::uint64_t checksum = 0;  ///< hash64 of the payload
    std::span<const std::byte> payload;
};
/// To the other ranks of a receiver's node: bytes keep coming.
struct Progress {
    std::uint64_t group = 0;
};
/// To the other ranks of a receiver's node: all is there, in the memory of this key.
struct Arrived {
    std::uint64_t group = 0;
    std::string memory_key;
    std::vector<FileHeader> files;
};
/// Along the chain and to the ranks of the same node: the transfer will not end.
struct Abort {
    std::uint64_t group = 0;
    std::string reason;
};
/// The answer to Arrived: the memory is joined.
struct Joined {
    std::uint64_t group = 0;
};

}  // namespace exchange

using ExchangeMessage =
    std::variant<exchange::Want, exchange::Alone, exchange::Formed, exchange::Announce, exchange::Chunk,
                 exchange::Progress, exchange::Arrived, exchange::Abort, exchange::Joined>;

Bytes encode(const ExchangeMessage& message);
/// The payload of a chunk points into `bytes`. Throws TransportError if they are damaged.
ExchangeMessage decode_exchange(std::span<const std::byte> bytes);

/// Size of a chunk's parcel.
std::size_t chunk_bytes(std::size_t payload_bytes);
/// The bytes of a chunk whose payload is yet to be written, and where it goes.
Bytes make_chunk(std::uint64_t group, std::uint64_t index, std::size_t payload_bytes);
std::span<std::byte> payload_of(Bytes& chunk);
/// Completes a chunk after its payload was written.
void seal_chunk(Bytes& chunk);

}  // namespace memcap::weights
