// Ranks, CPUs and nodes; manager and agent on one thread.
#include "app/launch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "app/control_groups.hpp"
#include "app/handshake.hpp"
#include "app/machine.hpp"
#include "memcap/app/command_line.hpp"
#include "memcap/base/clock.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/host.hpp"
#include "memcap/base/log.hpp"
#include "memcap/sched/local_transport.hpp"

namespace memcap::app {

namespace {

namespace fs = std::filesystem;

// How long what was sent last may take to leave.
constexpr double kClose_s = 1.0;
constexpr double kPoll_s = 1e-3;
// How long a new file may take to come into sight on other nodes.
constexpr double kFolderPatience_s = 20.0;

/// This rank's share of the CPUs of its host. Collective, as Session::gather().
std::int32_t share_of_host(mpi::Session& session, const std::vector<std::string>& hosts) {
    const CpuSet own = usable_cpus();
    const auto all = session.gather(to_text(own));
    std::vector<CpuSet> of_host;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (hosts[i] == session.host()) of_host.push_back(cpus_of_text(all[i]));
    }
    return fair_threads(own, of_host, cpu_quota());
}

void rest() {
    std::this_thread::sleep_for(std::chrono::duration<double>(kPoll_s));
}

}  // namespace

Launch::Launch() {
    place_.host = host_name();
    place_.node = node_name();
    hosts_ = {place_.host};
    if (mpi::Session::launched_by_mpi()) {
        session_ = std::make_unique<mpi::Session>();
        place_.rank = session_->rank();
        place_.ranks = session_->size();
        log::set_rank(place_.rank, place_.ranks);
        nodes_ = session_->gather(place_.node);
        // Other builds may go on otherwise than this one, but the first two words are always these.
        conflict_ = different_builds(nodes_, session_->gather(own_build()));
        if (!conflict_) meet();
    } else {
        place_.threads = usable_cores();
        log::set_rank(place_.rank, place_.ranks);
    }
}

/// Learns of the other ranks.
void Launch::meet() {
    // All have left the same call, so this is one moment.
    const auto clocks = session_->gather(fmt::format("{:.3f}", utc_s()));
    std::vector<double> clocks_s;
    for (const auto& clock : clocks) clocks_s.push_back(std::stod(clock));
    if (const auto warning = different_clocks(nodes_, clocks_s); place_.rank == 0 && !warning.empty())
        log::warning(warning);
    place_.local_rank = session_->local_rank();
    hosts_ = session_->gather(place_.host);
    place_.threads = share_of_host(*session_, hosts_);
    place_.nodes = static_cast<std::int32_t>(std::set(nodes_.begin(), nodes_.end()).size());
    if (place_.ranks > 1) {
        transport_ = session_->make_transport();
        exchange_ = session_->make_transport();
    }
}

/// Takes over the device of rank 0's words; returns the nodes from which its file cannot be seen, where the
/// first rank of each looks. Without a path nobody looks. Collective.
std::vector<std::string> Launch::exchange_first_words(const fs::path& token, DeviceKind device) {
    const auto words = session_->gather(fmt::format("{} {}", static_cast<int>(device), token.string()));
    const std::string& first = words.front();
    const std::size_t space = first.find(' ');
    place_.device = static_cast<DeviceKind>(std::stoi(first.substr(0, space)));
    const fs::path looked_for = first.substr(space + 1);
    const bool is_first = std::ranges::find(nodes_, place_.node) - nodes_.begin() == place_.rank;
    const bool is_blind = is_first && !looked_for.empty() && !comes_into_sight(looked_for, kFolderPatience_s);
    std::vector<std::string> blind = session_->gather(is_blind ? place_.node : "");
    std::erase(blind, "");
    return blind;
}

void Launch::begin(const fs::path& folder, DeviceKind device) {
    place_.device = device;
    has_begun_ = true;
    if (place_.ranks == 1) return;
    std::optional<FolderToken> token;
    if (place_.nodes > 1) token.emplace(folder);
    if (const auto blind = exchange_first_words(token ? token->path() : fs::path(), device); !blind.empty())
        throw UsageError(folder_not_shared(folder, blind));
}

std::unique_ptr<agent::Agent> Launch::make_agent(sched::Transport& manager) {
    return std::make_unique<agent::Agent>(agent::Agent::Setup{.command = agent::this_program({"compute"}),
                                                              .place = encode(place_),
                                                              .manager = &manager,
                                                              .exchange = exchange_.get(),
                                                              .options = {}});
}

/// Lets the compute process end and the last parcels leave.
void Launch::finish(agent::Agent& agent) {
    const double until_s = monotonic_s() + agent::AgentOptions{}.goodbye_s + kClose_s;
    while (!agent.ended() && monotonic_s() < until_s) {
        if (!agent.step(monotonic_s())) rest();
    }
    agent.close(kClose_s);
}

sched::RunOutcome Launch::manage(sched::ManagerSetup setup, const std::atomic<bool>& stop) {
    const auto [manager_end, agent_end] = sched::make_local_transport();
    const auto agent = make_agent(*agent_end);
    setup.local = manager_end.get();
    setup.transport = transport_.get();
    setup.poll_hook = [&agent = *agent] { return agent.step(monotonic_s()); };
    sched::RunOutcome outcome = sched::run_manager(std::move(setup), stop);
    finish(*agent);
    if (outcome.lost_workers > 0 && session_) session_->rank_was_lost();
    return outcome;
}

int Launch::compute(const std::atomic<bool>& stop) {
    exchange_first_words({}, {});
    const auto agent = make_agent(*transport_);
    while (!agent->ended()) {
        if (stop.load()) agent->stop();
        if (!agent->step(monotonic_s())) rest();
    }
    if (agent->manager_lost()) {
        log::error("the manager (rank 0) is gone: this worker leaves; run again to go on");
        session_->rank_was_lost();
        return kDefect;
    }
    finish(*agent);
    transport_->flush(kClose_s);
    // mpirun takes any status but 0 for a crash of the whole run, so only rank 0's counts.
    return kDone;
}

void Launch::dismiss() {
    // The others still wait for the first words.
    if (transport_ && !std::exchange(has_begun_, true)) exchange_first_words({}, {});
    if (transport_ && !sched::dismiss_workers(*transport_, {})) session_->rank_was_lost();
}

int Launch::leave(int status) {
    transport_.reset();
    exchange_.reset();
    return session_ ? session_->leave(status) : status;
}

}  // namespace memcap::app
