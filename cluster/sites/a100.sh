# Nodes with A100 GPUs: one rank a GPU.
# shellcheck shell=bash
#
#   MEMCAP_SITE=cluster/sites/a100.sh sbatch --partition=PARTITION --gpus-per-node=4 --ntasks-per-node=4 \
#       --cpus-per-task=8 cluster/memcap.sbatch FILE.yaml
#
# sinfo -o "%P %G" lists the partitions and their GPUs. Where there are several kinds: --gpus-per-node=a100:4, or
# --constraint=a100; sites differ in the name.

# module load gcc/12 openmpi/4.1 hdf5/1.10 cuda/13

if ! nvidia-smi -L >/dev/null 2>&1; then
    echo "a100.sh: nvidia-smi finds no GPU on $(hostname): was --gpus-per-node given?"
fi
