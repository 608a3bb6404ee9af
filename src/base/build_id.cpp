// The note that the linker leaves in the executable, as it lies in memory: no file is read.
#include "memcap/base/build_id.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <link.h>

#include <cstddef>
#include <cstring>
#include <span>

namespace memcap {

namespace {

/// Name and content of a note are padded to multiples of this.
constexpr std::size_t kAlignment = 4;

std::size_t padded(std::size_t size) {
    return (size + kAlignment - 1) / kAlignment * kAlignment;
}

/// The build ID among the notes of a segment.
std::string id_among(std::span<const unsigned char> notes) {
    ElfW(Nhdr) header{};
    while (notes.size() >= sizeof(header)) {
        std::memcpy(&header, notes.data(), sizeof(header));
        const std::size_t content = sizeof(header) + padded(header.n_namesz);
        const std::size_t end = content + padded(header.n_descsz);
        if (end > notes.size()) break;
        if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == sizeof(ELF_NOTE_GNU) &&
            std::memcmp(notes.data() + sizeof(header), ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0) {
            std::string digits;
            for (const unsigned char byte : notes.subspan(content, header.n_descsz))
                digits += fmt::format("{:02x}", byte);
            return digits;
        }
        notes = notes.subspan(end);
    }
    return {};
}

/// The first object is the executable.
int look_at_first(dl_phdr_info* object, std::size_t /*size*/, void* found) {
    for (const auto& segment : std::span(object->dlpi_phdr, object->dlpi_phnum)) {
        if (segment.p_type != PT_NOTE) continue;
        const auto address = object->dlpi_addr + segment.p_vaddr;
        const auto* notes =
            reinterpret_cast<const unsigned char*>(address);  // NOLINT(performance-no-int-to-ptr)
        auto& id = *static_cast<std::string*>(found);
        id = id_among({notes, segment.p_memsz});
        if (!id.empty()) break;
    }
    return 1;
}

}  // namespace

std::string build_id() {
    std::string id;
    dl_iterate_phdr(look_at_first, &id);
    return id;
}

}  // namespace memcap
