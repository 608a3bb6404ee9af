// Fuzz target: config.json.
#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz/readers.hpp"

// The name is libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    memcap::fuzz::read_config(std::as_bytes(std::span(data, size)));
    return 0;
}
