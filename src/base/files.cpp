// POSIX file operations behind the atomic writes.
#include "memcap/base/files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

namespace memcap {

namespace {

constexpr std::string_view kTemporaryEnd = ".memcap-tmp";

[[noreturn]] void fail(const std::filesystem::path& path, const char* action) {
    const std::string why = std::strerror(errno);
    throw StoreError(path, {.what = std::string("cannot ") + action,
                            .where = {},
                            .why = why,
                            .advice = "Check free space and permissions, then run again"});
}

/// Closes a descriptor at the end of a scope.
class Descriptor {
  public:
    Descriptor(const std::filesystem::path& path, int flags)
        : number_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
        if (number_ < 0) fail(path, "open the file");
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { ::close(number_); }
    int number() const noexcept { return number_; }

  private:
    int number_;
};

void write_all(const std::filesystem::path& path, std::string_view content) {
    const Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
    while (!content.empty()) {
        const auto written = ::write(file.number(), content.data(), content.size());
        if (written < 0 && errno != EINTR) fail(path, "write the file");
        if (written > 0) content.remove_prefix(static_cast<std::size_t>(written));
    }
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path) {
    std::ifstream file;
    // A folder can be opened as a file, and then fails in the middle of reading.
    const bool is_folder = std::filesystem::is_directory(path);
    if (!is_folder) file.open(path, std::ios::binary);
    std::string content;
    if (file.is_open())
        content.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    if (!file.is_open() || file.bad()) {
        throw DataError(path, {.what = "cannot read the file",
                               .where = {},
                               .why = is_folder ? "it is a folder" : "",
                               .advice = is_folder ? "Name a file in it"
                                                   : "Check that it exists and that you may read it"});
    }
    return content;
}

std::filesystem::path temporary_name(const std::filesystem::path& path) {
    return path.string() + std::string(kTemporaryEnd);
}

bool is_temporary_name(const std::filesystem::path& path) {
    return path.filename().string().ends_with(kTemporaryEnd);
}

void publish_file(const std::filesystem::path& temporary, const std::filesystem::path& path) {
    {
        const Descriptor file(temporary, O_RDONLY);
        if (::fsync(file.number()) != 0) fail(temporary, "write the file to the disk");
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail(path, "put the new file in place");
    const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
    const Descriptor folder(parent, O_RDONLY | O_DIRECTORY);
    if (::fsync(folder.number()) != 0) fail(parent, "write the folder to the disk");
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
    const std::filesystem::path temporary = temporary_name(path);
    try {
        write_all(temporary, content);
        publish_file(temporary, path);
    } catch (...) {
        std::error_code ignored;
        std::filesystem::remove(temporary, ignored);
        throw;
    }
}

std::optional<std::filesystem::path> end_of_dangling_link(const std::filesystem::path& path) {
    std::error_code problem;
    if (!std::filesystem::is_symlink(path, problem) || std::filesystem::exists(path, problem))
        return std::nullopt;
    const auto end = std::filesystem::read_symlink(path, problem);
    if (problem) return std::nullopt;
    return (path.parent_path() / end).lexically_normal();
}

std::string why_not_opened(const std::filesystem::path& path, int error) {
    const auto end = end_of_dangling_link(path);
    if (!end) return std::strerror(error);
    return "it is a link to " + end->string() + ", which is not there";
}

std::span<const std::byte> as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

}  // namespace memcap
