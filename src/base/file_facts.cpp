// fstat and stat as FileFacts.
#include "memcap/base/file_facts.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>

#include "memcap/base/errors.hpp"
#include "memcap/base/host.hpp"

namespace memcap {

namespace {

std::int64_t nanoseconds(const timespec& time) {
    constexpr std::int64_t kPerSecond = 1'000'000'000;
    return time.tv_sec * kPerSecond + time.tv_nsec;
}

FileFacts facts_of(const struct stat& facts) {
    return {.device = facts.st_dev,
            .inode = facts.st_ino,
            .size_bytes = static_cast<std::uint64_t>(facts.st_size),
            .modified_ns = nanoseconds(facts.st_mtim),
            .changed_ns = nanoseconds(facts.st_ctim)};
}

}  // namespace

std::string FileFacts::text() const {
    return fmt::format("{}:{}:{}:{}:{}", device, inode, size_bytes, modified_ns, changed_ns);
}

std::optional<FileFacts> facts_of_descriptor(int descriptor) {
    struct stat facts {};
    if (::fstat(descriptor, &facts) != 0) return std::nullopt;
    return facts_of(facts);
}

std::optional<FileFacts> facts_of_file(const std::filesystem::path& path) {
    struct stat facts {};
    if (::stat(path.c_str(), &facts) != 0) return std::nullopt;
    return facts_of(facts);
}

void require_facts(const std::filesystem::path& path, int descriptor, const FileFacts& facts) {
    if (facts_of_descriptor(descriptor) == facts) return;
    throw DataError(
        path, {.what = fmt::format("the file was changed or replaced on {} while it was read", host_name()),
               .where = {},
               .why = "what was read may be of two versions",
               .advice = "Leave it as it is while memcap runs, and run again"});
}

bool KnownFile::vouches_for(const FileFacts& opened) const {
    return place == this_place() && facts == opened;
}

const std::string& this_place() {
    static const std::string place = [] {
        std::string started;
        std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), started);
        return node_name() + " " + started;
    }();
    return place;
}

}  // namespace memcap
