// The launches of the kernel files as a table.
#include "nn/cuda/launch.cuh"

namespace memcap::nn::cuda {

const char* error_text(Status status) {
    return cudaGetErrorString(static_cast<cudaError_t>(status));
}

Kernels kernels() {
    return {.on_host = false,
            .norm_forward = norm_forward,
            .norm_backward = norm_backward,
            .activation_forward = activation_forward,
            .activation_backward = activation_backward,
            .head_rows = head_rows,
            .split_heads = split_heads,
            .join_heads = join_heads,
            .convolution_forward = convolution_forward,
            .convolution_backward = convolution_backward,
            .scan_sizes = scan_sizes,
            .scan_forward = scan_forward,
            .scan_backward = scan_backward,
            .error_text = error_text};
}

}  // namespace memcap::nn::cuda
