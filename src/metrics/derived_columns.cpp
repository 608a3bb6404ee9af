// Derived columns of one trial.
#include "memcap/metrics/derived_columns.hpp"

namespace memcap::metrics {

DerivedColumns derived_columns(const record::TrialRecord& record, std::int32_t length) {
    return {.ce_nomem_nats = record.loss_nomem_nats * (length - 1),
            .ce_nats = record.loss_nats * record.scored_tokens,
            .information_gain_nats = (record.loss_nomem_nats - record.loss_min_nats) * length,
            .token_gain = (record.accuracy - record.accuracy_nomem) * length};
}

}  // namespace memcap::metrics
