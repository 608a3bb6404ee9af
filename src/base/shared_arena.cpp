// Sealed anonymous memory (memfd), found by other processes through a small locked file that says who holds
// it.
#include "memcap/base/shared_arena.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <new>
#include <sstream>
#include <utility>
#include <vector>

#include "memcap/base/bytes.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/host.hpp"

namespace memcap {

namespace {

constexpr std::size_t kAlignment = 64;
// The first bytes: where the table of regions begins and how long it is.
constexpr std::size_t kPreambleBytes = 64;

std::size_t rounded_up(std::size_t size_bytes, std::size_t unit) {
    return (size_bytes + unit - 1) / unit * unit;
}

/// A process that holds the memory, and which of its descriptors is it; device and inode tell it from a
/// later process or file of the same numbers.
struct Holder {
    long process = 0;
    int descriptor = -1;
    std::uintmax_t device = 0;
    std::uintmax_t inode = 0;

    std::string path() const { return fmt::format("/proc/{}/fd/{}", process, descriptor); }
    bool is_there() const {
        struct stat facts {};
        return ::stat(path().c_str(), &facts) == 0 && facts.st_dev == device && facts.st_ino == inode;
    }
};

std::vector<Holder> read_holders(int file) {
    std::string text(65536, '\0');
    const ssize_t size_bytes = ::pread(file, text.data(), text.size(), 0);
    std::istringstream lines(text.substr(0, static_cast<std::size_t>(std::max<ssize_t>(size_bytes, 0))));
    std::vector<Holder> holders;
    Holder holder;
    while (lines >> holder.process >> holder.descriptor >> holder.device >> holder.inode) {
        if (holder.is_there()) holders.push_back(holder);
    }
    return holders;
}

void write_holders(int file, const std::vector<Holder>& holders) {
    std::string text;
    for (const auto& holder : holders) {
        text += fmt::format("{} {} {} {}\n", holder.process, holder.descriptor, holder.device, holder.inode);
    }
    // A register that cannot be written makes the next process a maker of its own: no error.
    if (::ftruncate(file, 0) != 0 || ::pwrite(file, text.data(), text.size(), 0) < 0) return;
}

/// Opens and locks the register; -1 and the reason if that cannot be.
int open_locked(const std::string& path, std::string& why) {
    while (true) {
        const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        struct stat facts {};
        if (file < 0 || ::fstat(file, &facts) != 0) {
            why = fmt::format("cannot open {}: {}", path, std::strerror(errno));
            if (file >= 0) ::close(file);
            return -1;
        }
        if (facts.st_uid != ::geteuid()) {
            why = fmt::format("{} belongs to another user", path);
            ::close(file);
            return -1;
        }
        int locked = 0;
        do locked = ::flock(file, LOCK_EX);
        while (locked != 0 && errno == EINTR);
        if (locked != 0) {
            why = fmt::format("cannot lock {}: {}", path, std::strerror(errno));
            ::close(file);
            return -1;
        }
        // Whoever held the lock may have removed the file: then the lock is that of a file without a name.
        if (::fstat(file, &facts) == 0 && facts.st_nlink > 0) return file;
        ::close(file);
    }
}

}  // namespace

std::shared_ptr<SharedArena> SharedArena::open(const std::string& key, std::size_t most_bytes) {
    std::shared_ptr<SharedArena> arena(new SharedArena());
    std::error_code problem;
    auto folder = std::filesystem::temp_directory_path(problem);
    if (problem) folder = "/tmp";
    // The folder may be one that nodes share; locks and processes are of one node.
    const std::string name = sha256_hex(as_bytes(key + " on " + host_name())).substr(0, 24);
    arena->key_ = key;
    arena->register_path_ = folder / fmt::format("memcap-{}-{}", ::geteuid(), name);
    arena->register_ = open_locked(arena->register_path_, arena->why_alone_);
    if (arena->register_ >= 0 && arena->join(key)) return arena;
    arena->make(key, most_bytes);
    return arena;
}

bool SharedArena::join(const std::string& key) {
    for (const auto& holder : read_holders(register_)) {
        // is_there() has seen the memory itself behind this path, so opening it cannot block or fail oddly.
        memory_ = ::open(holder.path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (memory_ >= 0 && adopt(memory_, key)) {
            enlist();
            ::flock(register_, LOCK_UN);
            return true;
        }
        if (memory_ >= 0) ::close(std::exchange(memory_, -1));
    }
    return false;
}

/// Maps published memory and reads its table; false if it is not what the key says.
bool SharedArena::adopt(int memory, const std::string& key) {
    struct stat facts {};
    constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK;
    if (::fstat(memory, &facts) != 0 || (::fcntl(memory, F_GET_SEALS) & kSeals) != kSeals) return false;
    const auto size_bytes = static_cast<std::size_t>(facts.st_size);
    void* address = ::mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, memory, 0);
    if (address == MAP_FAILED) return false;
    base_ = static_cast<std::byte*>(address);
    mapped_bytes_ = size_bytes;
    const std::span<const std::byte> all(base_, size_bytes);
    try {
        ByteReader preamble(all.first(kPreambleBytes));
        const auto table_offset = preamble.number<std::uint64_t>();
        ByteReader table(all.subspan(table_offset, preamble.number<std::uint64_t>()));
        if (table.text() != key)
            throw TransportError({.what = "another key", .where = {}, .why = {}, .advice = {}});
        for (auto count = table.number<std::uint64_t>(); count > 0; --count) {
            const std::string name = table.text();
            const auto offset = table.number<std::uint64_t>();
            regions_[name] = {offset, table.number<std::uint64_t>()};
        }
    } catch (const TransportError&) {
        ::munmap(std::exchange(base_, nullptr), std::exchange(mapped_bytes_, 0));
        regions_.clear();
        return false;
    }
    used_bytes_ = size_bytes;
    return true;
}

void SharedArena::make(const std::string& key, std::size_t most_bytes) {
    making_ = true;
    // The table of regions comes behind them; it is small beside any weights.
    constexpr std::size_t kTableBytes = std::size_t{16} << 20U;
    const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    mapped_bytes_ = rounded_up(most_bytes + kPreambleBytes + kTableBytes, page_bytes);
    if (register_ >= 0) {
        memory_ = ::memfd_create(fmt::format("memcap {}", key.substr(0, 100)).c_str(),
                                 MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (memory_ < 0 || ::ftruncate(memory_, static_cast<off_t>(mapped_bytes_)) != 0) {
            why_alone_ = fmt::format("the system gives no shared memory: {}", std::strerror(errno));
            if (memory_ >= 0) ::close(std::exchange(memory_, -1));
            ::close(std::exchange(register_, -1));
        }
    }
    const int flags = memory_ >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    void* address = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, memory_, 0);
    if (address == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(address);
    used_bytes_ = kPreambleBytes;
}

std::optional<std::span<std::byte>> SharedArena::find(const std::string& name) const {
    const auto found = regions_.find(name);
    if (found == regions_.end()) return std::nullopt;
    return std::span(base_ + found->second.offset, found->second.size_bytes);
}

std::span<std::byte> SharedArena::add(const std::string& name, std::size_t size_bytes) {
    MEMCAP_EXPECT(making_ && !regions_.contains(name));
    const std::size_t offset = rounded_up(used_bytes_, kAlignment);
    if (size_bytes > mapped_bytes_ || offset > mapped_bytes_ - size_bytes) throw std::bad_alloc();
    used_bytes_ = offset + size_bytes;
    regions_[name] = {offset, size_bytes};
    return {base_ + offset, size_bytes};
}

void SharedArena::publish() {
    if (!std::exchange(making_, false)) return;
    ByteWriter table;
    table.text(key_);
    table.number(static_cast<std::uint64_t>(regions_.size()));
    for (const auto& [name, region] : regions_) {
        table.text(name);
        table.number(static_cast<std::uint64_t>(region.offset));
        table.number(static_cast<std::uint64_t>(region.size_bytes));
    }
    const std::size_t table_offset = rounded_up(used_bytes_, kAlignment);
    const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t whole = rounded_up(table_offset + table.bytes().size(), page_bytes);
    if (whole > mapped_bytes_) throw std::bad_alloc();
    std::memcpy(base_ + table_offset, table.bytes().data(), table.bytes().size());
    const std::uint64_t preamble[] = {table_offset, table.bytes().size()};
    std::memcpy(base_, preamble, sizeof(preamble));
    ::munmap(base_ + whole, mapped_bytes_ - whole);
    mapped_bytes_ = whole;
    if (memory_ < 0) {
        ::mprotect(base_, whole, PROT_READ);
        return;
    }
    if (!seal(whole)) why_alone_ = fmt::format("the system does not seal memory: {}", std::strerror(errno));
    if (why_alone_.empty()) enlist();
    ::flock(register_, LOCK_UN);
}

/// Exchanges the writable mapping, which would forbid the seal, for a read-only one at the same address.
bool SharedArena::seal(std::size_t whole) {
    const int readable = ::open(fmt::format("/proc/self/fd/{}", memory_).c_str(), O_RDONLY | O_CLOEXEC);
    if (readable < 0) return false;
    // Piece by piece: while one is exchanged, a tenth of a second a gigabyte, no thread of this process can
    // map or first touch memory.
    constexpr std::size_t kPieceBytes = std::size_t{64} << 20U;
    for (std::size_t at = 0; at < whole; at += kPieceBytes) {
        void* again = ::mmap(base_ + at, std::min(kPieceBytes, whole - at), PROT_READ, MAP_SHARED | MAP_FIXED,
                             readable, static_cast<off_t>(at));
        if (again == MAP_FAILED) throw std::bad_alloc();
    }
    const bool sealed = ::ftruncate(memory_, static_cast<off_t>(whole)) == 0 &&
                        ::fcntl(memory_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0;
    ::close(std::exchange(memory_, readable));
    return sealed;
}

/// Puts this process into the register, which the caller has locked.
void SharedArena::enlist() const {
    struct stat facts {};
    if (::fstat(memory_, &facts) != 0) return;
    auto holders = read_holders(register_);
    holders.push_back({::getpid(), memory_, facts.st_dev, facts.st_ino});
    write_holders(register_, holders);
}

/// Removes the register if nobody else holds the memory or waits for it.
void SharedArena::delist() const {
    if (::flock(register_, LOCK_EX | LOCK_NB) != 0) return;
    auto holders = read_holders(register_);
    std::erase_if(holders, [this](const Holder& holder) {
        return holder.process == ::getpid() && holder.descriptor == memory_;
    });
    write_holders(register_, holders);
    if (holders.empty()) ::unlink(register_path_.c_str());
}

SharedArena::~SharedArena() {
    if (base_ != nullptr) ::munmap(base_, mapped_bytes_);
    if (register_ >= 0) delist();
    if (memory_ >= 0) ::close(memory_);
    // Closing it gives up the lock of a maker that did not come to publish().
    if (register_ >= 0) ::close(register_);
}

}  // namespace memcap
