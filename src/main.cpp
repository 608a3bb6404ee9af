// The executable: everything is in the app layer.
#include "memcap/app/command_line.hpp"
#include "memcap/base/environment.hpp"

// Before any library is initialised: OpenMP reads its variables then.
[[gnu::section(".preinit_array"), gnu::used]] const auto kBeforeLibraries = &memcap::settle_environment;

int main(int argc, char** argv) {
    return memcap::app::run_command_line(argc, argv);
}
