// Free space of the file system that a folder is on.
#include "app/disk_space.hpp"

#include <fmt/format.h>

#include <system_error>

#include "app/amounts.hpp"
#include "memcap/base/log.hpp"

namespace memcap::app {

namespace fs = std::filesystem;

fs::path default_folder(const config::Experiment& experiment) {
    return fs::path("runs") / experiment.name;
}

std::optional<std::int64_t> free_bytes(const fs::path& folder) {
    std::error_code error;
    fs::path there = fs::absolute(folder, error);
    while (!error && !fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
    const fs::space_info space = fs::space(there, error);
    if (error) return std::nullopt;
    return static_cast<std::int64_t>(space.available);
}

plan::DiskUse disk_use(const Preparation& preparation) {
    return plan::disk_use(preparation.plan, preparation.tokens, preparation.models,
                          preparation.experiment.store);
}

std::int64_t disk_bytes(const Preparation& preparation, std::size_t trials) {
    if (trials == 0) return 0;
    const double share = static_cast<double>(trials) / static_cast<double>(preparation.plan.trials.size());
    return static_cast<std::int64_t>(share * static_cast<double>(disk_use(preparation).total_bytes()));
}

void warn_of_full_disk(const fs::path& folder, std::int64_t needed_bytes) {
    const auto available = free_bytes(folder);
    if (!available || *available >= needed_bytes) return;
    log::warning(fmt::format(
        "{}: the results may take {}, and {} are free. Give --out a folder with more room, or keep less: "
        "--set store.curve_every=100 (0: no curves), --set store.vectors=false",
        folder.string(), bytes_text(needed_bytes), bytes_text(*available)));
}

}  // namespace memcap::app
