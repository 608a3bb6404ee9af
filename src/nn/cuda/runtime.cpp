// The CUDA side of the seam: graphs, the count of synchronisations, device names. Only programs with CUDA
// link it.
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

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

/// What the recordings of a device share. The allocator gives a block of a pool only to the stream that had
/// it before, so they share the stream as well: then the memory that one leaves, or a dead one held, serves
/// the others, and there is one workspace of cuBLAS.
class RecordingPlace {
  public:
    explicit RecordingPlace(c10::DeviceIndex device)
        : stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device)) {}

    const c10::cuda::CUDAStream& stream() const { return stream_; }
    /// The memory that the living recordings share: what a step leaves there is of no use to the next one,
    /// and steps run one behind the other. A pool that no recording uses is never taken up again.
    Pool pool() {
        Pool pool = pool_.lock();
        if (pool == nullptr) {
            pool = std::make_shared<const c10::MempoolId_t>(at::cuda::graph_pool_handle());
            pool_ = pool;
        }
        return pool;
    }

  private:
    c10::cuda::CUDAStream stream_;
    std::weak_ptr<const c10::MempoolId_t> pool_;
};

/// One thread at a time may record.
RecordingPlace& place_of(at::Device device) {
    static std::map<c10::DeviceIndex, RecordingPlace> places;
    return places.try_emplace(device.index(), device.index()).first->second;
}

/// A graph whose recording can be given up wherever it went wrong. That of libtorch is ended only where CUDA
/// calls it valid: otherwise its allocators and its random numbers stay in a recording that is over.
class Recording final : public at::cuda::CUDAGraph {
  public:
    /// To be called on the recording's thread, before the end of this object.
    void abandon() noexcept {
        if (capture_ended_) return;  // only the instance is missing: the destructor gives all back
        cudaGraph_t unfinished = nullptr;
        if (cudaStreamEndCapture(capture_stream_, &unfinished) == cudaSuccess && unfinished != nullptr)
            cudaGraphDestroy(unfinished);
        cudaGetLastError();  // or the next operation of libtorch would fail for it
        for (const auto& [generator, increment] : captured_generator_states_) generator->capturing_ = false;
        auto& memory = *c10::cuda::CUDACachingAllocator::get();
        leave([&] { memory.endAllocateToPool(capture_dev_, mempool_id_); },
              [&] { memory.releasePool(capture_dev_, mempool_id_); });
        auto& host_memory = *at::getHostAllocator(at::kCUDA);
        leave([&] { host_memory.end_allocate_to_pool(mempool_id_); },
              [&] { host_memory.release_pool(mempool_id_); });
    }

  private:
    /// Takes an allocator out of the recording's pool, if it was in it.
    template <class End, class Release>
    static void leave(const End& end, const Release& release) noexcept {
        try {
            end();
            release();
        } catch (const std::exception&) {
            // It had not got there, or had left before.
        }
    }
};

/// A shortage of memory that comes as an error of CUDA, not of the allocator.
bool is_shortage(const std::exception& problem) {
    const auto* error = dynamic_cast<const c10::AcceleratorError*>(&problem);
    return error != nullptr && error->get_error_code() == cudaErrorMemoryAllocation;
}

/// Records on the device's stream for it, since cudaStreamBeginCapture refuses the default one.
class GraphRecorder final : public StepRecorder {
  public:
    explicit GraphRecorder(at::Device device) : device_(device) {}

    void record(const std::function<void()>& step, int warm_ups) override {
        forget();
        const c10::cuda::CUDAGuard on_device(device_);
        const c10::cuda::CUDAStream stream = place_of(device_).stream();
        const c10::cuda::CUDAStream before = c10::cuda::getCurrentCUDAStream(device_.index());
        hand_over(before, stream);
        try {
            const c10::cuda::CUDAStreamGuard on_stream(stream);
            // Handles, workspaces and plans are made by the first runs; a recording could not make them.
            for (int i = 0; i < warm_ups; ++i) step();
            c10::cuda::device_synchronize();
            // What these runs took is given back: the recording takes as much once more, and cannot ask for
            // it.
            c10::cuda::CUDACachingAllocator::emptyCache();
            record_once(step);
        } catch (...) {
            // What the runs had given to the stream is still on its way.
            hand_over(stream, before);
            throw;
        }
        hand_over(stream, before);
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

    void record_once(const std::function<void()>& step) {
        pool_ = place_of(device_).pool();
        graph_.emplace();
        try {
            // Other threads of this process (a transport's, say) may go on using CUDA meanwhile.
            graph_->capture_begin(*pool_, cudaStreamCaptureModeThreadLocal);
            step();
            graph_->capture_end();
        } catch (const c10::OutOfMemoryError&) {
            abandon();
            throw;
        } catch (const std::exception& error) {
            abandon();
            TORCH_CHECK_WITH(OutOfMemoryError, !is_shortage(error), error.what());
            throw DeviceError(
                {.what = "the step could not be recorded as a CUDA graph",
                 .where = device_.str(),
                 .why = error.what(),
                 .advice = "A step may neither wait for the device nor use numbers of the host"});
        }
    }

    /// Ends a recording that went wrong: the stream must not stay in it, nor the allocator.
    void abandon() noexcept {
        graph_->abandon();
        forget();
    }

    void forget() noexcept {
        graph_.reset();
        pool_.reset();
    }

    at::Device device_;
    Pool pool_;  ///< outlives the graph, which counts itself out of it
    std::optional<Recording> graph_;
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

std::string device_uuid(at::Device device) {
    const cudaUUID_t& uuid = at::cuda::getDeviceProperties(device.index())->uuid;
    std::string text = "GPU";
    // Groups of 4, 2, 2, 2 and 6 bytes.
    for (std::size_t i = 0; i < sizeof(uuid.bytes); ++i) {
        const bool begins_group = i == 0 || i == 4 || i == 6 || i == 8 || i == 10;
        text += fmt::format("{}{:02x}", begins_group ? "-" : "", static_cast<unsigned char>(uuid.bytes[i]));
    }
    return text;
}

}  // namespace

void use_cuda() {
    detail::set_device_runtime({.kernels = cuda::kernels(),
                                .make_recorder = make_recorder,
                                .host_synchronisations = host_synchronisations,
                                .device_name = device_name,
                                .device_uuid = device_uuid});
}

}  // namespace memcap::nn
