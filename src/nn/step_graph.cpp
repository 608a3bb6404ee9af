// The part of a recorded step that does not depend on the device.
#include "memcap/nn/step_graph.hpp"

#include <utility>

#include "memcap/base/contracts.hpp"
#include "nn/detail/device_runtime.hpp"

namespace memcap::nn {

StepGraph::StepGraph(at::Device device) {
    const auto& runtime = detail::device_runtime();
    if (runtime.make_recorder != nullptr && detail::kernels_on(device) != nullptr)
        recorder_ = runtime.make_recorder(device);
}

StepGraph::~StepGraph() = default;
StepGraph::StepGraph(StepGraph&&) noexcept = default;
StepGraph& StepGraph::operator=(StepGraph&&) noexcept = default;

void StepGraph::capture(std::function<void()> step, int warm_ups) {
    MEMCAP_EXPECT(step && warm_ups >= 0);
    step_ = nullptr;
    if (recorder_ != nullptr) {
        recorder_->record(step, warm_ups);
    } else {
        for (int i = 0; i < warm_ups; ++i) step();
    }
    step_ = std::move(step);
}

void StepGraph::replay() {
    MEMCAP_EXPECT(captured());
    if (recorder_ != nullptr) {
        recorder_->replay();
    } else {
        step_();
    }
}

std::int64_t host_synchronisations(at::Device device, const std::function<void()>& work) {
    const auto& runtime = detail::device_runtime();
    if (device.is_cuda() && runtime.host_synchronisations != nullptr)
        return runtime.host_synchronisations(work);
    work();
    return 0;
}

}  // namespace memcap::nn
