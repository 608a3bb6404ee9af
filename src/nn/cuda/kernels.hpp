// What the kernels of a GPU are asked for, and the table through which operations reach them; no ATen, no
// CUDA.
#pragma once

#include <cstdint>

#include "memcap/nn/activation_kind.hpp"

struct CUstream_st;

// Shapes: B slots of T positions each, one behind the other in B * T rows; H query heads, G key/value heads
// or groups, d head width, C channels, S states.
namespace memcap::nn::cuda {

/// cudaStream_t under the name that it has without CUDA's headers.
using Stream = CUstream_st*;

/// A launch's outcome: 0, or the number of a CUDA error.
using Status = int;

/// cudaErrorMemoryAllocation, the one that is a shortage and no defect.
inline constexpr Status kOutOfMemory = 2;

/// The type of the elements of a tensor. In one task, tensors are float32 or all of one other type.
enum class Element : std::uint8_t { float32, bfloat16, float16 };

/// Rows of neighbouring elements; `data` null for a tensor that a task does without.
struct Source {
    const void* data = nullptr;
    Element element = Element::float32;
};

struct Target {
    void* data = nullptr;
    Element element = Element::float32;
};

/// Rows of `width` elements, computed in float32. RMSNorm where `mean` is null, LayerNorm otherwise.
struct NormTask {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    Source x;
    Source added;                   ///< added to x before
    const float* weight = nullptr;  ///< [weight_rows, width]; null for ones
    std::int64_t weight_rows = 1;   ///< row r has the weights r % weight_rows
    const float* bias = nullptr;    ///< [width]; null for zeros
    float epsilon = 0.0F;
    float* sum = nullptr;  ///< x + added; written where `added` is
    Target y;
    float* mean = nullptr;     ///< [rows]
    float* inverse = nullptr;  ///< [rows]: 1 / root of the mean square (from the mean)
};

/// The gradient of what was normalised from that of y.
struct NormGradientTask {
    std::int64_t rows = 0;
    std::int64_t width = 0;
    Source x;  ///< what was normalised
    const float* weight = nullptr;
    std::int64_t weight_rows = 1;
    const float* mean = nullptr;
    const float* inverse = nullptr;
    Source gradient;                      ///< of y
    const float* gradient_sum = nullptr;  ///< of the sum by other ways, added to the result; null for none
    Target gradient_x;
    Target gradient_added;  ///< the same once more in another type, for what was added; may be left out
};

/// As kernels::ActivationTask; x, gradient and result are of one type.
struct ActivationTask {
    Activation kind = Activation::silu;
    bool gated = false;
    std::int64_t rows = 0;
    std::int64_t width = 0;
    Element element = Element::float32;
    const void* x = nullptr;
    const void* gradient = nullptr;
    void* result = nullptr;
};

/// As kernels::HeadRowsTask with logits of any type.
struct HeadRowsTask {
    std::int64_t rows = 0;
    std::int64_t vocabulary = 0;
    Target logits;
    const std::int64_t* target = nullptr;
    const float* weight = nullptr;
    const float* sharpness = nullptr;
    float soft_cap = 0.0F;
    float* nll_nats = nullptr;
    bool* correct = nullptr;
};

/// Elements of heads [B, heads, T, d] by their strides; those of one head lie side by side.
struct Heads {
    void* data = nullptr;
    std::int64_t slot_stride = 0;
    std::int64_t head_stride = 0;
    std::int64_t position_stride = 0;
};

/// Rows of projections [B, T, P] to heads and, with the transposed rotation, from the heads' gradients back.
/// Where the heads lie in a row is said as in HeadLayout.
struct HeadsTask {
    std::int64_t slots = 0;
    std::int64_t positions = 0;
    std::int32_t query_heads = 0;
    std::int32_t key_heads = 0;
    std::int32_t head_width = 0;
    std::int32_t query_stride = 0;
    std::int32_t key_first = 0;
    std::int32_t key_stride = 0;
    std::int32_t value_first = 0;
    std::int32_t rotated = 0;       ///< elements of a head that are rotated, halves paired; 0: none
    const float* cosine = nullptr;  ///< [T, rotated / 2]
    const float* sine = nullptr;
    Target projected;                    ///< [B, T, P]; only read where heads are made from it
    Element element = Element::float32;  ///< of the heads
    Heads query;
    Heads key;
    Heads value;
};

/// Depthwise convolution within each slot: y[t] = bias + sum over j < k of weight[j] * x[t - k + 1 + j], or
/// backwards the gradient of x from that of y (weight[j] meets y[t + k - 1 - j], bias null). x and y [B, T,
/// C], contiguous.
struct ConvolutionTask {
    std::int64_t slots = 0;
    std::int64_t positions = 0;
    std::int64_t channels = 0;
    std::int64_t taps = 0;  ///< k
    const float* x = nullptr;
    const float* weight = nullptr;  ///< [k, C]
    const float* bias = nullptr;    ///< [C]; null for zeros
    float* y = nullptr;
};

/// Selective scan over whole tensors: x, step and y [B, T, C]; input and output [B, T, G, S]; decay [C, S] or
/// [C, 1]; skip [C]. All contiguous.
struct ScanTask {
    std::int64_t slots = 0;
    std::int64_t positions = 0;
    std::int64_t channels = 0;
    std::int64_t groups = 1;
    std::int64_t states = 0;
    bool one_decay = false;
    const float* x = nullptr;
    const float* step = nullptr;
    const float* input = nullptr;
    const float* output = nullptr;
    const float* decay = nullptr;
    const float* skip = nullptr;
};

/// What a scan's backward needs beside its tensors.
struct ScanSizes {
    std::int64_t boundary_floats = 0;  ///< of ScanGradients::boundaries
    std::int64_t parts = 0;            ///< of a group: sums over so many runs of its channels are kept apart
};

struct ScanGradients {
    const float* y = nullptr;
    float* x = nullptr;
    float* step = nullptr;
    float* input_parts = nullptr;   ///< [B, G, parts, T, S]
    float* output_parts = nullptr;  ///< [B, G, parts, T, S]
    float* boundaries = nullptr;
};

/// The launches. None waits for the device; every one may be captured into a graph.
struct Kernels {
    /// Whether they work on the host's memory: then they are the double by which tests run them.
    bool on_host = false;
    Status (*norm_forward)(const NormTask&, Stream) = nullptr;
    Status (*norm_backward)(const NormGradientTask&, Stream) = nullptr;
    Status (*activation_forward)(const ActivationTask&, Stream) = nullptr;
    Status (*activation_backward)(const ActivationTask&, Stream) = nullptr;
    Status (*head_rows)(const HeadRowsTask&, Stream) = nullptr;
    Status (*split_heads)(const HeadsTask&, Stream) = nullptr;
    Status (*join_heads)(const HeadsTask&, Stream) = nullptr;
    Status (*convolution_forward)(const ConvolutionTask&, Stream) = nullptr;
    Status (*convolution_backward)(const ConvolutionTask&, Stream) = nullptr;
    ScanSizes (*scan_sizes)(const ScanTask&) = nullptr;
    Status (*scan_forward)(const ScanTask&, float* y, Stream) = nullptr;
    Status (*scan_backward)(const ScanTask&, const ScanGradients&, Stream) = nullptr;
    const char* (*error_text)(Status) = nullptr;
};

/// The launches of this program's kernel files.
Kernels kernels();

Status norm_forward(const NormTask& task, Stream stream);
Status norm_backward(const NormGradientTask& task, Stream stream);
Status activation_forward(const ActivationTask& task, Stream stream);
Status activation_backward(const ActivationTask& task, Stream stream);
Status head_rows(const HeadRowsTask& task, Stream stream);
Status split_heads(const HeadsTask& task, Stream stream);
Status join_heads(const HeadsTask& task, Stream stream);
Status convolution_forward(const ConvolutionTask& task, Stream stream);
Status convolution_backward(const ConvolutionTask& task, Stream stream);
ScanSizes scan_sizes(const ScanTask& task);
Status scan_forward(const ScanTask& task, float* y, Stream stream);
Status scan_backward(const ScanTask& task, const ScanGradients& gradients, Stream stream);
const char* error_text(Status status);

}  // namespace memcap::nn::cuda
