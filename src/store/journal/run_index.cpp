// Rules by which frames add up to an index, and its bytes.
#include "memcap/store/journal/run_index.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "memcap/base/bytes.hpp"
#include "store/journal/detail/segment_read.hpp"
#include "store/journal/detail/utc_text.hpp"

namespace memcap::store {

namespace {

bool by_id(const IndexedTrial& a, const IndexedTrial& b) {
    return a.trial < b.trial;
}

std::uint32_t short_seconds(const std::string& utc) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(detail::seconds_of(utc), 0, 0xFFFFFFFF));
}

void set_launch(IndexedPlan& plan, std::uint32_t segment, const record::LaunchRow& launch) {
    if (plan.launches == 0 || plan.launch_segment != segment) ++plan.launches;
    plan.launch_segment = segment;
    plan.started_utc = launch.started_utc;
    plan.ended_utc = launch.ended_utc;
}

}  // namespace

RunIndex::RunIndex(const RunState& state)
    : run_id_(state.run_id()),
      last_bulk_(state.last_bulk()),
      damaged_bytes_(state.report().damaged_bytes),
      view_(state.view()) {
    const record::RunTables& tables = state.tables();
    plan_ = {.experiment = tables.experiment,
             .hash = state.plan_hash(),
             .skipped = tables.skipped.size(),
             .has_earlier_rows = tables.rows.size() != state.planned_rows(),
             .launches = tables.launches.size(),
             .launch_segment = state.launch_segment(),
             .started_utc = tables.launches.empty() ? "" : tables.launches.back().started_utc,
             .ended_utc = tables.launches.empty() ? "" : tables.launches.back().ended_utc};
    std::unordered_set<Id128> planned;
    for (std::size_t row = 0; row < state.planned_rows(); ++row) {
        if (!planned.insert(tables.rows[row].trial_id).second) continue;
        trials_.push_back({.trial = tables.rows[row].trial_id, .row = static_cast<std::uint32_t>(row)});
    }
    for (const auto& [trial, stored] : state.records()) {
        if (!planned.contains(trial)) trials_.push_back({.trial = trial});
    }
    std::ranges::sort(trials_, by_id);
    sorted_ = trials_.size();
    for (const auto& [trial, stored] : state.records()) {
        IndexedTrial& entry = trial_at(trial);
        entry.on_record = true;
        entry.status = stored.record.status;
        entry.category = stored.record.failure.category;
        entry.arrays = stored.arrays_state;
        entry.attempts = stored.attempts;
        entry.finished_s = short_seconds(stored.record.finished_utc);
        if (!stored.arrays.empty() && stored.arrays_state == ArraysState::whole)
            young_[trial] = stored.arrays;
        if (!entry.failed()) continue;
        failures_[trial].message = stored.record.failure.message;
        if (entry.planned()) failures_[trial].axes = tables.rows[entry.row].axes;
    }
    crashes_ = state.all_crashes();
}

const IndexedTrial* RunIndex::find(const Id128& trial) const {
    const auto end = trials_.begin() + static_cast<std::ptrdiff_t>(sorted_);
    const auto found = std::lower_bound(trials_.begin(), end, IndexedTrial{.trial = trial}, by_id);
    if (found != end && found->trial == trial) return &*found;
    const auto other = unsorted_.find(trial);
    return other == unsorted_.end() ? nullptr : &trials_[other->second];
}

IndexedTrial& RunIndex::trial_at(const Id128& trial) {
    if (const IndexedTrial* known = find(trial))
        return trials_[static_cast<std::size_t>(known - trials_.data())];
    unsorted_[trial] = trials_.size();
    trials_.push_back({.trial = trial});
    return trials_.back();
}

std::uint32_t RunIndex::crashes(const Id128& trial) const {
    const auto found = crashes_.find(trial);
    return found == crashes_.end() ? 0 : found->second;
}

void RunIndex::add_plan(std::uint32_t segment, const record::RunTables& tables,
                        const std::optional<FramePlace>& place) {
    if (place) view_.plans.push_back(*place);
    const Id128 hash = plan_hash(tables);
    if (plan_.hash != hash) {
        // Whether rows of the former plan stay is for those to find out who need them.
        plan_.has_earlier_rows = plan_.hash.has_value();
        plan_.hash = hash;
        plan_.experiment = tables.experiment;
        plan_.skipped = tables.skipped.size();
        for (IndexedTrial& entry : trials_) entry.row = IndexedTrial::kNoRow;
        std::vector<IndexedTrial> fresh;
        std::unordered_set<Id128> seen;
        for (std::size_t row = 0; row < tables.rows.size(); ++row) {
            const Id128& trial = tables.rows[row].trial_id;
            if (!seen.insert(trial).second) continue;
            const auto number = static_cast<std::uint32_t>(row);
            if (find(trial) != nullptr) {
                trial_at(trial).row = number;
            } else {
                fresh.push_back({.trial = trial, .row = number});
            }
            if (const auto failed = failures_.find(trial); failed != failures_.end())
                failed->second.axes = tables.rows[row].axes;
        }
        trials_.insert(trials_.end(), fresh.begin(), fresh.end());
        std::erase_if(trials_,
                      [](const IndexedTrial& entry) { return !entry.planned() && !entry.on_record; });
        std::ranges::sort(trials_, by_id);
        sorted_ = trials_.size();
        unsorted_.clear();
    }
    for (const auto& launch : tables.launches) add_launch(segment, launch);
}

void RunIndex::add_launch(std::uint32_t segment, const record::LaunchRow& launch) {
    set_launch(plan_, segment, launch);
}

bool RunIndex::add_result(const record::TrialRecord& record, const BulkPlace& arrays, ArraysState state) {
    last_bulk_ = std::max(last_bulk_, arrays.number);
    IndexedTrial& entry = trial_at(record.trial_id);
    entry.attempts = std::max(entry.attempts, record.attempt);
    if (entry.final()) return false;
    entry.on_record = true;
    entry.status = record.status;
    entry.category = record.failure.category;
    entry.arrays = state;
    entry.finished_s = short_seconds(record.finished_utc);
    young_.erase(record.trial_id);
    failures_.erase(record.trial_id);
    if (entry.failed()) failures_[record.trial_id] = {.message = record.failure.message, .axes = {}};
    return true;
}

bool RunIndex::check_young(const ArraysCheck& check) {
    // In the order in which they lie there.
    std::vector<std::pair<BulkPlace, Id128>> places;
    for (const auto& [trial, place] : young_) places.emplace_back(place, trial);
    std::ranges::sort(places, [](const auto& a, const auto& b) {
        return std::pair(a.first.number, a.first.offset_bytes) <
               std::pair(b.first.number, b.first.offset_bytes);
    });
    for (const auto& [place, trial] : places) {
        const ArraysState state = check(place);
        if (state == ArraysState::missing) return false;
        trial_at(trial).arrays = state;
    }
    return true;
}

void RunIndex::settle(const std::function<bool(std::uint32_t)>& has_bulk) {
    std::erase_if(young_, [&has_bulk](const auto& young) { return !has_bulk(young.second.number); });
}

RunState read_plans(const RunFolder& folder, const RunIndex& index) {
    RunState plans;
    for (const FramePlace& place : index.view().plans) {
        Bytes bytes = detail::read_segment(folder.log_segment(place.segment), place.offset_bytes);
        if (bytes.size() < place.size_bytes) continue;
        try {
            plans.add_tables(place.segment, record::decode_tables(std::span(bytes).first(place.size_bytes)));
        } catch (const TransportError&) {
            // Damaged since it was found.
        }
    }
    return plans;
}

namespace {

void write(ByteWriter& writer, const Axes& axes) {
    for (const auto* text : {&axes.model, &axes.corpus, &axes.protocol}) writer.text(*text);
    writer.number(axes.sample);
    writer.number(axes.seed);
    writer.number(axes.memory_vectors);
    writer.number(axes.length);
    writer.number(axes.prefix);
    writer.number(axes.precision);
}

Axes read_axes(ByteReader& reader) {
    Axes axes;
    for (auto* text : {&axes.model, &axes.corpus, &axes.protocol}) *text = reader.text();
    axes.sample = reader.number<std::int32_t>();
    axes.seed = reader.number<std::uint64_t>();
    axes.memory_vectors = reader.number<std::int32_t>();
    axes.length = reader.number<std::int32_t>();
    axes.prefix = reader.number<std::int32_t>();
    axes.precision = reader.number<Precision>();
    return axes;
}

void write(ByteWriter& writer, const IndexedPlan& plan) {
    writer.text(plan.experiment);
    writer.number(static_cast<std::uint8_t>(plan.hash.has_value()));
    writer.id(plan.hash.value_or(Id128{}));
    writer.number(plan.skipped);
    writer.number(static_cast<std::uint8_t>(plan.has_earlier_rows));
    writer.number(plan.launches);
    writer.number(plan.launch_segment);
    writer.text(plan.started_utc);
    writer.text(plan.ended_utc);
}

IndexedPlan read_plan(ByteReader& reader) {
    IndexedPlan plan;
    plan.experiment = reader.text();
    const bool has_hash = reader.number<std::uint8_t>() != 0;
    const Id128 hash = reader.id();
    if (has_hash) plan.hash = hash;
    plan.skipped = reader.number<std::uint64_t>();
    plan.has_earlier_rows = reader.number<std::uint8_t>() != 0;
    plan.launches = reader.number<std::uint64_t>();
    plan.launch_segment = reader.number<std::uint32_t>();
    plan.started_utc = reader.text();
    plan.ended_utc = reader.text();
    return plan;
}

void write(ByteWriter& writer, const JournalView& view) {
    writer.number(static_cast<std::uint64_t>(view.segments.size()));
    for (const SegmentView& segment : view.segments) {
        writer.number(segment.number);
        writer.number(segment.covered_bytes);
        writer.number(segment.changed_ns);
        writer.number(segment.checksum);
        writer.number(static_cast<std::uint8_t>(segment.end_bytes.has_value()));
        writer.number(segment.end_bytes.value_or(0));
    }
    writer.number(static_cast<std::uint64_t>(view.plans.size()));
    for (const FramePlace& place : view.plans) {
        writer.number(place.segment);
        writer.number(place.offset_bytes);
        writer.number(place.size_bytes);
    }
}

JournalView read_view(ByteReader& reader) {
    JournalView view;
    for (auto left = reader.number<std::uint64_t>(); left > 0; --left) {
        SegmentView& segment = view.segments.emplace_back();
        segment.number = reader.number<std::uint32_t>();
        segment.covered_bytes = reader.number<std::uint64_t>();
        segment.changed_ns = reader.number<std::int64_t>();
        segment.checksum = reader.number<std::uint64_t>();
        const bool has_end = reader.number<std::uint8_t>() != 0;
        const auto end_bytes = reader.number<std::uint64_t>();
        if (has_end) segment.end_bytes = end_bytes;
    }
    for (auto left = reader.number<std::uint64_t>(); left > 0; --left) {
        FramePlace& place = view.plans.emplace_back();
        place.segment = reader.number<std::uint32_t>();
        place.offset_bytes = reader.number<std::uint64_t>();
        place.size_bytes = reader.number<std::uint64_t>();
    }
    return view;
}

void write(ByteWriter& writer, const BulkPlace& place) {
    writer.number(place.number);
    writer.number(place.offset_bytes);
    writer.number(place.vector_count);
    writer.number(place.curve_count);
    writer.number(place.checksum);
}

BulkPlace read_place(ByteReader& reader) {
    BulkPlace place;
    place.number = reader.number<std::uint32_t>();
    place.offset_bytes = reader.number<std::uint64_t>();
    place.vector_count = reader.number<std::uint64_t>();
    place.curve_count = reader.number<std::uint64_t>();
    place.checksum = reader.number<std::uint64_t>();
    return place;
}

}  // namespace

Bytes RunIndex::encode() const {
    ByteWriter writer;
    writer.id(run_id_);
    write(writer, plan_);
    write(writer, view_);
    writer.number(last_bulk_);
    writer.number(damaged_bytes_);
    writer.number(static_cast<std::uint64_t>(young_.size()));
    for (const auto& [trial, place] : young_) {
        writer.id(trial);
        write(writer, place);
    }
    writer.number(static_cast<std::uint64_t>(failures_.size()));
    for (const auto& [trial, failure] : failures_) {
        writer.id(trial);
        writer.text(failure.message);
        writer.number(static_cast<std::uint8_t>(failure.axes.has_value()));
        if (failure.axes) write(writer, *failure.axes);
    }
    writer.number(static_cast<std::uint64_t>(crashes_.size()));
    for (const auto& [trial, count] : crashes_) {
        writer.id(trial);
        writer.number(count);
    }
    auto trials = trials_;
    std::ranges::sort(trials, by_id);
    writer.raw(std::as_bytes(std::span(trials)));
    return std::move(writer).bytes();
}

RunIndex RunIndex::decode(std::span<const std::byte> bytes) {
    ByteReader reader(bytes);
    RunIndex index;
    index.run_id_ = reader.id();
    index.plan_ = read_plan(reader);
    index.view_ = read_view(reader);
    index.last_bulk_ = reader.number<std::uint32_t>();
    index.damaged_bytes_ = reader.number<std::uint64_t>();
    for (auto left = reader.number<std::uint64_t>(); left > 0; --left) {
        const Id128 trial = reader.id();
        index.young_[trial] = read_place(reader);
    }
    for (auto left = reader.number<std::uint64_t>(); left > 0; --left) {
        IndexedFailure& failure = index.failures_[reader.id()];
        failure.message = reader.text();
        if (reader.number<std::uint8_t>() != 0) failure.axes = read_axes(reader);
    }
    for (auto left = reader.number<std::uint64_t>(); left > 0; --left) {
        const Id128 trial = reader.id();
        index.crashes_[trial] = reader.number<std::uint32_t>();
    }
    const auto rest = reader.rest();
    index.trials_.resize(rest.size() / sizeof(IndexedTrial));
    // memcpy() takes no null pointers, which an index of no trials has.
    if (!index.trials_.empty())
        std::memcpy(index.trials_.data(), rest.data(), index.trials_.size() * sizeof(IndexedTrial));
    index.sorted_ = index.trials_.size();
    return index;
}

}  // namespace memcap::store
