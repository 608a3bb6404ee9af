// What a program that has CUDA brings in beside libtorch's own operations.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace memcap::nn {

/// From now on operations on CUDA tensors run by memcap's own kernels, and StepGraph records CUDA graphs.
/// Part of the library memcap_cuda: its callers link that, and everything else stays free of CUDA. To be
/// called before any operation, by one thread.
void use_cuda();

/// Whether this program has CUDA; that a GPU is there is another matter.
bool has_cuda();

/// What the driver calls a GPU, e.g. "NVIDIA H200"; "cuda:0" and the like where use_cuda() was not called.
std::string cuda_device_name(at::Device device);

/// The GPU's own name, "GPU-" and its UUID as nvidia-smi prints it: the same for every process that computes
/// on it, whatever number it has there. Needs use_cuda().
std::string cuda_device_uuid(at::Device device);

}  // namespace memcap::nn
