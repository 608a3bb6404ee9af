// Plain-text layout of the statistics.
#include "app/capacity_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace memcap::app {

namespace {

std::string spread_text(double mean, double deviation) {
    if (!std::isfinite(mean)) return "-";
    if (!std::isfinite(deviation)) return fmt::format("{:.1f} (n = 1)", mean);
    return fmt::format("{:.1f} +- {:.1f}", mean, deviation);
}

std::string capacity_text(const metrics::StatisticsRow& row) {
    if (!row.capacity_known()) return "-";
    return fmt::format("{}{}", row.capacity_cut ? ">=" : "", row.capacity_tokens);
}

std::vector<std::string> cells_of(const metrics::StatisticsRow& row) {
    return {row.model,
            row.corpus,
            fmt::format("{}", row.memory_vectors),
            fmt::format("{}", row.prefix),
            row.protocol,
            std::string(to_string(row.precision)),
            fmt::format("{}", row.trials),
            row.failed > 0 ? fmt::format("{}", row.failed) : "",
            row.open > 0 ? fmt::format("{}", row.open) : "",
            capacity_text(row),
            row.capacity_known() ? fmt::format("{}", row.capacity_exact_tokens) : "-",
            spread_text(row.token_gain_mean, row.token_gain_std),
            spread_text(row.information_gain_nats_mean, row.information_gain_nats_std),
            std::isfinite(row.utilisation) ? fmt::format("{:.3f}", row.utilisation) : "-"};
}

using Line = std::vector<std::string>;

/// Columns worth their room: not an axis that the whole run shares, nor a count that is zero everywhere.
std::vector<bool> shown_columns(const std::vector<Line>& lines) {
    constexpr std::size_t kPrefix = 3;
    constexpr std::size_t kPrecision = 5;
    constexpr std::size_t kFailed = 7;
    constexpr std::size_t kOpen = 8;
    std::vector<bool> shown(lines.front().size(), true);
    const auto any = [&lines](auto differs) { return std::any_of(lines.begin() + 1, lines.end(), differs); };
    for (const std::size_t column : {kPrefix, kPrecision})
        shown[column] = any([&](const Line& line) { return line[column] != lines[1][column]; });
    for (const std::size_t column : {kFailed, kOpen})
        shown[column] = any([&](const Line& line) { return !line[column].empty(); });
    return shown;
}

}  // namespace

std::string capacity_table(std::span<const metrics::StatisticsRow> rows) {
    std::vector<Line> lines{{"model", "corpus", "K", "prefix", "protocol", "precision", "trials", "failed",
                             "open", "capacity", "exact", "token gain", "information gain (nats)",
                             "utilisation"}};
    for (const auto& row : rows) lines.push_back(cells_of(row));
    const std::vector<bool> shown = shown_columns(lines);
    std::vector<std::size_t> widths(shown.size(), 0);
    for (const Line& line : lines) {
        for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
    }
    std::string text;
    for (const Line& line : lines) {
        std::string row_text;
        for (std::size_t i = 0; i < line.size(); ++i) {
            if (!shown[i]) continue;
            const bool is_name = i < 2 || i == 4 || i == 5;
            row_text += is_name ? fmt::format("{:<{}}  ", line[i], widths[i])
                                : fmt::format("{:>{}}  ", line[i], widths[i]);
        }
        row_text.erase(row_text.find_last_not_of(' ') + 1);
        text += row_text + "\n";
    }
    return text;
}

}  // namespace memcap::app
