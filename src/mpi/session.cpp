// MPI's start and end, and who else is here.
#include "memcap/mpi/session.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <thread>

#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"
#include "memcap/base/host.hpp"
#include "mpi/c_api.hpp"
#include "mpi/mpi_transport.hpp"

namespace memcap::mpi {

namespace {

std::optional<long> environment_number(const char* name) {
    const char* text = std::getenv(name);
    if (text == nullptr) return std::nullopt;
    const std::string_view view(text);
    long value = 0;
    const auto [end, problem] = std::from_chars(view.data(), view.data() + view.size(), value);
    if (problem != std::errc{} || end != view.data() + view.size()) return std::nullopt;
    return value;
}

/// How many processes the launcher says it has started together; none where it does not say.
std::optional<long> launched_size() {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
        if (const auto size = environment_number(name)) return size;
    }
    return std::nullopt;
}

/// Sleeps until all ranks have come here: MPI_Finalize would keep a core busy while rank 0 still writes
/// files.
void wait_for_all() {
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Ibarrier(MPI_COMM_WORLD, &request);
    int all_here = 0;
    while (MPI_Test(&request, &all_here, MPI_STATUS_IGNORE) == MPI_SUCCESS && all_here == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace

struct Session::State {
    int rank = 0;
    int size = 1;
    int local_rank = 0;
    std::string host;
    bool lost = false;
    bool left = false;
};

bool Session::launched_by_mpi() {
    // What each launcher sets for its ranks: OpenMPI's mpirun, any PMIx server (srun --mpi=pmix), PMI-1/2
    // (Hydra, srun --mpi=pmi2), Cray's PALS.
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PALS_RANKID"}) {
        // One alone needs no MPI, and a second one in the same step could not start it again.
        if (std::getenv(name) != nullptr) return launched_size() != 1;
    }
    const bool in_step = std::getenv("SLURM_STEP_ID") != nullptr && std::getenv("SLURM_PROCID") != nullptr;
    const long step_tasks = environment_number("SLURM_STEP_NUM_TASKS").value_or(1);
    const long job_tasks = environment_number("SLURM_NTASKS").value_or(1);
    if (in_step && step_tasks > 1) {
        throw UsageError(
            {.what = fmt::format("srun started {} processes that cannot find each other", step_tasks),
             .where = "SLURM_STEP_NUM_TASKS",
             .why = "this step runs without PMIx",
             .advice = "Use `srun --mpi=pmix memcap run ...`"});
    }
    if (!in_step && job_tasks > 1) {
        throw UsageError(
            {.what = fmt::format("this is one process alone in a Slurm job of {} tasks", job_tasks),
             .where = "SLURM_NTASKS",
             .why = "the others would idle",
             .advice = "Use `srun --mpi=pmix memcap run ...` or `mpirun memcap run ...`; for one "
                       "process on purpose, `SLURM_NTASKS=1 memcap run ...`"});
    }
    return false;
}

Session::Session() : state_(std::make_unique<State>()) {
    // OpenMPI yields the processor in every poll once there are more ranks than slots, which beside busy
    // compute threads costs a time slice a poll (measured: 24 to 67 ms). memcap sleeps between its polls
    // itself.
    setenv("OMPI_MCA_mpi_yield_when_idle", "0", 0);
    int provided = 0;
    if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
        throw TransportError({.what = "MPI did not start", .where = {}, .why = {}, .advice = {}});
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &state_->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &state_->size);
    if (provided < MPI_THREAD_FUNNELED) {
        MPI_Finalize();
        throw TransportError({.what = "this MPI cannot be used by a process with threads",
                              .where = {},
                              .why = "it offers less than MPI_THREAD_FUNNELED",
                              .advice = "Use an MPI that was built with thread support"});
    }
    const long launched = launched_size().value_or(1);
    if (state_->size == 1 && launched > 1) {
        MPI_Finalize();
        throw UsageError(
            {.what = fmt::format("{} processes were started, but to MPI each is alone", launched),
             .where = {},
             .why = "the launcher belongs to another MPI than the one memcap was built with",
             .advice = "Use that MPI's mpirun, or `srun --mpi=pmix`"});
    }
    MPI_Comm node = MPI_COMM_NULL;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, state_->rank, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &state_->local_rank);
    MPI_Comm_free(&node);
    state_->host = host_name();
}

Session::~Session() {
    if (state_->left) return;
    if (std::uncaught_exceptions() > 0 || state_->lost) abort(1);
    MPI_Finalize();
}

int Session::rank() const noexcept {
    return state_->rank;
}
int Session::size() const noexcept {
    return state_->size;
}
int Session::local_rank() const noexcept {
    return state_->local_rank;
}
const std::string& Session::host() const noexcept {
    return state_->host;
}

std::vector<std::string> Session::gather(std::string_view text) {
    const auto ranks = static_cast<std::size_t>(state_->size);
    const int own = static_cast<int>(text.size());
    std::vector<int> sizes(ranks);
    MPI_Allgather(&own, 1, MPI_INT, sizes.data(), 1, MPI_INT, MPI_COMM_WORLD);
    std::vector<int> starts(ranks);
    int total = 0;
    for (std::size_t i = 0; i < ranks; ++i) {
        starts[i] = total;
        total += sizes[i];
    }
    std::string all(static_cast<std::size_t>(total), '\0');
    MPI_Allgatherv(text.data(), own, MPI_CHAR, all.data(), sizes.data(), starts.data(), MPI_CHAR,
                   MPI_COMM_WORLD);
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < ranks; ++i) {
        texts.push_back(all.substr(static_cast<std::size_t>(starts[i]), static_cast<std::size_t>(sizes[i])));
    }
    return texts;
}

std::unique_ptr<sched::Transport> Session::make_transport() {
    return std::make_unique<MpiTransport>(MPI_COMM_WORLD);
}

void Session::rank_was_lost() noexcept {
    state_->lost = true;
}

int Session::leave(int status) {
    MEMCAP_EXPECT(!state_->left);
    // MPI_Finalize would wait for the lost rank, here and on the ranks that are already in it.
    if (state_->lost) abort(status);
    wait_for_all();
    state_->left = true;
    MPI_Finalize();
    return status;
}

void Session::abort(int status) noexcept {
    std::fflush(nullptr);
    MPI_Abort(MPI_COMM_WORLD, status);
    _exit(status);
}

}  // namespace memcap::mpi
