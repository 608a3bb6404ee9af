// Access to GPUs in a build without CUDA: there is none.
#include "weights/device_calls.hpp"

namespace memcap::weights {

DeviceAccess device_access(int) {
    return {};
}

}  // namespace memcap::weights
