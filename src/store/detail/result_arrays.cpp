// Vectors and curves of a result file: virtual datasets over segments, or copies.
#include <limits>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "store/detail/dimension.hpp"
#include "store/detail/ragged.hpp"
#include "store/detail/segment_file.hpp"

namespace memcap::store::detail {

namespace {

/// Where a row's values lie in the datasets of the file.
struct Stretches {
    std::vector<std::int64_t> vector_start, vector_count, curve_start, curve_count;

    explicit Stretches(std::size_t rows)
        : vector_start(rows, 0), vector_count(rows, 0), curve_start(rows, 0), curve_count(rows, 0) {}
    void set(std::size_t row, std::uint64_t vector, std::uint64_t curve, const BulkPlace& place) {
        if (place.vector_count > 0) vector_start[row] = static_cast<std::int64_t>(vector);
        if (place.curve_count > 0) curve_start[row] = static_cast<std::int64_t>(curve);
        vector_count[row] = static_cast<std::int64_t>(place.vector_count);
        curve_count[row] = static_cast<std::int64_t>(place.curve_count);
    }
};

bool has_arrays(const ContentRow& row) {
    return !row.stored->arrays.empty();
}

/// A rebuild knows of damage that the index of a segment does not show.
bool is_whole(const ContentRow& row) {
    return row.stored->arrays_state == ArraysState::whole;
}

void write_stretches(const Handle& vectors, const Handle& curves, const Stretches& stretches) {
    write_column(vectors, {"start", "first element of the row's vectors in values", ""},
                 stretches.vector_start);
    write_column(vectors, {"count", "elements of the row, K * E; 0: none kept", ""}, stretches.vector_count);
    write_column(curves, {"start", "first point of the row's curve", ""}, stretches.curve_start);
    write_column(curves, {"count", "points of the row's curve; 0: none kept", ""}, stretches.curve_count);
    attach_ragged(vectors, "element", {kVectorValues});
    attach_ragged(curves, "point", {kCurveEvaluation, kCurveLoss, kCurveAccuracy});
}

/// A stretch of a virtual dataset and the file it lies in.
struct Mapping {
    std::string file;
    std::uint64_t start;
    std::uint64_t count;
};

/// HDF5 takes a % in the name of a source for a pattern.
std::string without_patterns(const std::string& name) {
    std::string escaped;
    for (const char letter : name) escaped += letter == '%' ? "%%" : std::string(1, letter);
    return escaped;
}

template <class T>
void write_virtual(const Handle& group, const ColumnLabel& label, const std::vector<Mapping>& mappings,
                   T missing) {
    const std::uint64_t total = mappings.empty() ? 0 : mappings.back().start + mappings.back().count;
    if (total == 0) {
        create_line(group, label, memory_type<T>(), 0, Compression::none);
        return;
    }
    const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "make a property list");
    checked(H5Pset_fill_value(creation.get(), memory_type<T>(), &missing), "set the fill value");
    checked(H5Pset_obj_track_times(creation.get(), 0), "leave out time stamps");
    for (const Mapping& mapping : mappings) {
        if (mapping.count == 0) continue;
        const Handle here = stretch_of_line(total, mapping.start, mapping.count);
        const Handle there = line_space(mapping.count);
        checked(H5Pset_virtual(creation.get(), here.get(), without_patterns(mapping.file).c_str(),
                               label.name.c_str(), there.get()),
                "refer to a segment");
    }
    const Handle space = line_space(total);
    const Handle dataset(H5Dcreate2(group.get(), label.name.c_str(), memory_type<T>(), space.get(),
                                    H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                         H5Dclose, "make the dataset " + label.name);
    write_attribute(dataset, "long_name", label.long_name);
    if (!label.units.empty()) write_attribute(dataset, "units", label.units);
}

/// All segments of all folders in a row, and where each begins.
struct SegmentLine {
    struct Base {
        std::uint64_t vector = 0;
        std::uint64_t curve = 0;
    };
    std::vector<Mapping> vectors, curves;
    std::unordered_map<const ArraySegment*, Base> bases;

    SegmentLine(const ResultContent& content, const std::filesystem::path& base) {
        Base end;
        for (const ContentFolder& folder : content.folders) {
            // The system takes .. of a link's target, so a way through links must not be shortened as text.
            const RunFolder place(std::filesystem::canonical(folder.folder->root()));
            for (const auto& [number, segment] : folder.library->segments()) {
                const auto path = place.vectors() / segment.path.filename();
                const std::string name = path.lexically_proximate(base).generic_string();
                bases[&segment] = end;
                vectors.push_back({name, end.vector, segment.vector_total});
                curves.push_back({name, end.curve, segment.curve_total});
                end.vector += segment.vector_total;
                end.curve += segment.curve_total;
            }
        }
    }
};

/// What a lone copy of the file, which HDF5 fills with such numbers without a word, has to say for itself.
void write_comment(const Handle& group) {
    write_attribute(group, "comment",
                    "The values lie in the files of the run's folder vectors/, which this file refers to by "
                    "their place relative to its own. Where they are missing, HDF5 gives NaN (-1 for "
                    "`evaluation`) instead of an error. `memcap merge OUT.h5 DIR --self-contained` makes one "
                    "file that holds them.");
}

ArraysReport refer_to_segments(const Handle& vectors, const Handle& curves, const ResultContent& content,
                               const std::filesystem::path& base) {
    const SegmentLine line(content, base);
    Stretches stretches(content.rows.size());
    ArraysReport report;
    std::unordered_set<const ArraySegment*> sampled;
    for (std::size_t row = 0; row < content.rows.size(); ++row) {
        if (!has_arrays(content.rows[row])) continue;
        const BulkPlace& place = content.rows[row].stored->arrays;
        const ArrayLibrary& library = *content.folders[content.rows[row].folder].library;
        const auto found = library.find(place);
        if (!is_whole(content.rows[row])) {
            ++report.gone;
            report.lost.insert(library.segment_name(place));
        } else if (!found || !line.bases.contains(found->segment)) {
            ++report.young;
        } else {
            const auto& start = line.bases.at(found->segment);
            stretches.set(row, start.vector + found->entry.vector_start,
                          start.curve + found->entry.curve_start, place);
            if (!sampled.insert(found->segment).second) continue;
            if (place.vector_count > 0) report.vector_samples.push_back(stretches.vector_start[row]);
            if (place.curve_count > 0) report.curve_samples.push_back(stretches.curve_start[row]);
        }
    }
    write_comment(vectors);
    write_comment(curves);
    write_virtual(vectors, vector_label(), line.vectors, std::numeric_limits<float>::quiet_NaN());
    write_virtual(curves, evaluation_label(), line.curves, std::int32_t{-1});
    write_virtual(curves, loss_label(), line.curves, std::numeric_limits<float>::quiet_NaN());
    write_virtual(curves, accuracy_label(), line.curves, std::numeric_limits<float>::quiet_NaN());
    write_stretches(vectors, curves, stretches);
    return report;
}

/// The trials whose arrays can be read, once each, in the order of the rows; with the sizes of all of them.
struct CopyList {
    struct Start {
        std::uint64_t vector, curve;
    };
    std::vector<const ContentRow*> trials;
    std::unordered_map<const StoredRecord*, Start> starts;
    std::uint64_t vector_total = 0;
    std::uint64_t curve_total = 0;
    bool vectors;  ///< and not the curves alone

    explicit CopyList(const ResultContent& content) : vectors(content.arrays == MergeArrays::copy) {
        for (const ContentRow& row : content.rows) {
            if (!has_arrays(row) || !is_whole(row) || starts.contains(row.stored)) continue;
            record::TrialRecord scratch;
            if (!content.folders[row.folder].library->read(row.stored->arrays, scratch)) continue;
            trials.push_back(&row);
            starts.emplace(row.stored, Start{vector_total, curve_total});
            vector_total += shown(row.stored->arrays).vector_count;
            curve_total += row.stored->arrays.curve_count;
        }
    }
    /// The place with as many elements as the file will have of it.
    BulkPlace shown(BulkPlace place) const {
        if (!vectors) place.vector_count = 0;
        return place;
    }
};

ArraysReport copy_arrays(const Handle& vectors, const Handle& curves, const ResultContent& content) {
    const CopyList list(content);
    ArrayLines lines(vectors, curves, list.vector_total, list.curve_total);
    for (const ContentRow* row : list.trials) {
        record::TrialRecord arrays;
        if (!content.folders[row->folder].library->read(row->stored->arrays, arrays)) {
            throw Hdf5Failure("a vectors segment changed while it was being copied");
        }
        if (!list.vectors) arrays.vector.clear();
        lines.append(arrays);
    }
    lines.flush();
    Stretches stretches(content.rows.size());
    ArraysReport report;
    for (std::size_t row = 0; row < content.rows.size(); ++row) {
        const StoredRecord* stored = content.rows[row].stored;
        if (const auto start = list.starts.find(stored); start != list.starts.end()) {
            stretches.set(row, start->second.vector, start->second.curve, list.shown(stored->arrays));
        } else if (has_arrays(content.rows[row])) {
            ++report.gone;
            const ArrayLibrary& library = *content.folders[content.rows[row].folder].library;
            report.lost.insert(library.segment_name(stored->arrays));
        }
    }
    write_stretches(vectors, curves, stretches);
    return report;
}

}  // namespace

ArraysReport write_arrays(const Handle& file, const ResultContent& content,
                          const std::filesystem::path& base) {
    const Handle vectors = create_group(file, "vectors");
    const Handle curves = create_group(file, "curves");
    return content.arrays == MergeArrays::refer ? refer_to_segments(vectors, curves, content, base)
                                                : copy_arrays(vectors, curves, content);
}

}  // namespace memcap::store::detail
