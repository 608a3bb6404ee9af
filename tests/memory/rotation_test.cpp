// Bases of SOAP: what is carried over from one to the next, and what a slot brings along.
#include "memory/detail/rotation.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace memcap::memory::detail {
namespace {

constexpr std::int64_t kWidth = 12;
constexpr std::int32_t kDue = 16;

class RotationTest : public testing::Test {
  protected:
    RotationTest() : rotations_(at::kCPU, kWidth) {
        at::manual_seed(11);
        rotations_.reserve(3);
        rotations_.enter(kSlot, {});
    }

    /// Gradients of two directions mostly.
    at::Tensor take_gradients(int count) {
        at::Tensor last;
        const at::Tensor directions = at::randn({2, kWidth});
        for (int i = 0; i < count; ++i) {
            last = at::mm(at::randn({3, 2}), directions) + 0.01 * at::randn({3, kWidth});
            turned_ = rotations_.take(kSlot, last);
        }
        return last;
    }
    at::Tensor basis() const {
        return at::tensor(rotations_.state(kSlot).basis, at::kFloat).reshape({kWidth, kWidth});
    }
    at::Tensor scatter() const {
        return at::tensor(rotations_.state(kSlot).scatter, at::kFloat).reshape({kWidth, kWidth});
    }

    static constexpr std::int32_t kSlot = 1;
    Rotations rotations_;
    at::Tensor turned_;
};

double difference(const at::Tensor& a, const at::Tensor& b) {
    return (a - b).abs().max().item<double>();
}

TEST_F(RotationTest, BeginInTheBasisOfTheMemoryItself) {
    const at::Tensor parameters = at::randn({3, kWidth});
    EXPECT_TRUE(at::equal(rotations_.memory(kSlot, parameters), parameters));
    const at::Tensor gradient = take_gradients(1);
    EXPECT_TRUE(at::equal(turned_, gradient));
    EXPECT_LT(difference(scatter(), 0.05 * at::mm(gradient.t(), gradient)), 1e-6);
    EXPECT_FALSE(rotations_.has(0));
    EXPECT_TRUE(rotations_.state(0).basis.empty());
}

TEST_F(RotationTest, RenewalLeavesTheMemoryWhereItIs) {
    take_gradients(kDue);
    const at::Tensor memory = at::randn({3, kWidth});
    at::Tensor parameters = memory.clone();
    at::Tensor first = at::randn({3, kWidth});
    const at::Tensor first_before = first.clone();
    at::Tensor second = at::rand({3, kWidth});
    const at::Tensor total = second.sum(1);
    for (const std::int32_t evaluations : {kDue, 2 * kDue, 3 * kDue}) {
        rotations_.renew(kSlot, evaluations, parameters, first, second);
        EXPECT_LT(difference(at::mm(basis().t(), basis()), at::eye(kWidth)), 1e-5);
        EXPECT_LT(difference(rotations_.memory(kSlot, parameters), memory), 1e-5);
        EXPECT_LT(difference(at::mm(first, basis().t()), first_before), 1e-5);
        // Variances are shared out anew, none is lost.
        EXPECT_LT(difference(second.sum(1), total), 1e-5);
        EXPECT_GE(second.min().item<double>(), 0.0);
    }
    EXPECT_GT(difference(basis(), at::eye(kWidth)), 0.1);
}

TEST_F(RotationTest, RenewalsFindTheDirectionsThatGradientsHave) {
    const at::Tensor gradient = take_gradients(kDue);
    at::Tensor zeros = at::zeros({3, kWidth});
    for (std::int32_t i = 1; i <= 20; ++i)
        rotations_.renew(kSlot, i * kDue, zeros.clone(), zeros.clone(), zeros.clone());
    // All but a little of the gradient lies in the first two directions.
    const at::Tensor turned = at::mm(gradient, basis());
    EXPECT_LT(turned.narrow(1, 2, kWidth - 2).norm().item<double>(), 0.05 * turned.norm().item<double>());
    const at::Tensor in_basis = at::mm(basis().t(), at::mm(scatter(), basis()));
    const at::Tensor off = in_basis - at::diag(in_basis.diagonal());
    EXPECT_LT(off.abs().max().item<double>(), 0.02 * in_basis.diagonal().max().item<double>());
}

TEST_F(RotationTest, RenewalWaitsForItsTime) {
    take_gradients(kDue);
    at::Tensor parameters = at::randn({3, kWidth});
    const at::Tensor before = parameters.clone();
    rotations_.renew(kSlot, kDue - 1, parameters, parameters, parameters);
    EXPECT_TRUE(at::equal(parameters, before));
    EXPECT_TRUE(at::equal(basis(), at::eye(kWidth)));
}

TEST_F(RotationTest, GradientsOfZeroOrOfNoNumberLeaveTheBasis) {
    at::Tensor parameters = at::randn({3, kWidth});
    const at::Tensor before = parameters.clone();
    rotations_.renew(kSlot, kDue, parameters, parameters, parameters);
    EXPECT_TRUE(at::equal(parameters, before));
    rotations_.take(kSlot, at::full({3, kWidth}, NAN));
    rotations_.renew(kSlot, 2 * kDue, parameters, parameters, parameters);
    EXPECT_TRUE(at::equal(parameters, before));
}

TEST_F(RotationTest, ASlotGoesOnElsewhereFromItsState) {
    take_gradients(kDue);
    at::Tensor parameters = at::randn({3, kWidth});
    rotations_.renew(kSlot, kDue, parameters, at::zeros({3, kWidth}), at::zeros({3, kWidth}));
    Rotations elsewhere(at::kCPU, kWidth);
    elsewhere.reserve(1);
    elsewhere.enter(0, rotations_.state(kSlot));
    EXPECT_TRUE(at::equal(elsewhere.memory(0, parameters), rotations_.memory(kSlot, parameters)));
    const at::Tensor gradient = at::randn({3, kWidth});
    EXPECT_TRUE(at::equal(elsewhere.take(0, gradient), rotations_.take(kSlot, gradient)));
    EXPECT_EQ(elsewhere.state(0).renewed, kDue);
    EXPECT_EQ(elsewhere.state(0).scatter, rotations_.state(kSlot).scatter);
}

TEST_F(RotationTest, AllSlotsAtOnceAreAsEachAlone) {
    take_gradients(kDue);
    at::Tensor parameters = at::randn({3, 2, kWidth});
    rotations_.enter(0, {});
    rotations_.enter(2, {});
    rotations_.renew(kSlot, kDue, parameters[kSlot], at::zeros({2, kWidth}), at::zeros({2, kWidth}));
    const at::Tensor gradients = at::randn({3, 2, kWidth});
    Rotations alone(at::kCPU, kWidth);
    alone.reserve(3);
    for (const std::int32_t slot : {0, 1, 2}) alone.enter(slot, rotations_.state(slot));
    const at::Tensor memories = rotations_.memories(parameters);
    const at::Tensor turned = rotations_.take_all(gradients);
    for (const std::int32_t slot : {0, 1, 2}) {
        EXPECT_LT(difference(memories[slot], alone.memory(slot, parameters[slot])), 1e-6);
        EXPECT_LT(difference(turned[slot], alone.take(slot, gradients[slot])), 1e-6);
        EXPECT_EQ(alone.state(slot).scatter.size(), rotations_.state(slot).scatter.size());
    }
}

}  // namespace
}  // namespace memcap::memory::detail
