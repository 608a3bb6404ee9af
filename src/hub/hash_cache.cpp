// The cache's file: a JSON object from path to facts and hash.
#include "memcap/hub/hash_cache.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "memcap/base/build_info.hpp"
#include "memcap/base/contracts.hpp"
#include "memcap/base/files.hpp"
#include "memcap/base/hash.hpp"
#include "memcap/base/input_file.hpp"

namespace memcap::hub {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::int64_t kSecond_ns = 1'000'000'000;
// Longer than a tick of any clock that files are timed by.
constexpr std::int64_t kYoung_ns = 2 * kSecond_ns;

constexpr std::array kCounts{std::pair{"device", &FileFacts::device}, std::pair{"inode", &FileFacts::inode},
                             std::pair{"size_bytes", &FileFacts::size_bytes}};
constexpr std::array kTimes{std::pair{"modified_ns", &FileFacts::modified_ns},
                            std::pair{"changed_ns", &FileFacts::changed_ns}};

std::string key_of(const fs::path& path) {
    std::error_code problem;
    const fs::path real = fs::canonical(path, problem);
    return problem ? fs::absolute(path).lexically_normal().string() : real.string();
}

std::optional<FileFacts> facts_of(const json& entry) {
    FileFacts facts;
    for (const auto& [name, member] : kCounts) {
        if (!entry.contains(name) || !entry[name].is_number_unsigned()) return std::nullopt;
        facts.*member = entry[name].get<std::uint64_t>();
    }
    for (const auto& [name, member] : kTimes) {
        if (!entry.contains(name) || !entry[name].is_number_integer()) return std::nullopt;
        facts.*member = entry[name].get<std::int64_t>();
    }
    return facts;
}

}  // namespace

bool tell_versions_apart(const FileFacts& facts, std::int64_t hashed_ns) {
    const bool young = hashed_ns - facts.changed_ns < kYoung_ns;
    const bool chosen = facts.changed_ns == facts.modified_ns && facts.changed_ns % kSecond_ns == 0;
    return !young && !chosen;
}

std::int64_t file_clock_ns() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

HashCache::HashCache(fs::path file, std::function<std::int64_t()> clock_ns)
    : file_(std::move(file)), clock_ns_(std::move(clock_ns)) {
    std::error_code error;
    if (!fs::is_regular_file(file_, error)) return;
    const json content = json::parse(read_text_file(file_), nullptr, false);
    // Weights are hashed and checked together; another version may check more.
    if (!content.is_object() || content.value("memcap_version", json()) != json(kVersion)) return;
    const json files = content.value("files", json::object());
    if (!files.is_object()) return;
    for (const auto& [path, entry] : files.items()) {
        if (!entry.is_object() || !entry.contains("sha256") || !entry["sha256"].is_string()) continue;
        const auto facts = facts_of(entry);
        if (!facts) continue;
        entries_[path] = {.facts = *facts, .sha256 = entry["sha256"].get<std::string>(), .from_before = true};
    }
}

const HashCache::Entry* HashCache::find(const fs::path& path) const {
    const auto found = entries_.find(key_of(path));
    if (found == entries_.end() || facts_of_file(path) != found->second.facts) return nullptr;
    return &found->second;
}

KnownFile HashCache::known(const fs::path& path) {
    const Entry* entry = find(path);
    if (entry == nullptr) {
        const InputFile file(path);
        Entry hashed{.facts = file.facts(),
                     .sha256 = {},
                     .can_be_trusted_later = tell_versions_apart(file.facts(), clock_ns_())};
        hashed.sha256 = sha256_file_hex(file);
        file.require_unchanged();
        entry = &(entries_[key_of(path)] = std::move(hashed));
    }
    return {.name = path.filename().string(),
            .sha256 = entry->sha256,
            .facts = entry->facts,
            .place = this_place()};
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
        if (!entry.can_be_trusted_later) continue;
        json& fields = files[path];
        for (const auto& [name, member] : kCounts) fields[name] = entry.facts.*member;
        for (const auto& [name, member] : kTimes) fields[name] = entry.facts.*member;
        fields["sha256"] = entry.sha256;
    }
    write_file_atomically(file_, json{{"memcap_version", kVersion}, {"files", files}}.dump(1) + "\n");
}

}  // namespace memcap::hub
