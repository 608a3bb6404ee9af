// Ranks 1 to 4 send rank 0 many large parcels and then stall: rank 0 hears of rank 5 all the same, and gets
// the parcels when the others go on. Needs a wire on which large parcels stall with their sender (TCP).
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "memcap/mpi/session.hpp"
#include "sched/transport_list.hpp"

namespace memcap::mpi::testing {
namespace {

using namespace sched::testing;

constexpr int kRanks = 6;
constexpr std::size_t kParcels = 64;
constexpr std::size_t kSize = 1 << 20;

/// Sends, and then calls MPI no more until the file is there.
void stall(sched::Transport& transport, const std::filesystem::path& go_on) {
    for (std::size_t i = 0; i < kParcels; ++i)
        transport.send(0, Bytes(kSize + i, static_cast<std::byte>(transport.rank())));
    while (!std::filesystem::exists(go_on)) sleep_s(0.01);
    transport.flush(60.0);
}

/// Polls for a while, or until something came from this rank.
bool hears(sched::Transport& transport, sched::Rank wanted, double timeout_s,
           std::map<sched::Rank, std::size_t>& parcels) {
    for (const double until_s = monotonic_s() + timeout_s; monotonic_s() < until_s; sleep_s(1e-4)) {
        while (const auto parcel = transport.poll()) {
            const std::size_t count = parcels[parcel->from]++;
            const bool stalled = parcel->from != kRanks - 1;
            if (!parcel->failure.empty() || (stalled && parcel->bytes.size() != kSize + count)) return false;
            if (parcel->from == wanted) return true;
        }
    }
    return false;
}

std::string listen(sched::Transport& transport, const std::filesystem::path& go_on) {
    std::map<sched::Rank, std::size_t> parcels;
    // All that can come without the stalled ranks' help is on its way by then.
    hears(transport, -1, 1.0, parcels);
    // The call for the other one, which is not stalled.
    transport.send(kRanks - 1, Bytes(1));
    if (!hears(transport, kRanks - 1, 20.0, parcels)) return "FAILED: stalled ranks keep the others out";
    for (sched::Rank rank = 1; rank < kRanks - 1; ++rank) {
        if (parcels[rank] == kParcels) return "FAILED: nothing stalls on this wire";
    }
    std::ofstream{go_on};
    const auto all_here = [&parcels] {
        for (sched::Rank rank = 1; rank < kRanks - 1; ++rank) {
            if (parcels[rank] != kParcels) return false;
        }
        return true;
    };
    for (const double until_s = monotonic_s() + 60.0; !all_here() && monotonic_s() < until_s;)
        hears(transport, -1, 0.05, parcels);
    return all_here() ? "PASSED" : "FAILED: parcels are lost or out of order";
}

int run(const std::filesystem::path& report) {
    Session session;
    const auto transport = session.make_transport();
    const std::filesystem::path go_on = report.string() + ".go-on";
    if (session.rank() == 0) std::filesystem::remove(go_on);
    session.gather("");
    if (session.rank() == 0) {
        std::ofstream(report) << listen(*transport, go_on) << '\n';
        std::ofstream{go_on};
    } else if (session.rank() < kRanks - 1) {
        stall(*transport, go_on);
    } else {
        receive(*transport, 60.0);
        transport->send(0, Bytes(1));
        transport->flush(20.0);
    }
    return session.leave(0);
}

}  // namespace
}  // namespace memcap::mpi::testing

int main(int argc, char** argv) {
    return argc == 2 ? memcap::mpi::testing::run(argv[1]) : 2;
}
