// Trials side by side in one batch: its buffers on the device, and one evaluation and update of all of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "memcap/base/protocol.hpp"
#include "memcap/memory/objective.hpp"
#include "memcap/models/causal_lm.hpp"
#include "memcap/nn/step_graph.hpp"
#include "memory/detail/slot_update.hpp"

// Shapes: B slots, K memory vectors of the slot with most, E input width, R rows of the input, S scored rows.
namespace memcap::memory::detail {

/// How the rows of a batch are laid out. `positions` of every slot, filled up with pads; 0: each slot has as
/// many as its trial, and the batch changes its shape with the trials in it. A graph of the device needs the
/// former, and every buffer where it was.
struct BucketShape {
    std::int64_t positions = 0;
    std::int32_t slots = 0;           ///< B, for a fixed shape
    std::int32_t memory_vectors = 0;  ///< K of every slot, for a fixed shape
};

/// The numbers of one trial that are optimised; [K, E] each.
struct SlotVectors {
    std::vector<float> memory;
    std::vector<float> first_moment;
    std::vector<float> second_moment;
    std::vector<float> best_memory;
};

/// What enters a slot.
struct SlotContent {
    const Objective* objective = nullptr;
    const Protocol* protocol = nullptr;
    const SlotVectors* vectors = nullptr;  ///< best_memory may be empty
    SlotProgress progress;
};

/// Nothing in evaluate() waits for the device; look() does.
class Bucket {
  public:
    /// `curve_points`: evaluations between two looks at most. `model` must outlive the bucket.
    Bucket(const models::CausalLM& model, BucketShape shape, std::int32_t curve_points);
    // A recorded step knows where the buffers lie.
    Bucket(const Bucket&) = delete;
    Bucket& operator=(const Bucket&) = delete;

    /// The slot that a trial was put into.
    std::int32_t enter(const SlotContent& content);
    void leave(std::int32_t slot);
    /// One evaluation of every slot, then the update of those that go on. With a fixed shape on a GPU the
    /// first one records the step, and all of them start the recording.
    void evaluate();
    /// Brings progress and curve to the host.
    void look();

    /// As of the last look.
    const SlotProgress& progress(std::int32_t slot) const { return progress_[index(slot)]; }
    /// Evaluation `number` (from 1) of a slot; only the last `curve_points` are there.
    const CurvePoint& point(std::int32_t slot, std::int32_t number) const;
    SlotVectors vectors(std::int32_t slot) const;
    std::vector<float> best_memory(std::int32_t slot) const;
    bool occupied(std::int32_t slot) const { return contents_[index(slot)].has_value(); }
    std::int32_t slots() const { return static_cast<std::int32_t>(contents_.size()); }
    std::int32_t trials() const;
    bool is_full() const { return shape_.positions > 0 && trials() == shape_.slots; }
    /// Rows of the input that the trials in it take.
    std::int64_t rows() const;

  private:
    /// What of a trial is needed again when the rows are laid out anew.
    struct Content {
        std::int64_t memory_vectors = 0;
        std::int64_t positions = 0;
        at::Tensor tokens_TE;                 ///< embeddings of its input tokens
        std::vector<at::Tensor> token_parts;  ///< their CausalLM::row_parts(), the same at each evaluation
        std::vector<ScoredPosition> scored;
        float sharpness = 1.0F;  ///< of its rows, see nn::RowLoss
    };

    static std::size_t index(std::int32_t slot) { return static_cast<std::size_t>(slot); }
    void reserve(std::size_t slots, std::int64_t memory_vectors);
    void set_progress(std::int32_t slot, const SlotProgress& progress);
    std::vector<float> read(const at::Tensor& all_BKE, std::int32_t slot) const;
    struct Rows;
    void lay_out();
    void append(Rows& rows, std::size_t slot);
    void lay_out_tokens(std::int64_t rows);
    std::vector<at::Tensor> rows_like_parts(std::int64_t rows) const;
    void record();
    void step();
    std::int64_t rows_of(const Content& content) const;

    const models::CausalLM& model_;
    BucketShape shape_;
    std::int32_t curve_points_;
    std::vector<std::optional<Content>> contents_;  ///< [B]
    std::vector<SlotRules> rules_;                  ///< [B]
    std::vector<SlotProgress> progress_;            ///< [B], of the last look
    std::vector<CurvePoint> curve_;                 ///< [B, curve_points]
    bool laid_out_ = false;

    // On the device. The first three hold the structs of slot_update.hpp as bytes.
    at::Tensor device_rules_;
    at::Tensor device_progress_;
    at::Tensor device_curve_;
    at::Tensor memory_BKE_;
    at::Tensor first_moment_BKE_;
    at::Tensor second_moment_BKE_;
    at::Tensor best_memory_BKE_;
    nn::Segments segments_;
    at::Tensor input_RE_;  ///< token embeddings; the memory's rows are written before each evaluation
    std::vector<at::Tensor> row_parts_;  ///< of input_RE_, the memory's rows written likewise
    at::Tensor memory_position_;         ///< [memory rows of all trials] int64, in the slot
    at::Tensor input_row_;               ///< [memory rows of all trials] int64, into the input
    at::Tensor memory_row_;              ///< the same rows in [B * K]
    at::Tensor scored_row_S_;
    at::Tensor target_S_;
    at::Tensor weight_S_;     ///< gradient_scale / scored tokens of the row's slot; 0 at pads
    at::Tensor sharpness_S_;  ///< see nn::RowLoss
    bool is_sharp_ = false;   ///< a row has another sharpness than 1
    nn::StepGraph graph_;     ///< of step(), for a fixed shape
};

}  // namespace memcap::memory::detail
