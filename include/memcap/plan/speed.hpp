// Measured speeds of a device, and what they say of models that were not measured.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memcap/base/protocol.hpp"
#include "memcap/plan/cost.hpp"

namespace memcap::plan {

/// What square matrix products reach on a device: the yardstick of everything else.
struct MatrixPeak {
    Precision precision = Precision::float32;
    std::int64_t size = 0;         ///< rows of each factor
    std::int64_t products = 0;     ///< timed one by one
    std::int64_t value_bytes = 0;  ///< of a number in the type that was multiplied; 0 = not known
    double best_flops_per_s = 0.0;
    double median_flops_per_s = 0.0;
};

/// One turn of a measurement: the products, then the steps right after them.
struct SpeedTurn {
    double peak_flops_per_s = 0.0;  ///< the best product of this turn
    double flops_per_s = 0.0;
};

/// What the slots engine reaches on one model with all slots full.
struct EngineSpeed {
    std::string name;
    std::string family;
    bool scans = false;  ///< a state space model
    Precision precision = Precision::float32;
    std::int32_t length = 0;  ///< N
    std::int32_t memory_vectors = 0;
    std::int32_t slots = 0;
    bool slots_given = false;     ///< by the user; else as many as memcap run takes by itself
    double flops_per_step = 0.0;  ///< of one trial, as flops_per_step() of cost.hpp counts
    double trial_steps = 0.0;     ///< timed, of all slots together
    double elapsed_s = 0.0;       ///< in which
    MatrixPeak peak;              ///< by products made in turn with the steps
    double slot_bytes = 0.0;      ///< growth of the allocator's peak with each slot; 0 = no room for two
    std::string measured_utc;
    std::vector<SpeedTurn> turns;

    double trial_steps_per_s() const { return trial_steps / elapsed_s; }
    double flops_per_s() const { return flops_per_step * trial_steps_per_s(); }
    double fraction_of_peak() const { return flops_per_s() / peak.best_flops_per_s; }
    double fraction_of_median() const { return flops_per_s() / peak.median_flops_per_s; }
    /// As RunOptions has them, but 0 for automatic.
    std::int32_t wished_slots() const { return slots_given ? slots : 0; }
};

/// What a device is.
enum class Processor : std::uint8_t { cpu, cuda };

std::string_view to_string(Processor kind);

/// All that was measured on one device of one host.
struct DeviceSpeed {
    std::string memcap_version;
    std::string host;
    Processor kind = Processor::cpu;
    std::string device;  ///< its model, on a CPU with the number of threads: comparable between hosts
    std::int64_t memory_bytes = 0;
    double best_copy_bytes_per_s = 0.0;  ///< bytes read and bytes written
    double median_copy_bytes_per_s = 0.0;
    std::vector<MatrixPeak> peaks;  ///< one a precision
    std::vector<EngineSpeed> engines;
};

/// In which type the device of a measurement holds weights; where it is not known, the wider one that such a
/// device may take.
ValueWidths value_widths(const DeviceSpeed& device);

/// Puts the newer peaks and engines in place of those of the same precision, or the same name, precision,
/// length, vectors and wished slots; keeps the rest.
void merge(DeviceSpeed& all, const DeviceSpeed& newer);

/// A kind of trial whose speed is asked for.
struct SpeedQuestion {
    std::string family;
    bool scans = false;
    Precision precision = Precision::float32;
    double flops_per_step = 0.0;
    std::int32_t slots = 0;  ///< wished; 0 = automatic
};

/// Whether a measurement says anything of trials in so many wished slots (0 = automatic): few slots are slow
/// where many are fast, by a factor that no other measurement tells.
bool has_slots(const EngineSpeed& measured, std::int32_t wished);

/// Whether any measurement of these devices has_slots().
bool any_has_slots(std::span<const DeviceSpeed> devices, std::int32_t wished);

/// How far a measurement is from a question, in octaves of FLOPs per step: another family counts as one,
/// other products as three, scan against attention as six.
double distance(const EngineSpeed& measured, const SpeedQuestion& question);

/// Up to this distance a measurement says as much as a second of timing would: four times the FLOPs.
inline constexpr double kNear = 2.0;

struct SpeedEstimate {
    double seconds_per_flop = 0.0;
    EngineSpeed basis;  ///< the measurement that it rests on
    double distance = 0.0;
};

/// From the nearest measurement of all devices with the slots asked for, the latest one of equals; none if
/// nothing was measured so. In another precision than that of the measurement, its fraction of the peak times
/// the peak in that precision, if the device has one.
std::optional<SpeedEstimate> estimate_speed(std::span<const DeviceSpeed> devices,
                                            const SpeedQuestion& question);

}  // namespace memcap::plan
