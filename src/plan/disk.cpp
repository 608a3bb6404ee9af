// Sizes of what is stored, from how the store lays it out.
#include "memcap/plan/disk.hpp"

namespace memcap::plan {

namespace {

constexpr std::int64_t kNumberBytes = 4;  // float32 and int32
/// A point of a curve: evaluation, loss and accuracy.
constexpr std::int64_t kPointBytes = 3 * kNumberBytes;
/// A trial's place in a segment of vectors.
constexpr std::int64_t kPlaceBytes = 64;
/// A trial's frame in the journal, and its row in results.h5.
constexpr std::int64_t kRecordBytes = 750;
/// A row of the plan, which the journal holds twice.
constexpr std::int64_t kRowBytes = 240;
/// What every run folder has: HDF5's structures, the experiment, logs.
constexpr std::int64_t kFolderBytes = 1 << 20;

/// Points of a curve that never ends early: every so many evaluations from the first, and the last one.
std::int64_t curve_points(const Protocol& protocol, std::int32_t curve_every) {
    return curve_every > 0 ? (protocol.max_steps - 1) / curve_every + 2 : 0;
}

}  // namespace

DiskUse disk_use(const Plan& plan, std::span<const TokenTable> tokens, std::span<const ModelFacts> models,
                 const config::StoreOptions& store) {
    DiskUse use;
    for (const PlannedTrial& trial : plan.trials) {
        const std::int64_t width = models[plan.model_of(trial)].memory_width;
        if (store.vectors) use.vectors_bytes += kNumberBytes * width * trial.memory_vectors + kPlaceBytes;
        use.curves_bytes += kPointBytes * curve_points(plan.protocol_of(trial), store.curve_every);
    }
    const std::size_t rows = plan.rows.size() + plan.skipped.size();
    use.records_bytes = kFolderBytes + kRowBytes * static_cast<std::int64_t>(rows) +
                        kRecordBytes * static_cast<std::int64_t>(plan.rows.size());
    for (const TokenTable& table : tokens) {
        for (const TokenSample& sample : table.samples)
            use.tokens_bytes +=
                2 * kNumberBytes * static_cast<std::int64_t>(sample.text.size() + sample.prefix.size());
    }
    return use;
}

}  // namespace memcap::plan
