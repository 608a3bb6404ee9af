// Headers, partial writes, and frames cut out of what was read.
#include "agent/wire.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "memcap/base/errors.hpp"

namespace memcap::agent {

namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 18U;
constexpr std::size_t kSocketBytes = std::size_t{1} << 20U;
// Beyond this nothing is read until somebody takes frames: the sender's queue is the one that grows.
constexpr std::size_t kMostArrivedBytes = std::size_t{64} << 20U;
constexpr std::uint8_t kLastChannel = static_cast<std::uint8_t>(Channel::word);

}  // namespace

Wire::Wire(int descriptor) : descriptor_(descriptor) {
    const int size = static_cast<int>(kSocketBytes);
    // A smaller buffer is slower, not wrong.
    ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

Wire::~Wire() {
    ::close(descriptor_);
}

void Wire::send(Channel channel, sched::Rank rank, Bytes bytes) {
    Frame& frame = outgoing_.emplace_back();
    frame.channel = channel;
    frame.rank = rank;
    frame.bytes = std::move(bytes);
    const std::uint64_t size = frame.bytes.size();
    const auto kind = static_cast<std::uint32_t>(channel);
    std::memcpy(frame.header.data(), &size, sizeof(size));
    std::memcpy(frame.header.data() + 8, &kind, sizeof(kind));
    std::memcpy(frame.header.data() + 12, &rank, sizeof(rank));
    outgoing_bytes_ += kHeaderBytes + frame.bytes.size();
    write_some();
}

std::optional<sched::Parcel> Wire::take(Channel channel) {
    auto& frames = arrived_[channel];
    if (frames.empty()) return std::nullopt;
    sched::Parcel first = std::move(frames.front());
    frames.pop_front();
    arrived_bytes_ -= kHeaderBytes + first.bytes.size();
    return first;
}

bool Wire::step() {
    const bool wrote = write_some();
    return read_some() || wrote;
}

void Wire::wait(double timeout_s) const {
    const auto wanted = static_cast<short>(POLLIN | (outgoing_.empty() ? 0 : POLLOUT));
    pollfd self{.fd = closed_ ? -1 : descriptor_, .events = wanted, .revents = 0};
    const double whole_s = std::floor(std::max(timeout_s, 0.0));
    const timespec timeout{.tv_sec = static_cast<time_t>(whole_s),
                           .tv_nsec = static_cast<long>((std::max(timeout_s, 0.0) - whole_s) * 1e9)};
    ::ppoll(&self, 1, &timeout, nullptr);
}

std::size_t Wire::unsent(Channel channel, sched::Rank rank) const {
    return static_cast<std::size_t>(std::ranges::count_if(
        outgoing_, [&](const Frame& frame) { return frame.channel == channel && frame.rank == rank; }));
}

bool Wire::write_some() {
    bool wrote = false;
    while (!closed_ && !outgoing_.empty() && write_frame(outgoing_.front())) {
        wrote = true;
        const Frame& first = outgoing_.front();
        const std::size_t size = kHeaderBytes + first.bytes.size();
        if (first.sent < size) break;
        outgoing_bytes_ -= size;
        outgoing_.pop_front();
    }
    return wrote;
}

/// Writes what the socket takes of a frame; true if that was anything.
bool Wire::write_frame(Frame& frame) {
    std::array<iovec, 2> parts{};
    std::size_t count = 0;
    if (frame.sent < kHeaderBytes)
        parts[count++] = {frame.header.data() + frame.sent, kHeaderBytes - frame.sent};
    const std::size_t of_bytes = frame.sent < kHeaderBytes ? 0 : frame.sent - kHeaderBytes;
    if (of_bytes < frame.bytes.size())
        parts[count++] = {frame.bytes.data() + of_bytes, frame.bytes.size() - of_bytes};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(descriptor_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    // What a peer that is gone had said can still be read; read_some() sees the end.
    if (sent <= 0) return false;
    frame.sent += static_cast<std::size_t>(sent);
    return true;
}

bool Wire::read_some() {
    bool read = false;
    while (!closed_ && arrived_bytes_ < kMostArrivedBytes) {
        const std::size_t before = incoming_.size();
        incoming_.resize(before + kReadBytes);
        const ssize_t count = ::recv(descriptor_, incoming_.data() + before, kReadBytes, MSG_DONTWAIT);
        incoming_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (count <= 0) {
            closed_ = true;
            break;
        }
        read = true;
        cut();
    }
    return read;
}

/// Cuts whole frames out of what has come.
void Wire::cut() {
    while (incoming_.size() - used_ >= kHeaderBytes) {
        const std::byte* header = incoming_.data() + used_;
        std::uint64_t size = 0;
        std::uint32_t channel = 0;
        sched::Parcel parcel;
        std::memcpy(&size, header, sizeof(size));
        std::memcpy(&channel, header + 8, sizeof(channel));
        std::memcpy(&parcel.from, header + 12, sizeof(parcel.from));
        if (channel > kLastChannel) {
            closed_ = true;
            throw TransportError({.what = "a frame between two processes of a rank makes no sense",
                                  .where = {},
                                  .why = fmt::format("it is of channel {}", channel),
                                  .advice = {}});
        }
        if (incoming_.size() - used_ - kHeaderBytes < size) break;
        const auto first = incoming_.begin() + static_cast<std::ptrdiff_t>(used_ + kHeaderBytes);
        parcel.bytes.assign(first, first + static_cast<std::ptrdiff_t>(size));
        used_ += kHeaderBytes + size;
        arrived_bytes_ += kHeaderBytes + size;
        arrived_[static_cast<Channel>(channel)].push_back(std::move(parcel));
    }
    // Bytes are moved to the front once they are few beside those already cut.
    if (used_ * 2 >= incoming_.size()) {
        incoming_.erase(incoming_.begin(), incoming_.begin() + static_cast<std::ptrdiff_t>(used_));
        used_ = 0;
    }
}

}  // namespace memcap::agent
