// A main for tests under MPI: every rank runs every test, and a test that fails or is skipped anywhere fails
// the run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "mpi/c_api.hpp"
#include "mpi/world.hpp"

namespace memcap::mpi::testing {

namespace {

Session* g_session = nullptr;

/// Prints this rank's failures with its number, and keeps the ranks together from test to test.
class RankPrinter : public ::testing::EmptyTestEventListener {
  public:
    explicit RankPrinter(int rank) : rank_(rank) {}

    void OnTestStart(const ::testing::TestInfo& test) override {
        MPI_Barrier(MPI_COMM_WORLD);
        if (rank_ == 0) std::printf("[ RUN      ] %s.%s\n", test.test_suite_name(), test.name());
    }
    void OnTestPartResult(const ::testing::TestPartResult& part) override {
        if (!part.failed() && !part.skipped()) return;
        std::printf("[rank %d] %s:%d: %s\n", rank_, part.file_name() == nullptr ? "?" : part.file_name(),
                    part.line_number(), part.message());
        std::fflush(stdout);
    }
    void OnTestEnd(const ::testing::TestInfo& test) override {
        const int bad = test.result()->Passed() ? 0 : 1;
        int bad_ranks = 0;
        MPI_Allreduce(&bad, &bad_ranks, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
        ++tests;
        failed += bad_ranks > 0 ? 1 : 0;
        if (rank_ == 0) {
            std::printf("[%s] %s.%s (%d ranks failed)\n", bad_ranks == 0 ? "       OK " : "  FAILED  ",
                        test.test_suite_name(), test.name(), bad_ranks);
            std::fflush(stdout);
        }
    }

    int tests = 0;
    int failed = 0;

  private:
    int rank_;
};

}  // namespace

Session& session() {
    return *g_session;
}

int run(int argc, char** argv) {
    ::testing::InitGoogleTest(&argc, argv);
    Session session;
    g_session = &session;
    ::testing::TestEventListeners& listeners = ::testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    auto* printer = new RankPrinter(session.rank());
    listeners.Append(printer);
    // Each rank must run the same tests; what gtest itself returns is only this rank's opinion.
    const bool own_failure = RUN_ALL_TESTS() != 0;
    int status = own_failure || printer->failed > 0 || printer->tests == 0 ? 1 : 0;
    MPI_Allreduce(MPI_IN_PLACE, &status, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (session.rank() == 0) {
        std::printf("%d ranks: %d tests, %d failed\n", session.size(), printer->tests, printer->failed);
    }
    return session.leave(status);
}

}  // namespace memcap::mpi::testing

int main(int argc, char** argv) {
    return memcap::mpi::testing::run(argc, argv);
}
