// Finding the shards of a run, and what must not be mixed with them.
#include "memcap/store/journal/shards.hpp"

#include <fmt/format.h>

#include <charconv>
#include <system_error>

#include "memcap/base/errors.hpp"
#include "memcap/base/files.hpp"
#include "memcap/store/journal/run_state.hpp"

namespace memcap::store {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kName = "shard-";

/// The number in a folder's name; nothing for any other name.
std::optional<std::uint32_t> index_of(const fs::path& folder) {
    const std::string name = folder.filename().string();
    if (!name.starts_with(kName)) return std::nullopt;
    std::uint32_t index = 0;
    const char* const end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + kName.size(), end, index);
    const bool is_index =
        parsed.ec == std::errc{} && parsed.ptr == end && name == fmt::format("{}{}", kName, index);
    return is_index ? std::optional(index) : std::nullopt;
}

/// Whether something was recorded there: a folder alone is what a start leaves that went no further.
bool has_record(const RunFolder& folder) {
    return folder.exists() && !numbered_files(folder.journal(), ".log").empty();
}

[[noreturn]] void refuse(const fs::path& folder, std::string what, std::string advice) {
    throw DataError(folder, {.what = std::move(what), .where = {}, .why = {}, .advice = std::move(advice)});
}

void expect_shard_can_go_on(const fs::path& whole, const Shard& shard, const std::optional<Shards>& shards) {
    if (has_record(RunFolder(whole))) {
        refuse(whole, "this folder holds a run that is not sharded",
               "Leave out --shard to go on with it, or give the shards another folder with --out");
    }
    if (shards && shards->count != shard.count) {
        refuse(whole,
               fmt::format("the run in this folder has {} shards, and --shard {} asks for {}", shards->count,
                           shard.text(), shard.count),
               fmt::format("Give --shard I/{} with I from 0 to {}, or another folder with --out",
                           shards->count, shards->count - 1));
    }
    const RunFolder folder = shard_folder(whole, shard.index);
    const auto recorded = read_shard(folder);
    if (!recorded && has_record(folder)) {
        refuse(
            folder.root(), "this folder holds a run that is no shard",
            fmt::format("Go on with it by --out {} without --shard, or give the shards another folder with "
                        "--out",
                        folder.root().string()));
    }
}

}  // namespace

RunFolder shard_folder(const fs::path& whole, std::uint32_t index) {
    return RunFolder(whole / fmt::format("{}{}", kName, index));
}

std::optional<Shard> read_shard(const RunFolder& folder) {
    std::error_code error;
    if (!fs::exists(folder.shard_file(), error)) return std::nullopt;
    std::string text = read_text_file(folder.shard_file());
    if (text.ends_with('\n')) text.pop_back();
    if (const auto shard = parse_shard(text)) return shard;
    throw DataError(
        folder.shard_file(),
        {.what = "this file does not say which shard of a run the folder holds",
         .where = {},
         .why = "it should be I/N, as in the option --shard of the folder's launches",
         .advice = fmt::format("Write it anew, e.g. echo 0/3 > {}", folder.shard_file().string())});
}

void record_shard(const RunFolder& folder, const Shard& shard) {
    if (read_shard(folder) != shard) write_file_atomically(folder.shard_file(), shard.text() + "\n");
}

std::vector<std::uint32_t> Shards::missing() const {
    std::vector<std::uint32_t> missing;
    for (std::uint32_t index = 0; index < count; ++index) {
        if (!begun.contains(index)) missing.push_back(index);
    }
    return missing;
}

std::optional<Shards> find_shards(const fs::path& whole) {
    Shards shards;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(whole, ignored)) {
        const auto index = index_of(entry.path());
        const RunFolder folder(entry.path());
        const auto shard = index ? read_shard(folder) : std::nullopt;
        if (!shard) continue;
        if (shard->index != *index) {
            refuse(folder.root(), fmt::format("this folder holds shard {} of a run", shard->text()),
                   fmt::format("Name it {}", shard_folder(whole, shard->index).root().filename().string()));
        }
        shards.begun.emplace(*index, folder);
        if (shards.count == 0) shards.count = shard->count;
        if (shards.count == shard->count) continue;
        refuse(whole,
               fmt::format("shards of different numbers lie here: {} is {}, another is one of {}",
                           folder.root().filename().string(), shard->text(), shards.count),
               "Move those of one number to a folder of their own");
    }
    return shards.begun.empty() ? std::nullopt : std::optional(std::move(shards));
}

void expect_sharding(const fs::path& whole, const std::optional<Shard>& shard) {
    if (const auto own = read_shard(RunFolder(whole))) {
        const fs::path above = fs::absolute(whole).lexically_normal() / "..";
        refuse(whole, fmt::format("this folder holds shard {} of a run", own->text()),
               fmt::format("Go on with it by --shard {} --out {}", own->text(),
                           above.lexically_normal().string()));
    }
    const auto shards = find_shards(whole);
    if (shard) return expect_shard_can_go_on(whole, *shard, shards);
    if (!shards) return;
    refuse(
        whole, fmt::format("this folder holds a run in {} shards", shards->count),
        fmt::format("Go on with a shard by --shard I/{} with I from 0 to {}, or choose another folder with "
                    "--out; `memcap merge OUT.h5 {}` joins what they have",
                    shards->count, shards->count - 1, whole.string()));
}

}  // namespace memcap::store
