// What a device itself reaches: square matrix products, copies, and the peak of torch's allocator.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "memcap/base/protocol.hpp"
#include "memcap/plan/speed.hpp"

namespace memcap::app {

/// Waits until a device has done all that was asked of it.
void wait_for(at::Device device);

/// Gives back to a GPU's driver what libtorch keeps of memory that no tensor uses: a model that was dropped
/// would otherwise seem to be there still.
void release_cached_memory(at::Device device);

/// Bytes of a device's memory that can be taken now.
std::int64_t free_memory_bytes(at::Device device);

/// Lets float32 products on a GPU be rounded to tf32 in that precision, and in no other. Before anything of
/// that precision is computed.
void choose_float32_products(Precision precision);

/// In which types a device holds weights.
plan::ValueWidths value_widths(at::Device device);

/// Whether products in both precisions are the same to a device.
bool multiply_alike(Precision a, Precision b, at::Device device);

/// Rows of the factors that are multiplied to measure a device.
inline constexpr std::int64_t kCpuProductRows = 2048;
inline constexpr std::int64_t kGpuProductRows = 8192;

/// A square product in the type that a precision multiplies on a device.
class MatrixProduct {
  public:
    MatrixProduct(Precision precision, at::Device device);

    /// Makes products for this long, at least two, each timed; returns the best one's FLOP/s. In tf32 it
    /// leaves float32 products as choose_float32_products() makes them in that precision.
    double run(double seconds);
    /// Over all products so far.
    plan::MatrixPeak peak() const;

  private:
    Precision precision_;
    at::Tensor left_;
    at::Tensor right_;
    at::Tensor product_;
    std::vector<double> elapsed_s_;
};

struct CopySpeed {
    double best_bytes_per_s = 0.0;
    double median_bytes_per_s = 0.0;
};

/// Copies much more memory than caches hold, and counts bytes read and bytes written.
CopySpeed measure_copy(at::Device device);

/// The most bytes of a device that torch's allocator has given out at a time while `work` ran, beside those
/// given out before.
std::int64_t peak_bytes_of(at::Device device, const std::function<void()>& work);

}  // namespace memcap::app
