// Where the tests of kernels run: on a GPU, or on the host by its double of CUDA. One of two programs is
// linked.
#pragma once

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "memory/detail/slot_update.hpp"

namespace memcap::test {

/// The device of the kernels under test.
at::Device kernel_device();
/// Why there is none; empty if there is.
std::string missing_device();
/// Whether it is the double, where a thread of a block costs a thousand times what it costs on a GPU.
bool is_double();
/// Bytes of tensors on the device; 0 on the double.
std::int64_t device_bytes();
/// The update of slots whose pointers are those of the device, waited for.
void update_on_device(const memory::detail::SlotUpdate& update);

/// Lets the next launch of a kernel be refused with this CUDA error; false where that cannot be done.
bool refuse_next_launch(int error);
/// The error that the last refused launch left behind, which is forgotten; 0 if none did.
int left_error();

/// A test that needs the device.
class OnDevice : public ::testing::Test {
  protected:
    void SetUp() override {
        if (const std::string reason = missing_device(); !reason.empty()) GTEST_SKIP() << reason;
    }
};

}  // namespace memcap::test
