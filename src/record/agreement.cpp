// Comparing records, and telling kinds of failure apart.
#include "memcap/record/agreement.hpp"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <limits>

namespace memcap::record {

namespace {

constexpr double kNear = 1e-3;
constexpr double kSmallLoss_nats = 0.01;  // losses of solved texts; rounding does not shrink with them

bool same_bits(double a, double b) {
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

double relative_difference(double a, double b) {
    if (same_bits(a, b)) return 0.0;
    const double difference = std::abs(a - b) / std::max({std::abs(a), std::abs(b), kSmallLoss_nats});
    return std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
}

bool is_digit(char letter) {
    return std::isdigit(static_cast<unsigned char>(letter)) != 0;
}

}  // namespace

Comparison compare(const TrialRecord& a, const TrialRecord& b) {
    struct Loss {
        std::string_view name;
        double TrialRecord::*value;
    };
    Comparison comparison;
    for (const Loss& loss : {Loss{"loss_nomem_nats", &TrialRecord::loss_nomem_nats},
                             {"loss_nats", &TrialRecord::loss_nats},
                             {"loss_min_nats", &TrialRecord::loss_min_nats}}) {
        const double difference = relative_difference(a.*loss.value, b.*loss.value);
        if (difference <= comparison.difference) continue;
        comparison.difference = difference;
        comparison.quantity = loss.name;
    }
    const bool same_outcome = a.stop_reason == b.stop_reason && a.scored_tokens == b.scored_tokens &&
                              a.correct_tokens == b.correct_tokens &&
                              same_bits(a.accuracy_nomem, b.accuracy_nomem);
    const bool same_course = a.evaluations == b.evaluations && a.best_evaluation == b.best_evaluation;
    if (!same_outcome || comparison.difference > kNear) {
        comparison.agreement = Agreement::conflicting;
    } else if (comparison.difference > 0.0 || !same_course) {
        comparison.agreement = Agreement::near;
    }
    return comparison;
}

std::string failure_text(const Failure& failure) {
    return std::string(to_string(failure.category)) + ": " + failure.message;
}

std::string failure_kind(const Failure& failure) {
    std::string kind;
    for (const char letter : failure_text(failure)) {
        if (!is_digit(letter)) {
            kind += letter;
        } else if (kind.empty() || kind.back() != '#') {
            kind += '#';
        }
    }
    return kind;
}

}  // namespace memcap::record
