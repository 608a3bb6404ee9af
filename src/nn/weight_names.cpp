// Tensors without values.
#include "memcap/nn/weight_names.hpp"

#include <ATen/ATen.h>

#include <numeric>
#include <utility>

#include "memcap/base/contracts.hpp"

namespace memcap::nn {

namespace {

at::Tensor without_values(const std::vector<std::int64_t>& shape) {
    return at::empty(shape, at::device(at::kMeta).dtype(at::kFloat));
}

}  // namespace

WeightNames::WeightNames(std::shared_ptr<const hub::WeightFiles> files, std::string base_prefix)
    : WeightReader(std::move(files), product_mode(Precision::float32, at::kMeta), at::kMeta,
                   std::move(base_prefix)) {}

void WeightNames::ask(const std::string& name, const std::vector<std::int64_t>& shape) const {
    find(name, shape);
    asked_.insert(name_in_file(name));
}

at::Tensor WeightNames::matrix(const std::string& name, const std::vector<std::int64_t>& shape) const {
    ask(name, shape);
    return mode().factor(without_values(shape));
}

std::vector<at::Tensor> WeightNames::stacked_matrix(const std::vector<std::string>& names,
                                                    const std::vector<std::int64_t>& rows,
                                                    std::int64_t columns) const {
    MEMCAP_EXPECT(names.size() == rows.size());
    for (std::size_t i = 0; i < names.size(); ++i) ask(names[i], {rows[i], columns});
    return {
        mode().factor(without_values({std::accumulate(rows.begin(), rows.end(), std::int64_t{0}), columns}))};
}

at::Tensor WeightNames::values(const std::string& name, const std::vector<std::int64_t>& shape) const {
    ask(name, shape);
    return without_values(shape);
}

}  // namespace memcap::nn
