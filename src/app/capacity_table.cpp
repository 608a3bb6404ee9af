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
    if (!std::isfinite(deviation)) return fmt::format("{:.1f}", mean);
    return fmt::format("{:.1f} +- {:.1f}", mean, deviation);
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
            fmt::format("{}{}", row.capacity_cut ? ">=" : "", row.capacity_tokens),
            fmt::format("{}", row.capacity_exact_tokens),
            spread_text(row.token_gain_mean, row.token_gain_std),
            spread_text(row.information_gain_nats_mean, row.information_gain_nats_std),
            std::isfinite(row.utilisation) ? fmt::format("{:.3f}", row.utilisation) : "-"};
}

}  // namespace

std::string capacity_table(std::span<const metrics::StatisticsRow> rows) {
    std::vector<std::vector<std::string>> lines{{"model", "corpus", "K", "prefix", "protocol", "precision",
                                                 "trials", "failed", "capacity", "exact", "token gain",
                                                 "information gain (nats)", "utilisation"}};
    for (const auto& row : rows) lines.push_back(cells_of(row));
    const std::size_t columns = lines.front().size();
    std::vector<std::size_t> widths(columns, 0);
    std::vector<bool> varies(columns, false);
    for (const auto& line : lines) {
        for (std::size_t i = 0; i < columns; ++i) {
            widths[i] = std::max(widths[i], line[i].size());
            varies[i] = varies[i] || (&line != &lines.front() && line[i] != lines[1][i]);
        }
    }
    // Axes that the whole run shares would only make the table wide.
    constexpr std::size_t kPrefix = 3;
    constexpr std::size_t kPrecision = 5;
    constexpr std::size_t kFailed = 7;
    std::string text;
    for (const auto& line : lines) {
        std::string row_text;
        for (std::size_t i = 0; i < columns; ++i) {
            if ((i == kPrefix || i == kPrecision || i == kFailed) && !varies[i]) continue;
            const bool is_name = i < 2 || i == 4 || i == kPrecision;
            row_text += is_name ? fmt::format("{:<{}}  ", line[i], widths[i])
                                : fmt::format("{:>{}}  ", line[i], widths[i]);
        }
        row_text.erase(row_text.find_last_not_of(' ') + 1);
        text += row_text + "\n";
    }
    return text;
}

}  // namespace memcap::app
