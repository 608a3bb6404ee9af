// The CUDA side of the seam: graphs, the count of synchronisations, device names. Only programs with CUDA
// link it.
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/util/Exception.h>

#include <exception>
#include <map>
#include <memory>
#include <optional>

#include "memcap/base/errors.hpp"
#include "memcap/nn/cuda.hpp"
#include "nn/detail/device_runtime.hpp"

namespace memcap::nn {

namespace {

using Pool = std::shared_ptr<const c10::MempoolId_t>;

/// The memory that the living recordings of a device share: what a step leaves there is of no use to the next
/// one, and steps run one behind the other. A pool that no recording uses is never taken up again.
Pool shared_pool(at::Device device) {
    static std::map<c10::DeviceIndex, std::weak_ptr<const c10::MempoolId_t>> pools;
    Pool pool = pools[device.index()].lock();
    if (pool == nullptr) {
        pool = std::make_shared<const c10::MempoolId_t>(at::cuda::graph_pool_handle());
        pools[device.index()] = pool;
    }
    return pool;
}

/// Records on a stream of its own, as cudaStreamBeginCapture demands. One thread at a time may record.
class GraphRecorder final : public StepRecorder {
  public:
    explicit GraphRecorder(at::Device device)
        : device_(device), stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())) {}

    void record(const std::function<void()>& step, int warm_ups) override {
        graph_.reset();
        pool_.reset();
        const c10::cuda::CUDAGuard on_device(device_);
        hand_over(c10::cuda::getCurrentCUDAStream(device_.index()), stream_);
        const c10::cuda::CUDAStream before = c10::cuda::getCurrentCUDAStream(device_.index());
        {
            const c10::cuda::CUDAStreamGuard on_stream(stream_);
            // Handles, workspaces and plans are made by the first runs; a recording could not make them.
            for (int i = 0; i < warm_ups; ++i) step();
            c10::cuda::device_synchronize();
            // What these runs took is given back: the recording takes as much once more, and cannot ask for
            // it.
            c10::cuda::CUDACachingAllocator::emptyCache();
            pool_ = shared_pool(device_);
            graph_.emplace();
            // Other threads of this process (a transport's, say) may go on using CUDA meanwhile.
            graph_->capture_begin(*pool_, cudaStreamCaptureModeThreadLocal);
            try {
                step();
            } catch (const c10::OutOfMemoryError&) {
                abandon();
                throw;
            } catch (const std::exception& error) {
                abandon();
                throw DeviceError(
                    {.what = "the step could not be recorded as a CUDA graph",
                     .where = device_.str(),
                     .why = error.what(),
                     .advice = "A step may neither wait for the device nor use numbers of the host"});
            }
            graph_->capture_end();
        }
        hand_over(stream_, before);
    }

    void replay() override {
        const c10::cuda::CUDAGuard on_device(device_);
        graph_->replay();
    }

  private:
    /// What `next` is given from now on waits for what `former` was given so far.
    static void hand_over(const c10::cuda::CUDAStream& former, const c10::cuda::CUDAStream& next) {
        at::cuda::CUDAEvent event;
        event.record(former);
        event.block(next);
    }

    /// Ends a recording that went wrong; the stream must not stay in capture.
    void abandon() noexcept {
        try {
            graph_->capture_end();
        } catch (const std::exception&) {
            // The recording was invalid already; the error that made it so is on its way.
        }
        graph_.reset();
    }

    at::Device device_;
    c10::cuda::CUDAStream stream_;
    Pool pool_;  ///< outlives the graph, which counts itself out of it
    std::optional<at::cuda::CUDAGraph> graph_;
};

std::unique_ptr<StepRecorder> make_recorder(at::Device device) {
    return std::make_unique<GraphRecorder>(device);
}

/// Counts libtorch's warnings about synchronising operations; those of backward threads arrive here too.
class CountingHandler final : public c10::WarningHandler {
  public:
    void process(const c10::Warning& warning) override {
        if (warning.msg().find("synchronizing CUDA operation") != std::string::npos) ++count_;
    }
    std::int64_t count() const { return count_; }

  private:
    std::int64_t count_ = 0;
};

std::int64_t host_synchronisations(const std::function<void()>& work) {
    auto& state = c10::cuda::warning_state();
    const auto mode = state.get_sync_debug_mode();
    CountingHandler counter;
    {
        const c10::WarningUtils::WarningHandlerGuard counting(&counter);
        const c10::WarningUtils::WarnAlways each_time(true);
        state.set_sync_debug_mode(c10::cuda::SyncDebugMode::L_WARN);
        try {
            work();
        } catch (...) {
            state.set_sync_debug_mode(mode);
            throw;
        }
        state.set_sync_debug_mode(mode);
    }
    return counter.count();
}

std::string device_name(at::Device device) {
    return at::cuda::getDeviceProperties(device.index())->name;
}

}  // namespace

void use_cuda() {
    detail::set_device_runtime({.kernels = cuda::kernels(),
                                .make_recorder = make_recorder,
                                .host_synchronisations = host_synchronisations,
                                .device_name = device_name});
}

}  // namespace memcap::nn
