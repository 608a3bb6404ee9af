// Leader, relays and those beside them.
#include "weights/transfer.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"

namespace memcap::weights {

namespace {

using Role = GroupPlace::Role;

// How often neighbours hear that bytes keep coming.
constexpr double kTell_s = 1.0;

/// A name for received memory that no other transfer on this machine has.
std::string memory_key(const std::string& node, std::uint64_t group) {
    const auto now = std::chrono::system_clock::now().time_since_epoch().count();
    return fmt::format("weights received on {} by process {} in group {} at {}", node, ::getpid(), group,
                       now);
}

}  // namespace

Transfer::Transfer(const exchange::Formed& formed, Setup setup, sched::Transport& transport,
                   const DeviceAccess& access, double now_s)
    : group_(formed.group),
      place_(place_in(formed, transport.rank())),
      setup_(std::move(setup)),
      transport_(transport),
      access_(access),
      formed_s_(now_s),
      heard_s_(now_s),
      moved_s_(now_s),
      told_s_(now_s) {
    if (place_.role == Role::leader && place_.chain.size() > 1) {
        start_leading();
    } else if (place_.role == Role::leader || place_.role == Role::beside_leader) {
        const auto why = place_.chain.size() > 1
                             ? fmt::format("rank {} of this node reads them too", place_.chain.front())
                             : std::string("the group is of one node, whose file cache serves all");
        setup_.answer({{nullptr, WeightWay::read, why}, {}});
        over_ = true;
    }
}

void Transfer::start_leading() {
    sending_ = true;
    reader_ = std::make_unique<ChunkReader>(ChunkReader::Setup{
        .group = group_,
        .files = setup_.request.files,
        .known = setup_.request.known,
        .chunk_bytes = place_.by_device ? setup_.options.device_chunk_bytes : setup_.options.chunk_bytes,
        .ahead = setup_.options.window,
        .make_nccl_id = place_.by_device ? access_.make_id : nullptr});
    setup_.answer(
        {{nullptr, WeightWay::sent, fmt::format("read for {} other nodes", place_.chain.size() - 1)}, {}});
}

void Transfer::send(sched::Rank to, const ExchangeMessage& message) {
    transport_.send(to, encode(message));
}

bool Transfer::step(double now_s) {
    if (over_) return false;
    switch (place_.role) {
        case Role::leader:
            return lead(now_s);
        case Role::receiver:
            return relay(now_s);
        case Role::beside_leader:
        case Role::beside_receiver:
            break;
    }
    if (now_s - heard_s_ > setup_.options.silence_s) {
        fall_back(fmt::format("rank {} of this node was silent for too long", place_.chain[place_.position]));
        over_ = true;
    }
    return false;
}

bool Transfer::lead(double now_s) {
    if (auto announce = reader_->take_announcement()) {
        send(place_.next(), *announce);
        announced_ = true;
        moved_s_ = now_s;
        if (place_.by_device) start_mover(announce->nccl_id, setup_.options.device_chunk_bytes);
    }
    if (const std::string problem = reader_->failure(); !problem.empty()) {
        fail("its reader failed: " + problem, -1);
        return true;
    }
    // Chunks that are read already have to wait for the announcement.
    if (!announced_) return false;
    bool busy = false;
    if (mover_) {
        watch_mover(now_s);
    } else {
        busy = send_from_reader();
        watch_sending(now_s);
    }
    if (over_) return busy;
    if (!sending_) {
        reader_->stop();
        over_ = true;
    } else if (reader_->finished() && (mover_ ? mover_->finished() : transport_.unsent(place_.next()) == 0)) {
        finish_leading(now_s);
    }
    return busy;
}

bool Transfer::send_from_reader() {
    bool busy = false;
    while (sending_ && has_room(place_.next())) {
        std::optional<Bytes> chunk = reader_->take();
        if (!chunk) break;
        transport_.send(place_.next(), std::move(*chunk));
        busy = true;
    }
    return busy;
}

void Transfer::finish_leading(double now_s) {
    over_ = true;
    setup_.report({.model = setup_.request.model,
                   .way = WeightWay::sent,
                   .size_bytes = reader_->total_bytes(),
                   .read_s = reader_->read_s(),
                   .broadcast_s = now_s - formed_s_,
                   .upload_s = 0.0});
    log::info(fmt::format("sent {} ({} bytes) to {} other nodes in {:.2f} s, of which {:.2f} s reading",
                          setup_.request.model, reader_->total_bytes(), place_.chain.size() - 1,
                          now_s - formed_s_, reader_->read_s()));
}

bool Transfer::relay(double now_s) {
    bool busy = false;
    if (!received_ && arrival_ && arrival_->published()) finish_receiving(now_s);
    if (mover_) {
        watch_mover(now_s);
    } else if (arrival_) {
        busy = send_from_arrival();
        watch_sending(now_s);
    }
    if (over_) return true;
    const bool waiting = !arrival_ || !arrival_->complete();
    if (waiting && now_s - heard_s_ > setup_.options.silence_s) {
        fail(fmt::format("nothing came from rank {} for {} s", place_.previous(), setup_.options.silence_s),
             -1);
        return true;
    }
    if (arrival_) tell_neighbours(now_s);
    const bool sent_all = !sending_ || sent_ == arrival_->plan().size();
    const bool all_joined =
        joined_ == place_.neighbours.size() || now_s - heard_s_ > setup_.options.silence_s;
    if (received_ && sent_all && all_joined && (!mover_ || mover_->finished())) over_ = true;
    return busy;
}

bool Transfer::send_from_arrival() {
    bool busy = false;
    while (sending_ && sent_ < arrival_->landed() && has_room(place_.next())) {
        const auto bytes = arrival_->bytes(sent_);
        Bytes chunk = make_chunk(group_, sent_, bytes.size());
        std::ranges::copy(bytes, payload_of(chunk).begin());
        seal_chunk(chunk);
        transport_.send(place_.next(), std::move(chunk));
        ++sent_;
        busy = true;
    }
    return busy;
}

void Transfer::finish_receiving(double now_s) {
    received_ = true;
    heard_s_ = now_s;
    for (const sched::Rank neighbour : place_.neighbours) {
        send(neighbour, exchange::Arrived{group_, arrival_->identity(), arrival_->headers()});
    }
    const std::size_t size_bytes = arrival_->plan().total_bytes();
    setup_.report({.model = setup_.request.model,
                   .way = WeightWay::received,
                   .size_bytes = size_bytes,
                   .read_s = 0.0,
                   .broadcast_s = now_s - formed_s_,
                   .upload_s = 0.0});
    log::info(fmt::format("received {} ({} bytes) by {} in {:.2f} s", setup_.request.model, size_bytes,
                          mover_ ? "NCCL" : "MPI", now_s - formed_s_));
}

void Transfer::tell_neighbours(double now_s) {
    if (received_ || now_s - told_s_ < kTell_s || arrival_->landed() == told_chunks_) return;
    told_s_ = now_s;
    told_chunks_ = arrival_->landed();
    for (const sched::Rank neighbour : place_.neighbours) send(neighbour, exchange::Progress{group_});
}

/// Gives the next one up when nothing leaves for it any more.
void Transfer::watch_sending(double now_s) {
    if (!sending_) return;
    const std::size_t unsent = transport_.unsent(place_.next());
    if (unsent == 0 || unsent != unsent_) moved_s_ = now_s;
    unsent_ = unsent;
    if (now_s - moved_s_ <= setup_.options.silence_s) return;
    log::warning(fmt::format("rank {} takes no weights: it is left to read them itself", place_.next()));
    send(place_.next(), exchange::Abort{group_, "the rank before it gave up"});
    sending_ = false;
}

void Transfer::start_mover(const std::string& nccl_id, std::size_t chunk_bytes) {
    mover_ = std::make_unique<DeviceMover>(DeviceMover::Setup{.ranks = static_cast<int>(place_.chain.size()),
                                                              .rank = static_cast<int>(place_.position),
                                                              .id = nccl_id,
                                                              .chunk_bytes = chunk_bytes,
                                                              .silence_s = setup_.options.silence_s},
                                           access_, reader_.get(), arrival_.get());
}

/// The mover keeps its own deadlines, from the communicator's start to its end.
void Transfer::watch_mover(double now_s) {
    if (!received_) heard_s_ = now_s;
    if (!mover_->finished()) return;
    // A communicator that ends badly takes nothing back of what has arrived.
    if (arrival_ && arrival_->complete()) return;
    if (const std::string problem = mover_->failure(); !problem.empty()) fail(problem, -1);
}

void Transfer::on_announce(exchange::Announce announce, double now_s) {
    if (over_ || arrival_ || place_.role != Role::receiver) return;
    heard_s_ = now_s;
    moved_s_ = now_s;
    try {
        arrival_ = std::make_shared<Arrival>(announce, memory_key(setup_.node, group_),
                                             setup_.options.silence_s, setup_.cancelled);
    } catch (const std::exception& problem) {
        return fail(fmt::format("rank {} cannot hold them: {}", transport_.rank(), problem.what()), -1);
    }
    if (place_.next() >= 0) send(place_.next(), announce);
    if (announce.nccl_id.empty()) {
        sending_ = place_.next() >= 0;
    } else {
        start_mover(announce.nccl_id, static_cast<std::size_t>(announce.chunk_bytes));
    }
    setup_.answer({{arrival_, WeightWay::received, {}}, {}});
}

void Transfer::on_chunk(const exchange::Chunk& chunk, Bytes& parcel, double now_s) {
    if (over_ || !arrival_ || mover_) return;
    heard_s_ = now_s;
    try {
        arrival_->land(static_cast<std::size_t>(chunk.index), chunk.checksum, chunk.payload);
    } catch (const TransportError& problem) {
        return fail(problem.what(), -1);
    }
    // What can go on at once needs no copy; the rest waits in the memory.
    if (sending_ && sent_ == chunk.index && has_room(place_.next())) {
        transport_.send(place_.next(), std::move(parcel));
        ++sent_;
    }
}

void Transfer::on_arrived(const exchange::Arrived& arrived, double now_s) {
    if (over_) return;
    heard_s_ = now_s;
    setup_.answer({{nullptr, WeightWay::shared, {}}, arrived});
}

void Transfer::on_own_join() {
    if (over_ || place_.role != Role::beside_receiver) return;
    send(place_.chain[place_.position], exchange::Joined{group_});
    over_ = true;
}

void Transfer::on_abort(sched::Rank from, const std::string& reason) {
    if (over_) return;
    const bool takes_part = place_.role == Role::leader || place_.role == Role::receiver;
    if (!takes_part) {
        if (from == place_.chain[place_.position]) fail(fmt::format("rank {}: {}", from, reason), from);
    } else if (from == place_.previous() || (from == place_.next() && place_.by_device)) {
        fail(fmt::format("rank {}: {}", from, reason), from);
    } else if (from == place_.next()) {
        log::warning(fmt::format("rank {} takes no weights: {}", from, reason));
        sending_ = false;
    }
}

void Transfer::give_up(const std::string& reason) {
    if (over_) return;
    if (arrival_ && arrival_->complete()) received_ = true;
    fail(reason, -1);
}

/// Ends this rank's part and lets those who depend on it know, but for the one it heard of it from.
void Transfer::fail(const std::string& reason, sched::Rank except) {
    over_ = true;
    if (reader_) reader_->stop();
    if (mover_) mover_->cancel();
    if (place_.role == Role::receiver && !received_) {
        for (const sched::Rank neighbour : place_.neighbours)
            send(neighbour, exchange::Abort{group_, reason});
    }
    if (place_.role == Role::leader || place_.role == Role::receiver) {
        for (const sched::Rank rank : {place_.previous(), place_.next()}) {
            if (rank >= 0 && rank != except) send(rank, exchange::Abort{group_, reason});
        }
    }
    if (place_.role == Role::leader) {
        log::warning(fmt::format("{} was not sent to the other nodes: {}", setup_.request.model, reason));
        return;
    }
    if (arrival_) arrival_->fail(reason);
    if (!received_) fall_back(reason);
}

void Transfer::fall_back(const std::string& reason) {
    log::warning(fmt::format("{} is read from the file system instead: {}", setup_.request.model, reason));
    setup_.answer({{nullptr, WeightWay::fallen_back, reason}, {}});
}

}  // namespace memcap::weights
