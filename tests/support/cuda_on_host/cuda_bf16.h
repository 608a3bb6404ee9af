// CUDA's bfloat16 on the host.
#pragma once

#include <c10/util/BFloat16.h>

using __nv_bfloat16 = c10::BFloat16;

inline __nv_bfloat16 __float2bfloat16(float value) {
    return value;
}
inline float __bfloat162float(__nv_bfloat16 value) {
    return value;
}
