// Times of batch systems.
#include "app/job_end.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string>

#include "memcap/base/errors.hpp"

namespace memcap::app {

namespace {

// Checkpoints come in within seconds; a file system under load takes longer.
constexpr double kWindUp_s = 20.0;
// The last results file of a million trials took up to 18 s.
constexpr double kWindUpPerTrial_s = 30e-6;

double unit_s(char unit) {
    switch (unit) {
        case 's':
            return 1.0;
        case 'm':
            return 60.0;
        case 'h':
            return 3600.0;
        case 'd':
            return 86400.0;
        default:
            return 0.0;
    }
}

std::optional<double> slurm_end_utc_s() {
    const char* text = std::getenv("SLURM_JOB_END_TIME");
    if (text == nullptr) return std::nullopt;
    const std::string_view digits(text);
    std::int64_t end_s = 0;
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), end_s);
    if (problem != std::errc{} || end != digits.data() + digits.size() || end_s <= 0) return std::nullopt;
    return static_cast<double>(end_s);
}

}  // namespace

double duration_s(std::string_view text) {
    double total_s = 0.0;
    std::string_view left = text;
    bool is_whole = true;
    while (!left.empty() && is_whole) {
        std::uint32_t number = 0;
        const auto [end, problem] = std::from_chars(left.data(), left.data() + left.size(), number);
        left.remove_prefix(static_cast<std::size_t>(end - left.data()));
        const double unit = left.empty() ? 0.0 : unit_s(left.front());
        is_whole = problem == std::errc{} && unit > 0.0;
        if (is_whole) left.remove_prefix(1);
        total_s += number * unit;
    }
    if (!is_whole || total_s <= 0.0) {
        throw UsageError({.what = fmt::format("'{}' is no duration", text),
                          .where = {},
                          .why = {},
                          .advice = "Write a number with s, m, h or d, such as 90m, 4h or 1d12h"});
    }
    return total_s;
}

std::optional<double> job_end_utc_s(double started_utc_s, std::optional<double> limit_s) {
    auto slurm_s = slurm_end_utc_s();
    // Of another job, from which this one was submitted.
    if (slurm_s && *slurm_s <= started_utc_s) slurm_s.reset();
    if (!limit_s) return slurm_s;
    return std::min(started_utc_s + *limit_s, slurm_s.value_or(started_utc_s + *limit_s));
}

double wind_up_s(std::uint64_t trials) {
    return kWindUp_s + kWindUpPerTrial_s * static_cast<double>(trials);
}

}  // namespace memcap::app
