// The C library's calls under the same names: those of the test program go before those of the library.
#include "journal/faults/faulty_files.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace memcap::store::testing {

namespace {

template <class Function>
Function* real(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

using Content = std::vector<char>;

struct TrackedFile {
    Content synced;
    bool name_is_durable = false;
};

struct State {
    std::string folder;
    Fault fault;
    int calls = 0;
    bool failed = false;
    std::map<int, std::string> descriptors;
    std::map<std::string, TrackedFile> files;
};
std::optional<State> state;

Content content_of(const std::string& path) {
    Content content;
    const int descriptor = real<int(const char*, int, ...)>("open")(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return content;
    struct stat facts {};
    if (::fstat(descriptor, &facts) == 0) content.resize(static_cast<std::size_t>(facts.st_size));
    const auto count = ::pread(descriptor, content.data(), content.size(), 0);
    content.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    ::close(descriptor);
    return content;
}

void put_content(const std::string& path, const Content& content) {
    const int descriptor =
        real<int(const char*, int, ...)>("open")(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (descriptor < 0) return;
    [[maybe_unused]] const auto count =
        real<ssize_t(int, const void*, size_t)>("write")(descriptor, content.data(), content.size());
    ::close(descriptor);
}

/// What is on the disk of a file of which `now` was written and `synced` was synced.
Content after_power_cut(const Content& now, const Content& synced, std::mt19937_64& random) {
    constexpr std::size_t kBlock = 512;
    Content left = now;
    if (now.size() != synced.size() && random() % 3 == 0) left.resize(synced.size());
    for (std::size_t at = 0; at < left.size(); at += kBlock) {
        const std::size_t end = std::min(at + kBlock, left.size());
        const auto former = [&](std::size_t byte) { return byte < synced.size() ? synced[byte] : '\0'; };
        bool changed = false;
        for (std::size_t byte = at; byte < end; ++byte) changed |= left[byte] != former(byte);
        const auto fate = random() % 3;
        if (!changed || fate == 0) continue;
        for (std::size_t byte = at; byte < end; ++byte) {
            // A disk writes garbage over what it was told to write, not over what was there.
            const bool grew = byte >= synced.size() || left[byte] != synced[byte];
            left[byte] = fate == 2 && grew ? static_cast<char>(random()) : former(byte);
        }
    }
    return left;
}

[[noreturn]] void cut_power() {
    std::mt19937_64 random(state->fault.seed);
    for (const auto& [path, file] : state->files) {
        if (!file.name_is_durable && random() % 2 == 0) {
            real<int(const char*)>("unlink")(path.c_str());
        } else {
            put_content(path, after_power_cut(content_of(path), file.synced, random));
        }
    }
    std::_Exit(kPowerCut);
}

bool is_below(const char* path) {
    return state && std::string_view(path).starts_with(state->folder);
}

/// Counts a call; true if it is to fail.
bool fails() {
    if (state->fault.kind == FaultKind::power_cut) return false;
    ++state->calls;
    const bool is_it = state->fault.lasts == FaultLasts::once ? state->calls == state->fault.call
                                                              : state->calls >= state->fault.call;
    state->failed |= is_it;
    if (is_it) errno = state->fault.kind == FaultKind::io_error ? EIO : ENOSPC;
    return is_it;
}

bool fails(int descriptor) {
    return state && state->descriptors.contains(descriptor) && fails();
}

int opened(int descriptor, const char* path, bool is_new) {
    if (descriptor < 0) return descriptor;
    state->descriptors[descriptor] = path;
    struct stat facts {};
    if (::fstat(descriptor, &facts) != 0 || !S_ISREG(facts.st_mode)) return descriptor;
    state->files.try_emplace(
        path, TrackedFile{.synced = is_new ? Content{} : content_of(path), .name_is_durable = !is_new});
    return descriptor;
}

/// Nothing is brought to a disk in truth: it would only cost time.
int synced(int descriptor) {
    const auto found = state->descriptors.find(descriptor);
    if (state->fault.kind == FaultKind::power_cut && ++state->calls == state->fault.call) cut_power();
    if (found == state->descriptors.end()) return 0;
    const std::string& path = found->second;
    if (const auto file = state->files.find(path); file != state->files.end()) {
        file->second.synced = content_of(path);
        return 0;
    }
    for (auto& [name, file] : state->files) {
        if (std::filesystem::path(name).parent_path() == path) file.name_is_durable = true;
    }
    return 0;
}

}  // namespace

FaultyFiles::FaultyFiles(const std::filesystem::path& folder, const Fault& fault) {
    state.emplace();
    state->folder = folder.string();
    state->fault = fault;
}

FaultyFiles::~FaultyFiles() {
    state.reset();
}

void FaultyFiles::fail_next() {
    state->fault.call = state->calls + 1;
}

bool FaultyFiles::has_failed() const {
    return state->failed;
}

}  // namespace memcap::store::testing

using namespace memcap::store::testing;

extern "C" {

int open(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    const auto call = real<int(const char*, int, ...)>("open");
    if (!is_below(path)) return call(path, flags, mode);
    const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_DIRECTORY) != 0;
    if (!writes) return call(path, flags, mode);
    if (fails()) return -1;
    const bool is_new = ::access(path, F_OK) != 0;
    return opened(call(path, flags, mode), path, is_new);
}

int close(int descriptor) {
    if (state) state->descriptors.erase(descriptor);
    return real<int(int)>("close")(descriptor);
}

ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
    const auto call = real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
    if (!fails(descriptor)) return call(descriptor, bytes, size, offset);
    const bool is_first = state->calls == state->fault.call;
    if (state->fault.kind == FaultKind::short_write && is_first && size > 1)
        return call(descriptor, bytes, size / 2, offset);
    return -1;
}

ssize_t write(int descriptor, const void* bytes, size_t size) {
    const auto call = real<ssize_t(int, const void*, size_t)>("write");
    if (!fails(descriptor)) return call(descriptor, bytes, size);
    const bool is_first = state->calls == state->fault.call;
    if (state->fault.kind == FaultKind::short_write && is_first && size > 1)
        return call(descriptor, bytes, size / 2);
    return -1;
}

int ftruncate(int descriptor, off_t size) {
    return fails(descriptor) ? -1 : real<int(int, off_t)>("ftruncate")(descriptor, size);
}

int truncate(const char* path, off_t size) {
    return is_below(path) && fails() ? -1 : real<int(const char*, off_t)>("truncate")(path, size);
}

int unlink(const char* path) {
    if (is_below(path) && fails()) return -1;
    if (state) state->files.erase(path);
    return real<int(const char*)>("unlink")(path);
}

int rename(const char* from, const char* to) {
    if (is_below(to) && fails()) return -1;
    const int result = real<int(const char*, const char*)>("rename")(from, to);
    if (result != 0 || !is_below(to)) return result;
    if (auto moved = state->files.extract(from)) {
        state->files.erase(to);
        moved.key() = to;
        state->files.insert(std::move(moved));
    }
    for (auto& [descriptor, path] : state->descriptors) {
        if (path == from) path = to;
    }
    return result;
}

int fsync(int descriptor) {
    if (!state || !state->descriptors.contains(descriptor)) return real<int(int)>("fsync")(descriptor);
    return fails(descriptor) ? -1 : synced(descriptor);
}

int fdatasync(int descriptor) {
    if (!state || !state->descriptors.contains(descriptor)) return real<int(int)>("fdatasync")(descriptor);
    return fails(descriptor) ? -1 : synced(descriptor);
}
}
