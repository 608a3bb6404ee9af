// From mapped bytes to checked tensors.
#include "memcap/nn/weights.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstring>

#include "memcap/base/contracts.hpp"
#include "memcap/base/errors.hpp"

namespace memcap::nn {

namespace {

at::ScalarType scalar_type(const hub::TensorView& view, const std::string& name,
                           const hub::WeightFiles& files) {
    switch (view.dtype) {
        case hub::Dtype::float32:
            return at::kFloat;
        case hub::Dtype::bfloat16:
            return at::kBFloat16;
        case hub::Dtype::float16:
            return at::kHalf;
        case hub::Dtype::other:
            break;
    }
    throw DataError(files.folder(),
                    {.what = fmt::format("tensor '{}' has a type that memcap does not compute with", name),
                     .where = {},
                     .why = "weights may be float32, bfloat16 or float16",
                     .advice = "Save the model in one of these with transformers"});
}

}  // namespace

at::Tensor WeightReader::read(const std::string& name, const std::vector<std::int64_t>& shape) const {
    const hub::TensorView& view = files_.require(name, shape);
    at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(scalar_type(view, name, files_)));
    std::memcpy(tensor.data_ptr(), view.data.data(), view.data.size());
    // The sum of finite numbers can overflow, but a sum of zeros times each element is finite only if all
    // are.
    if (!tensor.to(at::kFloat).mul(0).sum().eq(0).item<bool>()) {
        throw DataError(files_.folder(),
                        {.what = fmt::format("tensor '{}' holds a value that is not finite", name),
                         .where = {},
                         .why = "a diverged training run or a damaged file",
                         .advice = "Use weights without inf and nan"});
    }
    return tensor;
}

at::Tensor WeightReader::matrix(const std::string& name, const std::vector<std::int64_t>& shape) const {
    return mode_.factor(read(name, shape).to(at::kFloat)).to(device_);
}

at::Tensor WeightReader::stacked_matrix(const std::vector<std::string>& names,
                                        const std::vector<std::int64_t>& rows, std::int64_t columns) const {
    MEMCAP_EXPECT(names.size() == rows.size());
    std::vector<at::Tensor> parts;
    for (std::size_t i = 0; i < names.size(); ++i) parts.push_back(matrix(names[i], {rows[i], columns}));
    return at::cat(parts, 0);
}

at::Tensor WeightReader::values(const std::string& name, const std::vector<std::int64_t>& shape) const {
    return read(name, shape).to(at::kFloat).to(device_);
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

}  // namespace memcap::nn
