// The order of NCCL and copy calls, the same on every rank.
#include "weights/device_mover.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"

namespace memcap::weights {

namespace {

constexpr double kGlance_s = 100e-6;

[[noreturn]] void fail(std::string what) {
    throw TransportError({.what = std::move(what), .where = "NCCL", .why = {}, .advice = {}});
}

void pause() {
    std::this_thread::sleep_for(std::chrono::duration<double>(kGlance_s));
}

}  // namespace

DeviceMover::DeviceMover(Setup setup, DeviceAccess access, ChunkReader* reader, Arrival* arrival)
    : setup_(std::move(setup)),
      access_(std::move(access)),
      reader_(reader),
      arrival_(arrival),
      thread_(&DeviceMover::run, this) {}

DeviceMover::~DeviceMover() {
    cancel();
    thread_.join();
}

std::string DeviceMover::failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
}

void DeviceMover::run() {
    try {
        const std::unique_ptr<DeviceCalls> calls = access_.open();
        // A chunk travels as the bytes of its parcel: its number and checksum come with it.
        calls->prepare(setup_.buffers, chunk_bytes(setup_.chunk_bytes));
        move_all(*calls);
    } catch (const std::exception& problem) {
        const std::lock_guard lock(mutex_);
        failure_ = problem.what();
    }
    finished_ = true;
}

void DeviceMover::move_all(DeviceCalls& calls) {
    try {
        expect(calls, calls.start_communicator(setup_.ranks, setup_.id, setup_.rank));
        if (reader_ != nullptr) {
            send_chunks(calls);
        } else {
            receive_chunks(calls);
        }
        expect(calls, calls.finalize());
    } catch (...) {
        calls.abort();
        throw;
    }
    calls.destroy();
}

/// Waits until a call that NCCL may go on with in the background is through.
void DeviceMover::expect(DeviceCalls& calls, CallState state) {
    const double until_s = monotonic_s() + setup_.silence_s;
    while (state.kind == CallState::Kind::in_progress) {
        if (cancelled_) fail("the transfer was called off");
        if (monotonic_s() > until_s) fail("a call did not end in time");
        pause();
        state = calls.communicator_state();
    }
    if (state.kind == CallState::Kind::failed) fail(std::move(state.reason));
}

void DeviceMover::wait_for_mark(DeviceCalls& calls, std::size_t buffer) {
    const double until_s = monotonic_s() + setup_.silence_s;
    while (true) {
        CallState state = calls.marked(buffer);
        if (state.kind == CallState::Kind::done) return;
        // A broken connection shows in the communicator alone: the device would wait for ever.
        if (state.kind == CallState::Kind::in_progress) state = calls.communicator_state();
        if (state.kind == CallState::Kind::failed) fail(std::move(state.reason));
        if (cancelled_) fail("the transfer was called off");
        if (monotonic_s() > until_s) fail("a chunk did not travel in time");
        pause();
    }
}

Bytes DeviceMover::next_chunk() {
    const double until_s = monotonic_s() + setup_.silence_s;
    while (true) {
        if (std::optional<Bytes> chunk = reader_->take(kGlance_s)) return std::move(*chunk);
        if (const std::string problem = reader_->failure(); !problem.empty()) fail(problem);
        if (cancelled_) fail("the transfer was called off");
        if (monotonic_s() > until_s) fail("the files could not be read in time");
    }
}

void DeviceMover::send_chunks(DeviceCalls& calls) {
    const std::size_t chunks = reader_->chunks();
    for (std::size_t i = 0; i < chunks; ++i) {
        const std::size_t buffer = i % setup_.buffers;
        const Bytes chunk = next_chunk();
        if (i >= setup_.buffers) wait_for_mark(calls, buffer);
        std::ranges::copy(chunk, calls.host(buffer).begin());
        expect(calls, calls.copy_to_device(buffer, chunk.size()));
        expect(calls, calls.broadcast(buffer, chunk.size(), 0));
        expect(calls, calls.mark(buffer));
    }
    for (std::size_t i = chunks - std::min(chunks, setup_.buffers); i < chunks; ++i) {
        wait_for_mark(calls, i % setup_.buffers);
    }
}

void DeviceMover::receive_chunks(DeviceCalls& calls) {
    const std::size_t chunks = arrival_->plan().size();
    for (std::size_t i = 0; i < chunks; ++i) {
        const std::size_t buffer = i % setup_.buffers;
        if (i >= setup_.buffers) land(calls, i - setup_.buffers);
        const std::size_t size_bytes = chunk_bytes(arrival_->plan().part(i).size_bytes);
        expect(calls, calls.broadcast(buffer, size_bytes, 0));
        expect(calls, calls.copy_to_host(buffer, size_bytes));
        expect(calls, calls.mark(buffer));
    }
    for (std::size_t i = chunks - std::min(chunks, setup_.buffers); i < chunks; ++i) land(calls, i);
}

void DeviceMover::land(DeviceCalls& calls, std::size_t index) {
    const std::size_t buffer = index % setup_.buffers;
    wait_for_mark(calls, buffer);
    const std::size_t size_bytes = chunk_bytes(arrival_->plan().part(index).size_bytes);
    const auto message = decode_exchange(calls.host(buffer).first(size_bytes));
    const auto* chunk = std::get_if<exchange::Chunk>(&message);
    if (chunk == nullptr) fail("what came is no chunk");
    arrival_->land(chunk->index, chunk->checksum, chunk->payload);
}

}  // namespace memcap::weights
