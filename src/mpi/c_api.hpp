// MPI's C interface alone: its old C++ one has been removed from the standard and does not compile without
// warnings.
#pragma once

#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
