// Messages to bytes and back.
#include "mpi/mpi_transport.hpp"

#include <utility>

#include "memcap/base/errors.hpp"

namespace memcap::mpi {

void MpiTransport::send(sched::Rank to, sched::Message message) {
    post_.send(to, sched::encode(message));
}

std::optional<sched::Incoming> MpiTransport::poll() {
    std::optional<Parcel> parcel = post_.poll();
    if (!parcel) return std::nullopt;
    if (!parcel->failure.empty()) {
        return sched::Incoming{parcel->from, sched::PeerFailure{std::move(parcel->failure)}};
    }
    try {
        return sched::Incoming{parcel->from, sched::decode_message(parcel->bytes)};
    } catch (const TransportError& problem) {
        return sched::Incoming{parcel->from, sched::PeerFailure{problem.what()}};
    }
}

}  // namespace memcap::mpi
