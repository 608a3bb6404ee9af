// The kernels of the instruction set that the including file is compiled for.
#pragma once

#include "nn/kernels/cpu_kernels.hpp"
#include "nn/kernels/vector.hpp"

namespace memcap::nn::kernels::MEMCAP_ISA {

void norm_forward(const NormTask& task);
void norm_backward(const NormGradientTask& task);
void activation_forward(const ActivationTask& task);
void activation_backward(const ActivationTask& task);
void attention_forward(const AttentionTask& task);
void attention_backward(const AttentionTask& task);
std::int64_t attention_scratch_floats(std::int64_t positions, std::int64_t head_width);
/// x is the gradient of the result, y that of the input.
void convolution_backward(const ConvolutionTask& task);
void convolution_forward(const ConvolutionTask& task);
void head_rows(const HeadRowsTask& task);

/// All of them.
const CpuKernels& table();

}  // namespace memcap::nn::kernels::MEMCAP_ISA
