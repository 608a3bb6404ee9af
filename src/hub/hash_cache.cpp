// The cache's file: a JSON object from path to size, time and hash.
#include "memcap/hub/hash_cache.hpp"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "memcap/base/build_info.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"

namespace memcap::hub {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string key_of(const fs::path& path) {
    return fs::absolute(path).lexically_normal().string();
}

std::int64_t changed_ns(const fs::path& path, std::error_code& error) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               fs::last_write_time(path, error).time_since_epoch())
        .count();
}

}  // namespace

HashCache::HashCache(fs::path file) : file_(std::move(file)) {
    std::error_code error;
    if (!fs::is_regular_file(file_, error)) return;
    const json content = json::parse(read_text_file(file_), nullptr, false);
    // Weights are hashed and checked together; another version may check more.
    if (!content.is_object() || content.value("memcap_version", json()) != json(kVersion)) return;
    const json files = content.value("files", json::object());
    if (!files.is_object()) return;
    for (const auto& [path, entry] : files.items()) {
        const bool whole = entry.is_object() && entry.contains("size_bytes") &&
                           entry["size_bytes"].is_number_unsigned() && entry.contains("changed_ns") &&
                           entry["changed_ns"].is_number_integer() && entry.contains("sha256") &&
                           entry["sha256"].is_string();
        if (!whole) continue;
        entries_[path] = {.size_bytes = entry["size_bytes"].get<std::uintmax_t>(),
                          .changed_ns = entry["changed_ns"].get<std::int64_t>(),
                          .sha256 = entry["sha256"].get<std::string>(),
                          .from_before = true};
    }
}

const HashCache::Entry* HashCache::find(const fs::path& path) const {
    const auto found = entries_.find(key_of(path));
    if (found == entries_.end()) return nullptr;
    std::error_code error;
    const std::uintmax_t size_bytes = fs::file_size(path, error);
    if (error || size_bytes != found->second.size_bytes) return nullptr;
    const std::int64_t changed = changed_ns(path, error);
    return error || changed != found->second.changed_ns ? nullptr : &found->second;
}

std::string HashCache::sha256(const fs::path& path) {
    if (const Entry* entry = find(path)) return entry->sha256;
    // Size and time from before the reading: a change during it shows at the next look.
    std::error_code error;
    Entry entry;
    entry.size_bytes = fs::file_size(path, error);
    if (!error) entry.changed_ns = changed_ns(path, error);
    entry.sha256 = sha256_file_hex(path);
    if (!error) entries_[key_of(path)] = entry;
    return entry.sha256;
}

bool HashCache::knew(std::span<const fs::path> paths) const {
    return std::ranges::all_of(paths, [this](const fs::path& path) {
        const Entry* entry = find(path);
        return entry != nullptr && entry->from_before;
    });
}

void HashCache::save() const {
    MEMCAP_EXPECT(!file_.empty());
    json files = json::object();
    for (const auto& [path, entry] : entries_) {
        files[path] = {
            {"size_bytes", entry.size_bytes}, {"changed_ns", entry.changed_ns}, {"sha256", entry.sha256}};
    }
    write_file_atomically(file_, json{{"memcap_version", kVersion}, {"files", files}}.dump(1) + "\n");
}

}  // namespace memcap::hub
