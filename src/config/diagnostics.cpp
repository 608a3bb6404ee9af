// Mistakes as text.
#include "memcap/config/diagnostics.hpp"

#include <fmt/format.h>

namespace memcap::config {

std::string Location::text() const {
    return line == 0 ? file : fmt::format("{}:{}:{}", file, line, column);
}

std::string Diagnostic::text() const {
    std::string text = where.text() + ": " + found;
    if (!allowed.empty()) text += "; allowed: " + allowed;
    if (!suggestion.empty()) text += fmt::format("; did you mean '{}'?", suggestion);
    return text;
}

namespace {
ErrorText all_of(const std::vector<Diagnostic>& diagnostics) {
    std::string lines;
    for (const Diagnostic& diagnostic : diagnostics) {
        if (!lines.empty()) lines += '\n';
        lines += diagnostic.text();
    }
    return {.what = std::move(lines), .where = {}, .why = {}, .advice = {}};
}
}  // namespace

ConfigError::ConfigError(std::vector<Diagnostic> diagnostics)
    : Error(all_of(diagnostics)), diagnostics_(std::move(diagnostics)) {}

}  // namespace memcap::config
