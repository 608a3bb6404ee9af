// CUDA's float16 on the host.
#pragma once

#include <c10/util/Half.h>

using __half = c10::Half;

inline __half __float2half(float value) {
    return value;
}
inline float __half2float(__half value) {
    return value;
}
