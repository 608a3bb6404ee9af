// Which build of the program this is.
#pragma once

#include <string>

namespace memcap {

/// The GNU build ID of the running executable: a hash of what it was linked from, in hexadecimal digits;
/// empty where the linker left none.
std::string build_id();

}  // namespace memcap
