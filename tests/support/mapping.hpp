// What stands behind an address of this process.
#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace memcap::test {

/// The line of /proc/self/maps for an address, "none" if it is not mapped.
inline std::string mapping_of(const void* pointer) {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::uintptr_t first = 0;
        std::uintptr_t last = 0;
        char dash = 0;
        std::istringstream(line) >> std::hex >> first >> dash >> last;
        if (first <= address && address < last) return line;
    }
    return "none";
}

/// The inode of the file or the memory that is mapped there.
inline std::string mapped_inode(const void* pointer) {
    std::istringstream line(mapping_of(pointer));
    std::string addresses, rights, offset, device, inode;
    line >> addresses >> rights >> offset >> device >> inode;
    return inode;
}

}  // namespace memcap::test
