// Trials of one cell, made from the few numbers that a metric looks at.
#pragma once

#include <deque>
#include <vector>

#include "memcap/metrics/outcome.hpp"

namespace memcap::metrics::testing {

/// Owns axes and records; `outcomes` are views of them.
class Cell {
  public:
    record::TrialRecord& add(std::int32_t length, std::int32_t correct_tokens, double loss_nomem_nats = 4.0,
                             double loss_min_nats = 1.0) {
        Axes& axes = axes_.emplace_back();
        axes.model = "m";
        axes.corpus = "c";
        axes.protocol = "paper";
        axes.memory_vectors = 1;
        axes.length = length;
        record::TrialRecord& record = records_.emplace_back();
        record.scored_tokens = length - 1;
        record.correct_tokens = correct_tokens;
        record.exact = correct_tokens == length - 1;
        record.accuracy = static_cast<double>(correct_tokens) / (length - 1);
        record.accuracy_nomem = 0.0;
        record.loss_nomem_nats = loss_nomem_nats;
        record.loss_min_nats = loss_min_nats;
        record.loss_nats = loss_min_nats;
        outcomes_.push_back({&axes, &record});
        return record;
    }
    void add_failed(std::int32_t length) { add(length, 0) = failed(); }
    Axes& last_axes() { return axes_.back(); }
    const std::vector<Outcome>& outcomes() const { return outcomes_; }

  private:
    static record::TrialRecord failed() {
        record::TrialRecord record;
        record.status = record::TrialStatus::failed;
        return record;
    }

    std::deque<Axes> axes_;
    std::deque<record::TrialRecord> records_;
    std::vector<Outcome> outcomes_;
};

}  // namespace memcap::metrics::testing
