// The executable with CUDA: everything is in the app layer, and here the kernels for GPUs join it.
#include "memcap/app/command_line.hpp"
#include "memcap/base/environment.hpp"
#include "memcap/memory/cuda.hpp"
#include "memcap/nn/cuda.hpp"

// Before any library is initialised: OpenMP reads its variables then.
[[gnu::section(".preinit_array"), gnu::used]] const auto kBeforeLibraries = &memcap::settle_environment;

int main(int argc, char** argv) {
    memcap::nn::use_cuda();
    memcap::memory::use_cuda();
    return memcap::app::run_command_line(argc, argv);
}
