// Timing steps of several sizes.
#include "memcap/memory/row_budget.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "memcap/memory/slots.hpp"

namespace memcap::memory {

namespace {

/// An evaluation of this length has enough work to be fast, and too much to be tried several times.
constexpr double kLongEvaluation_s = 0.05;
/// So many hide what starting them costs a GPU's host.
constexpr std::int32_t kDeviceEvaluations = 4;
constexpr double kWorthwhileGain = 0.97;
constexpr double kNoLoss = 1.01;

/// A trial that never ends.
plan::Trial endless_trial(std::int32_t positions, std::uint64_t number) {
    plan::Trial trial;
    trial.id = {0, number};
    trial.memory_vectors = 1;
    trial.text.assign(static_cast<std::size_t>(std::max(positions, 2)), 0);
    trial.protocol.max_steps = std::numeric_limits<std::int32_t>::max();
    trial.protocol.patience = std::numeric_limits<std::int32_t>::max();
    trial.protocol.stop_accuracy = 2.0;
    return trial;
}

struct StepTime {
    std::int64_t rows = 0;
    double evaluation_s = 0.0;
    bool short_of_memory = false;

    double row_s() const { return evaluation_s / static_cast<double>(rows); }
};

/// The shortest of a few evaluations with about so many rows.
StepTime time_step(const models::CausalLM& model, std::int32_t positions, std::int64_t rows,
                   const std::function<double()>& now_s) {
    constexpr int kRepeats = 3;
    const plan::Trial first = endless_trial(positions, 0);
    const std::int64_t slots = std::max<std::int64_t>(1, rows / first.positions());
    const std::int32_t evaluations = model.device().is_cpu() ? 1 : kDeviceEvaluations;
    SlotsEngine engine(
        model, {.slots = static_cast<std::int32_t>(slots), .keep_vectors = false, .look_every = evaluations});
    SlotState state;
    state.memory = initial_memory(first, model.description().memory_width, model.embedding_std());
    state.first_moment.assign(state.memory.size(), 0.0F);
    state.second_moment.assign(state.memory.size(), 0.0F);
    engine.expect(std::vector<const plan::Trial*>(static_cast<std::size_t>(slots), &first));
    for (std::int64_t i = 0; i < slots; ++i)
        engine.enter(endless_trial(positions, static_cast<std::uint64_t>(i)), state);
    StepTime time{.rows = slots * first.positions(), .evaluation_s = 1e30};
    for (int i = 0; i <= kRepeats; ++i) {
        const double start_s = now_s();
        engine.step();
        if (engine.reduced_budget() > 0) return {engine.reduced_budget(), 1e30, true};
        const double evaluation_s = (now_s() - start_s) / evaluations;
        // The first step finds caches and kernels cold.
        if (i > 0) time.evaluation_s = std::min(time.evaluation_s, evaluation_s);
        if (evaluation_s > kLongEvaluation_s && i > 0) break;
    }
    return time;
}

}  // namespace

std::int64_t fastest_rows(const models::CausalLM& model, std::int32_t positions, std::int64_t first_guess,
                          std::int64_t most_rows, const std::function<double()>& now_s) {
    StepTime best = time_step(model, positions, first_guess, now_s);
    if (best.short_of_memory) return best.rows;
    bool grew = false;
    while (best.evaluation_s < kLongEvaluation_s && 2 * best.rows <= most_rows) {
        const StepTime larger = time_step(model, positions, 2 * best.rows, now_s);
        if (larger.short_of_memory || larger.row_s() > best.row_s() * kWorthwhileGain) break;
        best = larger;
        grew = true;
    }
    while (!grew && best.evaluation_s < kLongEvaluation_s && best.rows >= 2 * std::int64_t{positions}) {
        const StepTime smaller = time_step(model, positions, best.rows / 2, now_s);
        if (smaller.rows >= best.rows || smaller.row_s() > best.row_s() * kNoLoss) break;
        best = smaller;
    }
    return best.rows;
}

}  // namespace memcap::memory
