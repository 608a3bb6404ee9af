// The one MPI session of the test program.
#pragma once

#include "memcap/mpi/session.hpp"

namespace memcap::mpi::testing {

Session& session();

}  // namespace memcap::mpi::testing
