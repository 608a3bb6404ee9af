// The list of exchange checks over real MPI; with one rank, alone.
#include <gtest/gtest.h>

#include <utility>

#include "mpi/c_api.hpp"
#include "mpi/world.hpp"
#include "weights/exchange_list.hpp"

namespace memcap::mpi::testing {
namespace {

using namespace weights::testing;

class EveryExchange : public ::testing::TestWithParam<ExchangeCheck> {};

TEST_P(EveryExchange, Mpi) {
    const ExchangeCheck& check = GetParam();
    const int rank = session().rank();
    const auto exchange =
        session().size() == 1
            ? weights::make_local_exchange()
            : weights::make_group_exchange(session().make_transport(), check.node(rank), check.options);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Request request = MPI_REQUEST_NULL;
    bool through = false;
    run_check(check, *exchange, rank, session().size(), {[&] {
                  if (!std::exchange(through, true)) MPI_Ibarrier(MPI_COMM_WORLD, &request);
                  int all = 0;
                  MPI_Test(&request, &all, MPI_STATUS_IGNORE);
                  return all != 0;
              }});
    exchange->close(1.0);
}

INSTANTIATE_TEST_SUITE_P(Checks, EveryExchange, ::testing::ValuesIn(kExchangeChecks),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace memcap::mpi::testing
