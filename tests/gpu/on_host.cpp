// The tests of kernels on the host: the same kernel files, run by the double of CUDA in support/cuda_on_host.
#include <cuda_runtime.h>

#include "gpu/test_device.hpp"
#include "memory/cuda/slot_update.hpp"
#include "nn/detail/device_runtime.hpp"

namespace memcap::test {

namespace {

/// Runs the step where a GPU would start its recording. As there, recording itself does not run the step.
class HostRecorder final : public nn::StepRecorder {
  public:
    void record(const std::function<void()>& step, int warm_ups) override {
        // One run before shows as much as several, and they are slow here.
        if (warm_ups > 0) step();
        step_ = step;
    }
    void replay() override { step_(); }

  private:
    std::function<void()> step_;
};

std::unique_ptr<nn::StepRecorder> make_host_recorder(at::Device /*device*/) {
    return std::make_unique<HostRecorder>();
}

}  // namespace

at::Device kernel_device() {
    return at::kCPU;
}

std::string missing_device() {
    return {};
}

bool is_double() {
    return true;
}

std::int64_t device_bytes() {
    return 0;
}

bool refuse_next_launch(int error) {
    refusal = static_cast<cudaError_t>(error);
    return true;
}

int left_error() {
    return static_cast<int>(cudaGetLastError());
}

void update_on_device(const memory::detail::SlotUpdate& update) {
    ASSERT_EQ(memory::cuda::update_slots(update, nullptr), 0);
}

}  // namespace memcap::test

int main(int argc, char** argv) {
    ::testing::InitGoogleTest(&argc, argv);
    memcap::nn::detail::DeviceRuntime runtime{.kernels = memcap::nn::cuda::kernels(),
                                              .make_recorder = memcap::test::make_host_recorder};
    runtime.kernels.on_host = true;
    memcap::nn::detail::set_device_runtime(runtime);
    return RUN_ALL_TESTS();
}
