// Weights on their way from files to tensors: values in every precision, and memory that ranks share.
#include "memcap/nn/weights.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "hub/model_folder.hpp"
#include "memcap/base/errors.hpp"
#include "support/mapping.hpp"
#include "support/temporary_folder.hpp"

namespace memcap::nn {
namespace {

using hub::testing::ModelFolder;
using hub::testing::safetensors;

constexpr ProductMode kFloat32{};
constexpr ProductMode kBfloat16{at::kBFloat16, at::kBFloat16};
constexpr ProductMode kBfloat16InFloat32{at::kBFloat16, at::kFloat};
constexpr ProductMode kFloat16InFloat32{at::kHalf, at::kFloat};

std::string bytes_of(const at::Tensor& tensor) {
    const at::Tensor whole = tensor.contiguous();
    return {static_cast<const char*>(whole.const_data_ptr()), whole.nbytes()};
}

/// A folder with tensors a [300, 257] and b [100, 257] float32, c [40, 8] bf16, d [40, 8] f16, e [6] float32.
class WeightReaderTest : public ::testing::Test {
  protected:
    WeightReaderTest() {
        ::setenv("TMPDIR", temporary_.path().c_str(), 1);
        // The processes forked below have none of their parent's other threads, and would wait for them for
        // ever.
        at::set_num_threads(1);
        at::manual_seed(5);
        a_ = at::randn({300, 257});
        b_ = at::randn({100, 257}) * 1e-3;
        c_ = at::randn({40, 8}).to(at::kBFloat16);
        d_ = at::randn({40, 8}).to(at::kHalf);
        e_ = at::randn({6});
        write(a_);
    }
    ~WeightReaderTest() override { ::unsetenv("TMPDIR"); }

    void write(const at::Tensor& a) const {
        std::ostringstream header;
        std::string data;
        const auto add = [&](const char* name, const char* type, const at::Tensor& tensor) {
            header << (data.empty() ? "{" : ",") << '"' << name << R"(":{"dtype":")" << type
                   << R"(","shape":[)";
            for (std::int64_t i = 0; i < tensor.dim(); ++i) header << (i > 0 ? "," : "") << tensor.size(i);
            header << R"(],"data_offsets":[)" << data.size() << ',';
            data += bytes_of(tensor);
            header << data.size() << "]}";
        };
        add("a", "F32", a);
        add("b", "F32", b_);
        add("c", "BF16", c_);
        add("d", "F16", d_);
        add("e", "F32", e_);
        header << '}';
        // The reference implementation pads the header so that the data begin at a multiple of eight.
        std::string text = header.str();
        text.resize((text.size() + 7) / 8 * 8, ' ');
        folder_.write("model.safetensors", safetensors(text, data));
    }
    WeightReader reader(ProductMode mode = {}, at::Device device = at::kCPU) const {
        return {std::make_shared<const hub::WeightFiles>(hub::WeightFiles::open(folder_.path())), mode,
                device};
    }
    std::string problem(ProductMode mode, const std::function<void(const WeightReader&)>& read) const {
        try {
            read(reader(mode));
        } catch (const DataError& error) {
            return error.what();
        }
        return "no error";
    }
    static int status_of(const std::function<bool()>& body) {
        const pid_t child = ::fork();
        if (child == 0) ::_exit(body() ? 0 : 1);
        int status = 0;
        ::waitpid(child, &status, 0);
        return status;
    }

    /// b over a.
    static at::Tensor stack_of(const WeightReader& weights) {
        return weights.stacked_matrix({"b", "a"}, {100, 300}, 257).at(0);
    }

    test::TemporaryFolder temporary_;
    ModelFolder folder_;
    at::Tensor a_, b_, c_, d_, e_;
};

std::string mapping_of(const at::Tensor& tensor) {
    return test::mapping_of(tensor.const_data_ptr());
}

TEST_F(WeightReaderTest, GivesTheValuesOfTheFileInEachPrecision) {
    for (const auto& mode : {kFloat32, kBfloat16, kBfloat16InFloat32, kFloat16InFloat32}) {
        const WeightReader weights = reader(mode);
        const auto expect_factor = [&](const at::Tensor& read, const at::Tensor& source) {
            EXPECT_EQ(read.scalar_type(), mode.multiplied);
            EXPECT_TRUE(at::equal(read, source.to(mode.rounded).to(mode.multiplied)));
        };
        expect_factor(weights.matrix("a", {300, 257}), a_);
        expect_factor(weights.matrix("c", {40, 8}), c_);
        expect_factor(weights.matrix("d", {40, 8}), d_);
        expect_factor(stack_of(weights), at::cat({b_, a_}));
        expect_factor(weights.stacked_matrix({"c", "d"}, {40, 40}, 8).at(0),
                      at::cat({c_.to(at::kFloat), d_.to(at::kFloat)}));
        EXPECT_TRUE(at::equal(weights.values("d", {40, 8}), d_.to(at::kFloat)));
        EXPECT_TRUE(at::equal(weights.stacked_vector({"e", "e"}, {6, 6}), at::cat({e_, e_})));
    }
}

TEST_F(WeightReaderTest, AMatrixThatLiesReadyIsTheMappedFile) {
    const WeightReader weights = reader();
    EXPECT_NE(mapping_of(weights.matrix("a", {300, 257})).find("model.safetensors"), std::string::npos);
    EXPECT_NE(mapping_of(reader(kBfloat16).matrix("c", {40, 8})).find("model.safetensors"),
              std::string::npos);
    EXPECT_NE(mapping_of(weights.matrix("c", {40, 8})).find("memfd:memcap"), std::string::npos);
    EXPECT_NE(mapping_of(stack_of(weights)).find("memfd:memcap"), std::string::npos);
}

TEST_F(WeightReaderTest, LargeMatricesThatLieReadyAreNotStacked) {
    const at::Tensor large = at::randn({1100, 257});
    std::filesystem::remove(folder_.path() / "model.safetensors");
    write(large);
    const WeightReader weights = reader();
    const auto parts = weights.stacked_matrix({"a", "a"}, {1100, 1100}, 257);
    ASSERT_EQ(parts.size(), 2U);
    EXPECT_TRUE(at::equal(parts[1], large));
    EXPECT_NE(mapping_of(parts[0]).find("model.safetensors"), std::string::npos);
    EXPECT_EQ(weights.stacked_matrix({"a", "b"}, {1100, 100}, 257).size(), 1U) << "one of them is small";
    EXPECT_EQ(reader(kBfloat16).stacked_matrix({"a", "a"}, {1100, 1100}, 257).size(), 1U);
}

TEST_F(WeightReaderTest, TensorsOutliveTheReader) {
    at::Tensor mapped;
    at::Tensor made;
    {
        WeightReader weights = reader();
        mapped = weights.matrix("a", {300, 257});
        made = stack_of(weights);
        weights.share();
    }
    EXPECT_TRUE(at::equal(mapped, a_));
    EXPECT_TRUE(at::equal(made, at::cat({b_, a_})));
}

TEST_F(WeightReaderTest, AnotherProcessOfTheNodeMapsWhatTheFirstHasMade) {
    WeightReader first = reader();
    const at::Tensor here = stack_of(first);
    first.share();
    const auto inode = [](const at::Tensor& tensor) {
        std::string offset, permissions, device, number, range;
        std::istringstream(mapping_of(tensor)) >> range >> permissions >> offset >> device >> number;
        return permissions + " " + number;
    };
    const std::string expected = inode(here);
    EXPECT_EQ(expected.substr(0, 4), "r--s") << "shared, and sealed against writing";
    EXPECT_EQ(status_of([&] {
                  const WeightReader second = reader();
                  const at::Tensor there = stack_of(second);
                  return inode(there) == expected && at::equal(there, here);
              }),
              0);
    EXPECT_EQ(status_of([&] {
                  const WeightReader other = reader(kBfloat16InFloat32);
                  const at::Tensor there = stack_of(other);
                  return inode(there) != expected && at::equal(there, here.to(at::kBFloat16).to(at::kFloat));
              }),
              0)
        << "another precision is another memory";
}

TEST_F(WeightReaderTest, FilesThatChangedAreNotTakenForThoseInMemory) {
    WeightReader first = reader();
    const at::Tensor before = stack_of(first);
    first.share();
    std::filesystem::remove(folder_.path() / "model.safetensors");
    write(a_ + 1.0);
    WeightReader second = reader();
    EXPECT_TRUE(at::equal(stack_of(second), at::cat({b_, a_ + 1.0})));
    EXPECT_TRUE(at::equal(before, at::cat({b_, a_})));
}

TEST_F(WeightReaderTest, AReaderThatFailsLeavesTheWorkToTheNext) {
    EXPECT_EQ(status_of([this] {
                  return problem(kFloat32, [](const WeightReader& weights) {
                             weights.matrix("none", {1, 1});
                         }).find("'none' is missing") != std::string::npos;
              }),
              0);
    EXPECT_TRUE(at::equal(reader().matrix("a", {300, 257}), a_));
}

TEST_F(WeightReaderTest, RefusesValuesThatAreNotFiniteWhereverTheyStand) {
    for (const double value : {std::numeric_limits<double>::infinity(), std::nan(""), -1e30}) {
        for (const std::int64_t row : {0, 299}) {
            at::Tensor bad = a_.clone();
            bad[row][256] = value;
            std::filesystem::remove(folder_.path() / "model.safetensors");
            write(bad);
            const auto matrix = [](const WeightReader& weights) { weights.matrix("a", {300, 257}); };
            const auto stack = [](const WeightReader& weights) { stack_of(weights); };
            const bool finite = std::isfinite(value);
            const std::string expected =
                finite ? "no error" : "tensor 'a' holds a value that is not finite in";
            EXPECT_NE(problem(kFloat32, matrix).find(expected), std::string::npos);
            EXPECT_NE(problem(kFloat32, stack).find(expected), std::string::npos);
            EXPECT_NE(problem(kBfloat16, matrix).find(expected), std::string::npos);
            EXPECT_NE(
                problem(kFloat16InFloat32, stack).find("tensor 'a' holds a value that is not finite in Half"),
                std::string::npos)
                << "1e30 is beyond float16";
            EXPECT_EQ(finite, problem(kFloat32, [&](const WeightReader&) {
                                  reader(kFloat32, at::kMeta).matrix("a", {300, 257});
                              }) == "no error");
        }
    }
}

TEST_F(WeightReaderTest, RefusesTypesOfQuantisedModelsByTheirNameWhereTheyAreNeeded) {
    folder_.write("model.safetensors",
                  safetensors(R"({"q":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[0,4]},)"
                              R"("x":{"dtype":"F32","shape":[1,1],"data_offsets":[4,8]}})",
                              std::string(8, '\0')));
    for (const auto& mode : {kFloat32, kBfloat16}) {
        EXPECT_NE(problem(mode,
                          [](const WeightReader& weights) {
                              weights.matrix("q", {2, 2});
                          })
                      .find("tensor 'q' has type F8_E4M3, with which memcap does not compute"),
                  std::string::npos);
        EXPECT_EQ(problem(mode,
                          [](const WeightReader& weights) {
                              weights.matrix("x", {1, 1});
                          }),
                  "no error");
    }
}

TEST_F(WeightReaderTest, RefusesOtherShapes) {
    for (const auto& mode : {kFloat32, kBfloat16}) {
        EXPECT_NE(problem(mode,
                          [](const WeightReader& weights) {
                              weights.matrix("a", {257, 300});
                          })
                      .find("'a' has shape [300, 257]"),
                  std::string::npos);
    }
}

}  // namespace
}  // namespace memcap::nn
