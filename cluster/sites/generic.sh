# What a job needs on a site of its own: copy this file, fill in what applies, and name it in MEMCAP_SITE.
# shellcheck shell=bash
# Sourced by memcap.sbatch without arguments and without set -e or set -u; a command that fails here ends nothing.

# The modules that memcap was built with, by the names that `module avail` shows:
# module purge
# module load gcc/12 openmpi/4.1 hdf5/1.10

# Where srun --mpi=list names no pmix, or MPI is not Slurm's, the launcher of the MPI that memcap was built with:
# export MEMCAP_LAUNCH="mpirun --bind-to none"

# Where MPI takes a wrong network between the nodes:
# export OMPI_MCA_btl_tcp_if_include=ib0
