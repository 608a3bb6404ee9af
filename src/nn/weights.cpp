// From mapped bytes to checked tensors, in one pass over each.
#include "memcap/nn/weights.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"

namespace memcap::nn {

namespace {

// Elements that are converted and checked while they are in the cache.
constexpr std::int64_t kPieceElements = 1 << 16;
// From this size on, products with several matrices take no longer than one with their stack.
constexpr std::size_t kLargeBytes = std::size_t{1} << 20U;

[[noreturn]] void fail_type(const std::string& name, const hub::TensorView& view,
                            const std::filesystem::path& folder) {
    throw DataError(
        folder,
        {.what = fmt::format("tensor '{}' has type {}, with which memcap does not compute", name, view.type),
         .where = {},
         .why = "weights may be float32, bfloat16 or float16; a quantised model has others",
         .advice = "Use the model as it was before it was quantised, or save it in one of "
                   "these with transformers"});
}

[[noreturn]] void fail_value(const std::string& name, const std::filesystem::path& folder,
                             at::ScalarType type) {
    throw DataError(
        folder,
        {.what = fmt::format("tensor '{}' holds a value that is not finite in {}", name, at::toString(type)),
         .where = {},
         .why = "a diverged training run, a damaged file, or a value beyond the range of the precision",
         .advice = "Use weights without inf and nan, or another precision"});
}

at::ScalarType scalar_type(hub::Dtype dtype) {
    switch (dtype) {
        case hub::Dtype::float32:
            return at::kFloat;
        case hub::Dtype::bfloat16:
            return at::kBFloat16;
        case hub::Dtype::float16:
            return at::kHalf;
        case hub::Dtype::other:
            break;
    }
    return at::ScalarType::Undefined;
}

// Whether no exponent is all ones; compiled for each instruction set, as the whole file passes through them.
#define MEMCAP_EACH_INSTRUCTION_SET __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))

MEMCAP_EACH_INSTRUCTION_SET bool exponents_are_finite(const std::uint32_t* bits, std::int64_t count,
                                                      std::uint32_t exponent) {
    std::uint32_t infinite = 0;
    for (std::int64_t i = 0; i < count; ++i) infinite |= (bits[i] & exponent) == exponent ? 1U : 0U;
    return infinite == 0;
}

MEMCAP_EACH_INSTRUCTION_SET bool exponents_are_finite(const std::uint16_t* bits, std::int64_t count,
                                                      std::uint16_t exponent) {
    std::uint16_t infinite = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        infinite = static_cast<std::uint16_t>(infinite | ((bits[i] & exponent) == exponent ? 1U : 0U));
    }
    return infinite == 0;
}

bool is_finite(const at::Tensor& piece) {
    switch (piece.scalar_type()) {
        case at::kFloat:
            return exponents_are_finite(static_cast<const std::uint32_t*>(piece.const_data_ptr()),
                                        piece.numel(), std::uint32_t{0x7f800000});
        case at::kBFloat16:
            return exponents_are_finite(static_cast<const std::uint16_t*>(piece.const_data_ptr()),
                                        piece.numel(), std::uint16_t{0x7f80});
        default:
            return exponents_are_finite(static_cast<const std::uint16_t*>(piece.const_data_ptr()),
                                        piece.numel(), std::uint16_t{0x7c00});
    }
}

/// The elements begin..end of a tensor as they lie in the file, or copied where they lie unaligned.
at::Tensor piece_of(const hub::TensorView& view, std::int64_t begin, std::int64_t end) {
    const auto type = scalar_type(view.dtype);
    const auto unit = static_cast<std::int64_t>(at::elementSize(type));
    const std::byte* first = view.data.data() + begin * unit;
    if (reinterpret_cast<std::uintptr_t>(first) % static_cast<std::uintptr_t>(unit) == 0) {
        return at::from_blob(const_cast<std::byte*>(first), {end - begin}, type);
    }
    at::Tensor copy = at::empty({end - begin}, type);
    std::memcpy(copy.data_ptr(), first, static_cast<std::size_t>((end - begin) * unit));
    return copy;
}

/// Applies `body` to pieces of a tensor side by side; false once it returns false for one.
template <class Body>
bool for_pieces(const hub::TensorView& view, const Body& body) {
    const auto unit = static_cast<std::int64_t>(at::elementSize(scalar_type(view.dtype)));
    const auto count = static_cast<std::int64_t>(view.data.size()) / unit;
    std::atomic<bool> good = true;
    at::parallel_for(0, (count + kPieceElements - 1) / kPieceElements, 1,
                     [&](std::int64_t first, std::int64_t last) {
                         for (std::int64_t i = first; i < last && good; ++i) {
                             const std::int64_t begin = i * kPieceElements;
                             const std::int64_t end = std::min(count, begin + kPieceElements);
                             if (!body(piece_of(view, begin, end), begin)) good = false;
                         }
                     });
    return good;
}

/// Writes the values of a tensor to `target` (flat, of the type that is multiplied), rounded on the way;
/// false if one is not finite then.
bool convert(const hub::TensorView& view, const at::Tensor& target, at::ScalarType rounded) {
    return for_pieces(view, [&](const at::Tensor& piece, std::int64_t begin) {
        const at::Tensor part = target.narrow(0, begin, piece.numel());
        part.copy_(piece.to(rounded));
        return is_finite(part);
    });
}

}  // namespace

WeightReader::WeightReader(std::shared_ptr<const hub::WeightFiles> files, ProductMode mode, at::Device device,
                           std::string base_prefix)
    : files_(std::move(files)), base_prefix_(std::move(base_prefix)), mode_(mode), device_(device) {
    if (!device.is_cpu()) return;
    // 16-bit values may become 32-bit ones, and a family may read a tensor in two ways.
    const auto most_bytes = 4 * static_cast<std::size_t>(files_->size_bytes());
    arena_ = SharedArena::open(fmt::format("weights {} as {} in {}", files_->fingerprint(),
                                           at::toString(mode.rounded), at::toString(mode.multiplied)),
                               most_bytes);
}

bool WeightReader::contains(const std::string& name) const {
    return files_->contains(name_in_file(name));
}

/// Models are saved with and without a head, so that the names of the body begin with its name or do not;
/// transformers reads either (modeling_utils.py, base_model_prefix).
std::string WeightReader::name_in_file(const std::string& name) const {
    if (base_prefix_.empty() || files_->contains(name)) return name;
    const std::string other =
        name.starts_with(base_prefix_) ? name.substr(base_prefix_.size()) : base_prefix_ + name;
    return files_->contains(other) ? other : name;
}

const hub::TensorView& WeightReader::find(const std::string& name,
                                          const std::vector<std::int64_t>& shape) const {
    const bool is_head = name.ends_with("lm_head.weight") || name.ends_with("embed_out.weight");
    if (is_head && !contains(name)) {
        throw DataError(
            files_->folder(),
            {.what = fmt::format("the model has no head: tensor '{}' is missing", name),
             .where = {},
             .why = "config.json does not tie it to the embedding, and no weight file has it; "
                    "transformers' AutoModel saves a model without its head",
             .advice = "Save the model with AutoModelForCausalLM, from a folder that has the head"});
    }
    return files_->require(name_in_file(name), shape);
}

void WeightReader::share() {
    if (arena_) arena_->publish();
}

at::Tensor WeightReader::matrix(const std::string& name, const std::vector<std::int64_t>& shape) const {
    const hub::TensorView& view = find(name, shape);
    if (!device_.is_cpu()) return mode_.factor(on_device(name, view));
    return lies_ready(view) ? mapped(name, view) : made({name}, {view}, shape);
}

std::vector<at::Tensor> WeightReader::stacked_matrix(const std::vector<std::string>& names,
                                                     const std::vector<std::int64_t>& rows,
                                                     std::int64_t columns) const {
    MEMCAP_EXPECT(names.size() == rows.size());
    std::vector<hub::TensorView> views;
    std::vector<at::Tensor> parts;
    std::int64_t all_rows = 0;
    bool stays = device_.is_cpu();
    for (std::size_t i = 0; i < names.size(); ++i) {
        views.push_back(find(names[i], std::vector<std::int64_t>{rows[i], columns}));
        stays = stays && lies_ready(views[i]) && views[i].data.size() >= kLargeBytes;
        all_rows += rows[i];
    }
    if (device_.is_cpu() && !stays && names.size() > 1) return {made(names, views, {all_rows, columns})};
    for (std::size_t i = 0; i < names.size(); ++i) parts.push_back(matrix(names[i], {rows[i], columns}));
    if (device_.is_cpu()) return parts;
    return {at::cat(parts, 0)};
}

at::Tensor WeightReader::values(const std::string& name, const std::vector<std::int64_t>& shape) const {
    const hub::TensorView& view = find(name, shape);
    if (!device_.is_cpu()) return on_device(name, view);
    if (scalar_type(view.dtype) == at::ScalarType::Undefined) fail_type(name, view, files_->folder());
    at::Tensor values = at::empty(shape, at::kFloat);
    if (!convert(view, values.view(-1), at::kFloat)) fail_value(name, files_->folder(), at::kFloat);
    files_->forget(view);
    return values;
}

at::Tensor WeightReader::vector(const std::string& name, std::int64_t size) const {
    return values(name, {size});
}

at::Tensor WeightReader::stacked_vector(const std::vector<std::string>& names,
                                        const std::vector<std::int64_t>& sizes) const {
    MEMCAP_EXPECT(names.size() == sizes.size());
    std::vector<at::Tensor> parts;
    for (std::size_t i = 0; i < names.size(); ++i) parts.push_back(vector(names[i], sizes[i]));
    return at::cat(parts, 0);
}

/// Float32 values on another device, checked on this one.
at::Tensor WeightReader::on_device(const std::string& name, const hub::TensorView& view) const {
    if (scalar_type(view.dtype) == at::ScalarType::Undefined) fail_type(name, view, files_->folder());
    const bool good = for_pieces(view, [&](const at::Tensor& piece, std::int64_t) {
        return is_finite(piece) && is_finite(piece.to(mode_.rounded));
    });
    if (!good) fail_value(name, files_->folder(), mode_.rounded);
    const auto elements = static_cast<std::int64_t>(view.data.size()) /
                          static_cast<std::int64_t>(at::elementSize(scalar_type(view.dtype)));
    at::Tensor moved = piece_of(view, 0, elements).to(device_).to(at::kFloat).view(view.shape);
    files_->forget(view);
    return moved;
}

/// Whether the bytes of the file are the factor itself.
bool WeightReader::lies_ready(const hub::TensorView& view) const {
    const auto type = scalar_type(view.dtype);
    return type == mode_.rounded && type == mode_.multiplied &&
           reinterpret_cast<std::uintptr_t>(view.data.data()) % at::elementSize(type) == 0;
}

at::Tensor WeightReader::mapped(const std::string& name, const hub::TensorView& view) const {
    // An empty region says that the values were checked by the process that came first.
    const std::string checked = "checked " + name;
    if (!arena_->find(checked)) {
        if (!for_pieces(view, [](const at::Tensor& piece, std::int64_t) { return is_finite(piece); }))
            fail_value(name, files_->folder(), mode_.rounded);
        if (arena_->is_maker()) arena_->add(checked, 0);
    }
    return at::from_blob(
        const_cast<std::byte*>(view.data.data()), view.shape, [files = files_](void*) {},
        scalar_type(view.dtype));
}

/// The matrices one below the other, made here or found in the shared memory.
at::Tensor WeightReader::made(const std::vector<std::string>& names,
                              const std::vector<hub::TensorView>& views,
                              const std::vector<std::int64_t>& shape) const {
    const std::string region_name = fmt::format("{} [{}]", fmt::join(names, "+"), fmt::join(shape, ","));
    const auto type = mode_.multiplied;
    const auto tensor_in = [&](std::span<std::byte> region) {
        return at::from_blob(
            region.data(), shape, [arena = arena_](void*) {}, type);
    };
    if (const auto region = arena_->find(region_name)) return tensor_in(*region);
    at::Tensor whole;
    if (arena_->is_maker()) {
        std::size_t size_bytes = at::elementSize(type);
        for (const std::int64_t extent : shape) size_bytes *= static_cast<std::size_t>(extent);
        whole = tensor_in(arena_->add(region_name, size_bytes));
    } else {
        whole = at::empty(shape, type);
    }
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (scalar_type(views[i].dtype) == at::ScalarType::Undefined)
            fail_type(names[i], views[i], files_->folder());
        const auto count =
            static_cast<std::int64_t>(views[i].data.size() / at::elementSize(scalar_type(views[i].dtype)));
        if (!convert(views[i], whole.view(-1).narrow(0, begin, count), mode_.rounded))
            fail_value(names[i], files_->folder(), mode_.rounded);
        begin += count;
        files_->forget(views[i]);
    }
    return whole;
}

}  // namespace memcap::nn
