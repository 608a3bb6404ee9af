// Non-blocking point-to-point parcels.
#include "mpi/mpi_transport.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <new>
#include <thread>
#include <utility>

#include "memcap/base/clock.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"

namespace memcap::mpi {

namespace {

constexpr int kTag = 1;
constexpr std::size_t kMostUnderway = 16;  ///< parcels to one rank
// What does not arrive for so long comes from a rank that stalls, and must not keep others waiting.
constexpr std::size_t kMostReceiving = 64;
constexpr double kStall_s = 1.0;

std::string error_text(int code) {
    char text[MPI_MAX_ERROR_STRING] = {};
    int length = 0;
    MPI_Error_string(code, text, &length);
    return std::string(text, static_cast<std::size_t>(length));
}

}  // namespace

MpiTransport::MpiTransport(MPI_Comm parent) {
    MPI_Comm_dup(parent, &comm_);
    // A failing rank is for the scheduler to deal with, not a reason to end all others.
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
}

MpiTransport::~MpiTransport() {
    complete_sends();
    if (send_requests_.empty() && receiving_.empty()) return;
    // MPI may still read or write these buffers; the process is about to end anyway.
    new (std::nothrow) std::vector<Bytes>(std::move(send_buffers_));
    new (std::nothrow) std::deque<Receiving>(std::move(receiving_));
}

void MpiTransport::send(sched::Rank to, Bytes bytes) {
    MEMCAP_EXPECT(to >= 0 && to < size_);
    complete_sends();
    if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
        failures_.push_back({to, {}, fmt::format("a message of {} bytes is too long for MPI", bytes.size())});
        return;
    }
    outgoing_[to].waiting.push_back(std::move(bytes));
    start_sends(to);
}

/// Gives MPI as many of the waiting parcels as it may have, in their order.
void MpiTransport::start_sends(sched::Rank to) {
    const auto found = outgoing_.find(to);
    if (found == outgoing_.end()) return;
    Outgoing& outgoing = found->second;
    while (!outgoing.waiting.empty() && outgoing.underway < kMostUnderway) {
        Bytes bytes = std::move(outgoing.waiting.front());
        outgoing.waiting.pop_front();
        MPI_Request request = MPI_REQUEST_NULL;
        const int code =
            MPI_Isend(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, to, kTag, comm_, &request);
        if (code != MPI_SUCCESS) {
            fail(to, "sending to it", code);
            continue;
        }
        send_requests_.push_back(request);
        send_buffers_.push_back(std::move(bytes));
        send_ranks_.push_back(to);
        ++outgoing.underway;
    }
    if (outgoing.underway == 0) outgoing_.erase(found);
}

std::optional<sched::Parcel> MpiTransport::poll() {
    complete_sends();
    if (!failures_.empty()) {
        sched::Parcel first = std::move(failures_.front());
        failures_.pop_front();
        return first;
    }
    start_receives();
    return finish_receive();
}

std::size_t MpiTransport::unsent(sched::Rank to) {
    complete_sends();
    const auto found = outgoing_.find(to);
    return found == outgoing_.end() ? 0 : found->second.underway + found->second.waiting.size();
}

bool MpiTransport::flush(double timeout_s) {
    const double until_s = monotonic_s() + timeout_s;
    complete_sends();
    while (!send_requests_.empty() && monotonic_s() < until_s) {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
        complete_sends();
    }
    return send_requests_.empty();
}

void MpiTransport::complete_sends() {
    if (send_requests_.empty()) return;
    const auto count = static_cast<int>(send_requests_.size());
    std::vector<int> indices(send_requests_.size());
    std::vector<MPI_Status> statuses(send_requests_.size());
    int completed = 0;
    const int code = MPI_Testsome(count, send_requests_.data(), &completed, indices.data(), statuses.data());
    if (completed == MPI_UNDEFINED || completed == 0) return;
    indices.resize(static_cast<std::size_t>(completed));
    for (std::size_t i = 0; code == MPI_ERR_IN_STATUS && i < indices.size(); ++i) {
        if (statuses[i].MPI_ERROR != MPI_SUCCESS) {
            fail(send_ranks_[static_cast<std::size_t>(indices[i])], "sending to it", statuses[i].MPI_ERROR);
        }
    }
    std::vector<sched::Rank> freed;
    // From the back, so that the places of those still to be removed stay.
    std::sort(indices.rbegin(), indices.rend());
    for (const int index : indices) {
        const auto at = static_cast<std::ptrdiff_t>(index);
        send_requests_.erase(send_requests_.begin() + at);
        send_buffers_.erase(send_buffers_.begin() + at);
        freed.push_back(send_ranks_[static_cast<std::size_t>(index)]);
        send_ranks_.erase(send_ranks_.begin() + at);
    }
    for (const sched::Rank rank : freed) --outgoing_.at(rank).underway;
    for (const sched::Rank rank : freed) start_sends(rank);
}

/// Receives that were begun lately; they are in the order in which they were begun.
std::size_t MpiTransport::young_receives() const {
    const double since_s = monotonic_s() - kStall_s;
    return static_cast<std::size_t>(
        std::find_if(receiving_.rbegin(), receiving_.rend(),
                     [since_s](const Receiving& old) { return old.since_s < since_s; }) -
        receiving_.rbegin());
}

void MpiTransport::start_receives() {
    for (std::size_t young = young_receives(); young < kMostReceiving; ++young) {
        int found = 0;
        MPI_Message message = MPI_MESSAGE_NULL;
        MPI_Status status;
        if (MPI_Improbe(MPI_ANY_SOURCE, kTag, comm_, &found, &message, &status) != MPI_SUCCESS || found == 0)
            return;
        int size_bytes = 0;
        MPI_Get_count(&status, MPI_BYTE, &size_bytes);
        Receiving& next = receiving_.emplace_back();
        next.from = status.MPI_SOURCE;
        next.since_s = monotonic_s();
        next.buffer.resize(static_cast<std::size_t>(size_bytes));
        const int code = MPI_Imrecv(next.buffer.data(), size_bytes, MPI_BYTE, &message, &next.request);
        if (code != MPI_SUCCESS) {
            fail(next.from, "receiving from it", code);
            receiving_.pop_back();
        }
    }
}

/// The first parcel that has arrived whole; a sender's parcels stay in order.
std::optional<sched::Parcel> MpiTransport::finish_receive() {
    std::vector<sched::Rank> incomplete;
    for (auto next = receiving_.begin(); next != receiving_.end(); ++next) {
        if (std::find(incomplete.begin(), incomplete.end(), next->from) != incomplete.end()) continue;
        int done = 0;
        MPI_Status status;
        const int code = MPI_Test(&next->request, &done, &status);
        if (code == MPI_SUCCESS && done == 0) {
            incomplete.push_back(next->from);
            continue;
        }
        const sched::Rank from = next->from;
        Bytes buffer = std::move(next->buffer);
        receiving_.erase(next);
        if (code != MPI_SUCCESS)
            return sched::Parcel{from, {}, "receiving from it failed: " + error_text(code)};
        return sched::Parcel{from, std::move(buffer), {}};
    }
    return std::nullopt;
}

void MpiTransport::fail(sched::Rank rank, const std::string& doing, int code) {
    failures_.push_back({rank, {}, fmt::format("{} failed: {}", doing, error_text(code))});
}

}  // namespace memcap::mpi
