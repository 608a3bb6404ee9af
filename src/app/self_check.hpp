// Whether this process computes what it should, before anything is computed.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "memcap/base/errors.hpp"
#include "memcap/models/causal_lm.hpp"

namespace memcap::app {

/// Numbers of trials whose values are known: what steps of the slots engine make of a small model.
struct KnownStep {
    static constexpr std::size_t kTrials = 4;
    static constexpr std::size_t kEvaluations = 3;
    static constexpr std::size_t kPieces = 8;

    struct Trial {
        std::array<double, kEvaluations> loss_nats;  ///< of its first evaluations
        std::array<double, kPieces> gradient;        ///< norms of equal pieces of the first one [K, E]
    };
    std::array<Trial, kTrials> trials;
};

/// The small model, the same each time.
std::unique_ptr<models::CausalLM> model_of_known_step(at::Device device);
/// Computes the step on the path that trials take.
KnownStep compute_known_step(const models::CausalLM& model);
/// What PyTorch and transformers make of it (tests/golden/known_step.py).
const KnownStep& expected_known_step();

/// A process whose numbers cannot be trusted; exit status 1.
class WrongNumbers : public DeviceError {
  public:
    using DeviceError::DeviceError;
};

/// Throws WrongNumbers unless these are the expected numbers, as far as rounding lets them.
void require_known(const KnownStep& found);

/// Computes the known step with the threads that libtorch has now, and throws WrongNumbers where it is not
/// what it should be; warns where rows of products depend on their company. Takes some hundredths of a second
/// on a CPU.
void check_this_process(at::Device device);

}  // namespace memcap::app
