# Nodes with H100 or H200 GPUs: one rank a GPU.
# shellcheck shell=bash
#
#   MEMCAP_SITE=cluster/sites/h100-h200.sh sbatch --partition=PARTITION --gpus-per-node=8 --ntasks-per-node=8 \
#       --cpus-per-task=12 cluster/memcap.sbatch FILE.yaml
#
# sinfo -o "%P %G" lists the partitions and their GPUs. Where there are several kinds: --gpus-per-node=h100:8 or h200:8,
# or --constraint=h200; sites differ in the name.

# module load gcc/12 openmpi/4.1 hdf5/1.10 cuda/13

if ! nvidia-smi -L >/dev/null 2>&1; then
    echo "h100-h200.sh: nvidia-smi finds no GPU on $(hostname): was --gpus-per-node given?"
fi
