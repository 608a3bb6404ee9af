// The kernels of a CPU as a table, in the form for this processor.
#pragma once

#include "nn/kernels/activation.hpp"
#include "nn/kernels/attention.hpp"
#include "nn/kernels/convolution.hpp"
#include "nn/kernels/head.hpp"
#include "nn/kernels/norm.hpp"

namespace memcap::nn::kernels {

/// Each runs on the calling thread; tasks over other rows or heads may run at the same time.
struct CpuKernels {
    const char* instruction_set = "";
    void (*norm_forward)(const NormTask&) = nullptr;
    void (*norm_backward)(const NormGradientTask&) = nullptr;
    void (*activation_forward)(const ActivationTask&) = nullptr;
    void (*activation_backward)(const ActivationTask&) = nullptr;
    void (*attention_forward)(const AttentionTask&) = nullptr;
    void (*attention_backward)(const AttentionTask&) = nullptr;
    /// Floats that an attention task needs beside its tensors, for either direction.
    std::int64_t (*attention_scratch_floats)(std::int64_t positions, std::int64_t head_width) = nullptr;
    void (*convolution_forward)(const ConvolutionTask&) = nullptr;
    /// x is the gradient of the result, y becomes that of the input.
    void (*convolution_backward)(const ConvolutionTask&) = nullptr;
    void (*head_rows)(const HeadRowsTask&) = nullptr;
};

/// The form for the best instruction set that this processor has: AVX-512 ("v4"), AVX2 with FMA ("v3") or
/// what every processor has ("plain"). The environment variable MEMCAP_ISA asks for a lesser one, for tests
/// and comparisons.
const CpuKernels& cpu_kernels();

}  // namespace memcap::nn::kernels
