// Which library multiplies, and what it is given.
#include "nn/detail/cpu_product.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "memcap/nn/product.hpp"
#include "nn/kernels/cpu_kernels.hpp"

// Of the MKL inside libtorch, which has no header; absent from a libtorch without MKL.
extern "C" int MKL_Set_Num_Threads_Local(int threads) __attribute__((weak));

namespace memcap::nn {

namespace detail {

namespace {

using LinearOperation = at::Tensor(const at::Tensor& x, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias, c10::string_view attribute,
                                   c10::List<std::optional<at::Scalar>> scalars,
                                   std::optional<c10::string_view> algorithm);

/// libtorch's operation over oneDNN, which has no C++ header of its own.
at::Tensor onednn_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    static const auto operation = c10::Dispatcher::singleton()
                                      .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                      .typed<LinearOperation>();
    return operation.call(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, "none",
                          c10::List<std::optional<at::Scalar>>(), "");
}

/// Whether the processor has AVX-512, with which the last rows of a product are as the others.
bool has_wide_registers() {
    static const bool wide = kernels::cpu_kernels().instruction_set == std::string_view("v4");
    return wide;
}

/// Rows that the loops of either library take as a whole. With AVX2 there may be 3, 4, 6, 8 or 16 at a time.
std::int64_t unit_rows() {
    return has_wide_registers() ? 16 : 48;
}

/// So many rows are not few for either library; for MKL half of them are enough with AVX-512.
std::int64_t fewest_rows() {
    return has_wide_registers() ? 128 : 96;
}

/// Rows that are worth a call of their own, and not few for the library.
std::int64_t fewest_thread_rows(ProductLibrary library) {
    if (!has_wide_registers()) return 96;
    return library == ProductLibrary::mkl ? 64 : 128;
}

/// With AVX2 oneDNN copies large factors, and then adds long sums in other pieces; so few rows it never
/// copies.
std::int64_t most_rows_of_call(const at::Tensor& weight, ProductLibrary library) {
    constexpr std::int64_t kLongSum = 384;
    constexpr std::int64_t kRowsWithoutCopy = 240;
    const bool may_copy = library == ProductLibrary::onednn && !has_wide_registers() &&
                          weight.size(1) > kLongSum && weight.size(0) > kRowsWithoutCopy;
    return may_copy ? kRowsWithoutCopy : INT64_MAX;
}

/// x with rows of zeros behind its own, as far as the library needs them.
at::Tensor filled_up(const at::Tensor& x) {
    const std::int64_t unit = has_wide_registers() ? 1 : unit_rows();
    const std::int64_t wanted = (std::max(x.size(0), fewest_rows()) + unit - 1) / unit * unit;
    return wanted == x.size(0) ? x : at::constant_pad_nd(x, {0, 0, 0, wanted - x.size(0)});
}

/// Tells both libraries, while it lives, that the calling thread is all they have: inside of a parallel
/// region as well they would cut their work for as many threads as there are.
class OneThread {
  public:
    OneThread() : openmp_was_(omp_get_max_threads()) {
        omp_set_num_threads(1);
        if (MKL_Set_Num_Threads_Local != nullptr) mkl_was_ = MKL_Set_Num_Threads_Local(1);
    }
    ~OneThread() {
        if (MKL_Set_Num_Threads_Local != nullptr) MKL_Set_Num_Threads_Local(mkl_was_);
        omp_set_num_threads(openmp_was_);
    }
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

  private:
    int openmp_was_;
    int mkl_was_ = 0;
};

void multiply_rows(const at::Tensor& y, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   ProductLibrary library) {
    at::Tensor result = y;
    if (library == ProductLibrary::onednn) {
        result.copy_(onednn_product(x, weight, bias));
        return;
    }
    // With AVX2 MKL adds to what is there already at another time for other numbers of rows, so the bias
    // comes last.
    at::mm_out(result, x, weight.t());
    if (bias.defined()) result.add_(bias);
}

/// Into y, each thread with rows of its own: x of filled_up() rows.
void multiply_in_panels(const at::Tensor& y, const at::Tensor& x, const at::Tensor& weight,
                        const at::Tensor& bias, ProductLibrary library) {
    const std::int64_t rows = x.size(0);
    const std::int64_t unit = unit_rows();
    const std::int64_t units = (rows + unit - 1) / unit;
    const std::int64_t most = most_rows_of_call(weight, library);
    const std::int64_t panels =
        std::max(std::clamp<std::int64_t>(rows / fewest_thread_rows(library), 1, at::get_num_threads()),
                 (rows - 1) / most + 1);
    at::parallel_for(0, panels, 1, [&](std::int64_t first, std::int64_t last) {
        const at::NoGradGuard no_gradients;
        const OneThread alone;
        for (std::int64_t panel = first; panel < last; ++panel) {
            const std::int64_t begin = units * panel / panels * unit;
            const std::int64_t count = std::min(units * (panel + 1) / panels * unit, rows) - begin;
            multiply_rows(y.narrow(0, begin, count), x.narrow(0, begin, count), weight, bias, library);
        }
    });
}

/// x of filled_up() rows.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   ProductLibrary library) {
    const bool alone = at::get_num_threads() == 1 && x.size(0) <= most_rows_of_call(weight, library);
    // Among many threads oneDNN shares sums where rows are few; with AVX-512 and so few threads it does not.
    constexpr int kFewThreads = 4;
    const bool shares_no_sum = has_wide_registers() && at::get_num_threads() <= kFewThreads;
    if (library == ProductLibrary::onednn && (shares_no_sum || alone)) return onednn_product(x, weight, bias);
    at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
    if (alone) {
        multiply_rows(y, x, weight, bias, library);
    } else {
        multiply_in_panels(y, x, weight, bias, library);
    }
    return y;
}

}  // namespace

ProductLibrary library_for(const at::Tensor& x, const at::Tensor& weight) {
    static const bool intel = __builtin_cpu_is("intel") != 0;
    return intel && weight.is_contiguous() && x.scalar_type() == at::kFloat ? ProductLibrary::mkl
                                                                            : ProductLibrary::onednn;
}

at::Tensor cpu_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    return cpu_product(x, weight, bias, library_for(x, weight));
}

at::Tensor cpu_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       ProductLibrary library) {
    const at::Tensor rows = x.flatten(0, -2);
    std::vector<std::int64_t> shape = x.sizes().vec();
    shape.back() = weight.size(0);
    const at::Tensor factor = filled_up(rows);
    const at::Tensor y = product(factor, weight, bias, library);
    if (factor.is_same(rows)) return y.view(shape);
    // Whoever keeps these rows must not keep the others with them.
    return y.narrow(0, 0, rows.size(0)).clone().view(shape);
}

void cpu_product_into(const at::Tensor& y, const at::Tensor& x, const at::Tensor& weight) {
    const at::Tensor rows = filled_up(x);
    const ProductLibrary library = library_for(x, weight);
    if (rows.is_same(x) && library == ProductLibrary::mkl) {
        multiply_in_panels(y, x, weight, {}, library);
    } else {
        y.copy_(product(rows, weight, {}, library).narrow(0, 0, x.size(0)));
    }
}

}  // namespace detail

bool rows_stand_alone() {
    constexpr std::int64_t kRows = 256;
    constexpr std::int64_t kWeights[][2] = {{64, 192}, {576, 192}, {192, 2'048}, {768, 384}};  // I, O
    constexpr std::int64_t kFew[] = {1, 100, 129};
    const at::NoGradGuard no_gradients;
    const int threads = at::get_num_threads();
    bool alike = true;
    for (const auto& [inputs, outputs] : kWeights) {
        const at::Tensor weight = at::arange(inputs * outputs, at::kFloat).sin_().view({outputs, inputs});
        for (const at::Tensor& factor : {weight, weight.t()}) {
            const at::Tensor x =
                at::arange(kRows * factor.size(1), at::kFloat).cos_().view({kRows, factor.size(1)});
            at::set_num_threads(1);
            const at::Tensor among_many = detail::cpu_product(x, factor, {});
            at::set_num_threads(threads);
            for (const std::int64_t few : kFew) {
                const std::int64_t first = kRows - few;
                const at::Tensor alone = detail::cpu_product(x.narrow(0, first, few), factor, {});
                alike = alike && alone.equal(among_many.narrow(0, first, few));
            }
        }
    }
    return alike;
}

}  // namespace memcap::nn
