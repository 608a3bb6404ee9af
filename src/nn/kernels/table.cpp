// The table of one instruction set.
#include "nn/kernels/isa.hpp"

#define MEMCAP_NAME_OF(isa) #isa
#define MEMCAP_NAME(isa) MEMCAP_NAME_OF(isa)

namespace memcap::nn::kernels::MEMCAP_ISA {

const CpuKernels& table() {
    static constexpr CpuKernels kTable{.instruction_set = MEMCAP_NAME(MEMCAP_ISA),
                                       .norm_forward = norm_forward,
                                       .norm_backward = norm_backward,
                                       .activation_forward = activation_forward,
                                       .activation_backward = activation_backward,
                                       .attention_forward = attention_forward,
                                       .attention_backward = attention_backward,
                                       .attention_scratch_floats = attention_scratch_floats,
                                       .convolution_forward = convolution_forward,
                                       .convolution_backward = convolution_backward,
                                       .head_rows = head_rows};
    return kTable;
}

}  // namespace memcap::nn::kernels::MEMCAP_ISA
