// A step of work that is recorded once and then started as a whole.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

namespace memcap::nn {

/// What records and replays on one kind of device.
class StepRecorder {
  public:
    virtual ~StepRecorder() = default;
    virtual void record(const std::function<void()>& step, int warm_ups) = 0;
    virtual void replay() = 0;
};

/// The whole step as one CUDA graph: one launch instead of one for each operation. On a CPU, and where the
/// program has no CUDA, replay() runs the function itself.
class StepGraph {
  public:
    explicit StepGraph(at::Device device);
    ~StepGraph();
    StepGraph(StepGraph&&) noexcept;
    StepGraph& operator=(StepGraph&&) noexcept;

    /// Runs `step` `warm_ups` times, then records it; what it did before is forgotten. The step reads and
    /// writes tensors that stay where they are as long as the graph lives; it may allocate others, but no
    /// number that changes from step to step may come from the host, and nothing in it may wait for the
    /// device: DeviceError otherwise. On a GPU the recording itself does not run the step.
    void capture(std::function<void()> step, int warm_ups = 3);
    /// Starts the recorded step and does not wait for it. Work that the current stream was given before comes
    /// first, work given to it afterwards comes later.
    void replay();
    bool captured() const { return static_cast<bool>(step_); }
    /// Whether replay() starts a recording rather than the function.
    bool on_device() const { return recorder_ != nullptr; }

  private:
    std::unique_ptr<StepRecorder> recorder_;  ///< null where replay() runs the function
    std::function<void()> step_;
};

/// Runs `work` and counts how often libtorch made the host wait for the device, or copied between them with a
/// wait; always 0 on a CPU. For tests: the count is taken process-wide.
std::int64_t host_synchronisations(at::Device device, const std::function<void()>& work);

}  // namespace memcap::nn
