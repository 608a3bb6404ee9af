// NCCL, loaded when it is first asked for, and the CUDA runtime behind DeviceCalls.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <nccl.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "memcap/base/errors.hpp"
#include "memcap/base/log.hpp"
#include "weights/device_calls.hpp"

namespace memcap::weights {

namespace {

// The first version with communicators that do not block.
constexpr int kLeastVersion = NCCL_VERSION(2, 14, 0);

/// The functions of libnccl that are called here. memcap is not linked to it: a machine without NCCL runs
/// memcap all the same.
struct NcclLibrary {
    decltype(&ncclGetVersion) get_version = nullptr;
    decltype(&ncclGetUniqueId) get_unique_id = nullptr;
    decltype(&ncclGetErrorString) get_error_string = nullptr;
    decltype(&ncclCommInitRankConfig) init_rank_config = nullptr;
    decltype(&ncclCommGetAsyncError) get_async_error = nullptr;
    decltype(&ncclBroadcast) broadcast = nullptr;
    decltype(&ncclCommFinalize) finalize = nullptr;
    decltype(&ncclCommDestroy) destroy = nullptr;
    decltype(&ncclCommAbort) abort = nullptr;
    std::string problem;  ///< why it cannot be used; empty if it can

    NcclLibrary() {
        void* library = ::dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            problem = ::dlerror();
            return;
        }
        load(library, "ncclGetVersion", get_version);
        load(library, "ncclGetUniqueId", get_unique_id);
        load(library, "ncclGetErrorString", get_error_string);
        load(library, "ncclCommInitRankConfig", init_rank_config);
        load(library, "ncclCommGetAsyncError", get_async_error);
        load(library, "ncclBroadcast", broadcast);
        load(library, "ncclCommFinalize", finalize);
        load(library, "ncclCommDestroy", destroy);
        load(library, "ncclCommAbort", abort);
        int version = 0;
        if (problem.empty() && (get_version(&version) != ncclSuccess || version < kLeastVersion)) {
            problem = fmt::format("NCCL {} is too old", version);
        }
    }

  private:
    template <class Function>
    void load(void* library, const char* name, Function& function) {
        function = reinterpret_cast<Function>(::dlsym(library, name));
        if (function == nullptr) problem = fmt::format("{} is missing", name);
    }
};

const NcclLibrary& nccl() {
    static const NcclLibrary library;
    return library;
}

[[noreturn]] void fail(const char* what, const std::string& why) {
    throw DeviceError({.what = what, .where = {}, .why = why, .advice = {}});
}

void require(cudaError_t code, const char* what) {
    if (code != cudaSuccess) fail(what, cudaGetErrorString(code));
}

CallState state_of(ncclResult_t code) {
    if (code == ncclSuccess) return {};
    if (code == ncclInProgress) return {CallState::Kind::in_progress, {}};
    return {CallState::Kind::failed, nccl().get_error_string(code)};
}

CallState state_of(cudaError_t code) {
    if (code == cudaSuccess) return {};
    if (code == cudaErrorNotReady) return {CallState::Kind::in_progress, {}};
    return {CallState::Kind::failed, cudaGetErrorString(code)};
}

class CudaCalls final : public DeviceCalls {
  public:
    explicit CudaCalls(int device) : device_(device) {}
    ~CudaCalls() override {
        if (stream_ == nullptr) return;
        abort();
        for (const auto& buffer : buffers_) {
            cudaFreeHost(buffer.host);
            cudaFree(buffer.device);
            if (buffer.mark != nullptr) cudaEventDestroy(buffer.mark);
        }
        cudaStreamDestroy(stream_);
    }
    CudaCalls(const CudaCalls&) = delete;
    CudaCalls& operator=(const CudaCalls&) = delete;

    void prepare(std::size_t buffers, std::size_t buffer_bytes) override {
        require(cudaSetDevice(device_), "the GPU cannot be used");
        require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "no stream on the GPU");
        buffer_bytes_ = buffer_bytes;
        for (std::size_t i = 0; i < buffers; ++i) {
            Buffer& buffer = buffers_.emplace_back();
            require(cudaHostAlloc(&buffer.host, buffer_bytes, cudaHostAllocDefault), "no pinned memory");
            require(cudaMalloc(&buffer.device, buffer_bytes), "no memory on the GPU");
            require(cudaEventCreateWithFlags(&buffer.mark, cudaEventDisableTiming), "no event on the GPU");
        }
    }
    std::span<std::byte> host(std::size_t buffer) override {
        return {static_cast<std::byte*>(buffers_.at(buffer).host), buffer_bytes_};
    }

    CallState start_communicator(int ranks, const std::string& id, int rank) override {
        ncclUniqueId unique{};
        if (id.size() != sizeof(unique)) return {CallState::Kind::failed, "the id has another length"};
        std::memcpy(&unique, id.data(), sizeof(unique));
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 0;
        return state_of(nccl().init_rank_config(&communicator_, ranks, unique, rank, &config));
    }
    CallState communicator_state() override {
        if (communicator_ == nullptr) return {CallState::Kind::failed, "there is no communicator"};
        ncclResult_t behind = ncclSuccess;
        const ncclResult_t code = nccl().get_async_error(communicator_, &behind);
        return state_of(code == ncclSuccess ? behind : code);
    }
    CallState broadcast(std::size_t buffer, std::size_t size_bytes, int root) override {
        void* place = buffers_.at(buffer).device;
        return state_of(nccl().broadcast(place, place, size_bytes, ncclUint8, root, communicator_, stream_));
    }
    CallState finalize() override { return state_of(nccl().finalize(communicator_)); }
    void destroy() override {
        nccl().destroy(communicator_);
        communicator_ = nullptr;
    }
    void abort() override {
        if (communicator_ != nullptr) nccl().abort(communicator_);
        communicator_ = nullptr;
    }

    CallState copy_to_device(std::size_t buffer, std::size_t size_bytes) override {
        const Buffer& at = buffers_.at(buffer);
        return state_of(cudaMemcpyAsync(at.device, at.host, size_bytes, cudaMemcpyHostToDevice, stream_));
    }
    CallState copy_to_host(std::size_t buffer, std::size_t size_bytes) override {
        const Buffer& at = buffers_.at(buffer);
        return state_of(cudaMemcpyAsync(at.host, at.device, size_bytes, cudaMemcpyDeviceToHost, stream_));
    }
    CallState mark(std::size_t buffer) override {
        return state_of(cudaEventRecord(buffers_.at(buffer).mark, stream_));
    }
    CallState marked(std::size_t buffer) override {
        return state_of(cudaEventQuery(buffers_.at(buffer).mark));
    }

  private:
    struct Buffer {
        void* host = nullptr;
        void* device = nullptr;
        cudaEvent_t mark = nullptr;
    };

    int device_;
    std::size_t buffer_bytes_ = 0;
    std::vector<Buffer> buffers_;
    cudaStream_t stream_ = nullptr;
    ncclComm_t communicator_ = nullptr;
};

std::string make_id() {
    ncclUniqueId id{};
    const CallState state = state_of(nccl().get_unique_id(&id));
    if (state.kind != CallState::Kind::done) fail("NCCL makes no id", state.reason);
    return std::string(reinterpret_cast<const char*>(&id), sizeof(id));
}

}  // namespace

DeviceAccess device_access(int device) {
    if (device < 0) return {};
    if (const auto& problem = nccl().problem; !problem.empty()) {
        log::info(fmt::format("weights are not sent over NCCL: {}", problem));
        return {};
    }
    cudaDeviceProp facts{};
    if (cudaGetDeviceProperties(&facts, device) != cudaSuccess) return {};
    std::string uuid = "GPU-";
    for (const char byte : facts.uuid.bytes) uuid += fmt::format("{:02x}", static_cast<unsigned char>(byte));
    return {
        .uuid = uuid, .make_id = make_id, .open = [device] { return std::make_unique<CudaCalls>(device); }};
}

}  // namespace memcap::weights
