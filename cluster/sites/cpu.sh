# Nodes without GPUs: a rank takes a few cores, and several ranks share a node.
# shellcheck shell=bash
#
#   MEMCAP_SITE=cluster/sites/cpu.sh sbatch --nodes=4 --ntasks-per-node=8 --cpus-per-task=8 cluster/memcap.sbatch FILE.yaml
#
# A partition for CPUs is often called cpu, compute or batch: sinfo -o "%P %G %c %m" lists them with cores and memory.

# module load gcc/12 openmpi/4.1 hdf5/1.10

# A node may have GPUs that this job has not asked for.
export CUDA_VISIBLE_DEVICES=
# Ranks that wait leave their cores to those that compute.
export OMPI_MCA_mpi_yield_when_idle=1
