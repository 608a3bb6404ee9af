// Names in a run folder.
#include "memcap/store/journal/run_folder.hpp"

#include <fmt/format.h>

#include <system_error>

#include "memcap/base/errors.hpp"

namespace memcap::store {

namespace {
std::string numbered(std::uint32_t number, const char* extension) {
    return fmt::format("{:04}{}", number, extension);
}
}  // namespace

std::filesystem::path RunFolder::log_segment(std::uint32_t number) const {
    return journal() / numbered(number, ".log");
}
std::filesystem::path RunFolder::bulk_file(std::uint32_t number) const {
    return journal() / numbered(number, ".bulk");
}
std::filesystem::path RunFolder::vectors_segment(std::uint32_t number, std::uint64_t content) const {
    return vectors() / fmt::format("{:04}-{:016x}.h5", number, content);
}
std::filesystem::path RunFolder::log_file(int rank) const {
    return log() / fmt::format("rank-{}.log", rank);
}

void RunFolder::create() const {
    for (const auto& folder : {journal(), vectors(), tokens(), checkpoints(), log()}) {
        std::error_code error;
        std::filesystem::create_directories(folder, error);
        if (error) {
            throw StoreError(folder, {.what = "cannot make the folder",
                                      .where = {},
                                      .why = error.message(),
                                      .advice = "Choose another place with --out, or free space there"});
        }
    }
}

void RunFolder::expect_run_or_free() const {
    if (exists()) return;
    for (const auto& file : {experiment_file(), results_file(), hashes()}) {
        std::error_code error;
        if (!std::filesystem::exists(std::filesystem::symlink_status(file, error))) continue;
        throw DataError(file, {.what = "a run in this folder would replace this file",
                               .where = {},
                               .why = "the folder has no journal/, so the file is no run's",
                               .advice = "Choose another folder with --out, or move the file away"});
    }
}

void RunFolder::expect_run() const {
    if (exists()) return;
    throw DataError(root_,
                    {.what = "there is no run in this folder",
                     .where = {},
                     .why = "it has no journal/",
                     .advice = "Give the folder that memcap run wrote: runs/<experiment>, or its --out"});
}

bool RunFolder::exists() const {
    std::error_code error;
    return std::filesystem::is_directory(journal(), error);
}

}  // namespace memcap::store
