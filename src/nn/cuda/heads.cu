// Rows of projections dealt to attention heads with rotation on the way, and the heads' gradients gathered
// again.
#include "nn/cuda/launch.cuh"

namespace memcap::nn::cuda {

namespace {

constexpr int kMostThreads = 256;

/// Where a run of elements lies, in the row of projections and in its head.
struct Place {
    std::int64_t in_row;
    const Heads* heads;
    int head;
    int element;  ///< of the head
    bool turns;   ///< whether the head is rotated
};

__device__ inline Place place_of(const HeadsTask& task, int head, int element) {
    if (head < task.query_heads)
        return {std::int64_t{head} * task.query_stride + element, &task.query, head, element, true};
    head -= task.query_heads;
    if (head < task.key_heads)
        return {task.key_first + std::int64_t{head} * task.key_stride + element, &task.key, head, element,
                true};
    head -= task.key_heads;
    return {task.value_first + std::int64_t{head} * task.key_stride + element, &task.value, head, element,
            false};
}

__device__ inline std::int64_t in_head(const Place& place, std::int64_t slot, std::int64_t position) {
    return slot * place.heads->slot_stride + place.head * place.heads->head_stride +
           position * place.heads->position_stride + place.element;
}

/// values = cos * values + sign * sin * partners, by the angles of the pairs that the run belongs to: the
/// first of a pair becomes x cos - y sin, the second y cos + x sin.
template <int kVector>
__device__ inline void turn(const HeadsTask& task, std::int64_t position, int element, float direction,
                            const float (&partners)[kVector], float (&values)[kVector]) {
    const int half = task.rotated / 2;
    const int pair = element < half ? element : element - half;
    float cosine[kVector];
    float sine[kVector];
    load_pack<float, kVector>(task.cosine + position * half + pair, cosine);
    load_pack<float, kVector>(task.sine + position * half + pair, sine);
    const float sign = element < half ? -direction : direction;
    for (int k = 0; k < kVector; ++k) values[k] = values[k] * cosine[k] + sign * sine[k] * partners[k];
}

__device__ inline int partner_of(const HeadsTask& task, int element) {
    const int half = task.rotated / 2;
    return element < half ? half : -half;
}

/// One block a row of projections.
template <class P, int kVector>
__global__ void __launch_bounds__(kMostThreads) split_kernel(HeadsTask task) {
    const std::int64_t slot = blockIdx.x / task.positions;
    const std::int64_t position = blockIdx.x % task.positions;
    const int runs_of_head = task.head_width / kVector;
    const int heads = task.query_heads + 2 * task.key_heads;
    const std::int64_t row = std::int64_t{blockIdx.x} * heads * task.head_width;
    const Source projected{task.projected.data, task.projected.element};
    for (int run = static_cast<int>(threadIdx.x); run < heads * runs_of_head;
         run += static_cast<int>(blockDim.x)) {
        const Place place = place_of(task, run / runs_of_head, run % runs_of_head * kVector);
        float values[kVector];
        load<P, kVector>(projected, row + place.in_row, values);
        if (place.turns && place.element < task.rotated) {
            float partners[kVector];
            load<P, kVector>(projected, row + place.in_row + partner_of(task, place.element), partners);
            turn(task, position, place.element, 1.0F, partners, values);
        }
        store<P, kVector>(Target{place.heads->data, task.element}, in_head(place, slot, position), values);
    }
}

/// As split_kernel the other way round: the gradient of a rotation is the rotation back.
template <class P, int kVector>
__global__ void __launch_bounds__(kMostThreads) join_kernel(HeadsTask task) {
    const std::int64_t slot = blockIdx.x / task.positions;
    const std::int64_t position = blockIdx.x % task.positions;
    const int runs_of_head = task.head_width / kVector;
    const int heads = task.query_heads + 2 * task.key_heads;
    const std::int64_t row = std::int64_t{blockIdx.x} * heads * task.head_width;
    for (int run = static_cast<int>(threadIdx.x); run < heads * runs_of_head;
         run += static_cast<int>(blockDim.x)) {
        const Place place = place_of(task, run / runs_of_head, run % runs_of_head * kVector);
        const Source head{place.heads->data, task.element};
        const std::int64_t from = in_head(place, slot, position);
        float values[kVector];
        load<P, kVector>(head, from, values);
        if (place.turns && place.element < task.rotated) {
            float partners[kVector];
            load<P, kVector>(head, from + partner_of(task, place.element), partners);
            turn(task, position, place.element, -1.0F, partners, values);
        }
        store<P, kVector>(task.projected, row + place.in_row, values);
    }
}

constexpr int kVectorElements = 4;

bool in_vectors(const Heads& heads, std::size_t element_bytes) {
    return heads.slot_stride % kVectorElements == 0 && heads.head_stride % kVectorElements == 0 &&
           heads.position_stride % kVectorElements == 0 &&
           is_aligned(heads.data, kVectorElements * element_bytes);
}

/// A run may neither leave its head nor stride over the middle of the rotated elements.
bool in_vectors(const HeadsTask& task) {
    const std::size_t bytes = size_of(task.element);
    return task.head_width % kVectorElements == 0 && task.rotated % (2 * kVectorElements) == 0 &&
           task.query_stride % kVectorElements == 0 && task.key_first % kVectorElements == 0 &&
           task.key_stride % kVectorElements == 0 && task.value_first % kVectorElements == 0 &&
           is_aligned(task.projected.data, kVectorElements * size_of(task.projected.element)) &&
           is_aligned(task.cosine, kVectorElements * sizeof(float)) &&
           is_aligned(task.sine, kVectorElements * sizeof(float)) && in_vectors(task.query, bytes) &&
           in_vectors(task.key, bytes) && in_vectors(task.value, bytes);
}

Status launch_rows(void (*in_runs)(HeadsTask), void (*single)(HeadsTask), const HeadsTask& task,
                   Stream stream) {
    const bool vectors = in_vectors(task);
    const std::int64_t elements = std::int64_t{task.query_heads + 2 * task.key_heads} * task.head_width;
    const unsigned threads = threads_for(elements / (vectors ? kVectorElements : 1), kMostThreads);
    return launch(vectors ? in_runs : single, dim3(static_cast<unsigned>(task.slots * task.positions)),
                  dim3(threads), stream, task);
}

Element narrow_of(const HeadsTask& task) {
    return task.element != Element::float32 ? task.element : task.projected.element;
}

}  // namespace

Status split_heads(const HeadsTask& task, Stream stream) {
    return with_type(narrow_of(task), [&](auto type) {
        using P = decltype(type);
        return launch_rows(split_kernel<P, kVectorElements>, split_kernel<P, 1>, task, stream);
    });
}

Status join_heads(const HeadsTask& task, Stream stream) {
    return with_type(narrow_of(task), [&](auto type) {
        using P = decltype(type);
        return launch_rows(join_kernel<P, kVectorElements>, join_kernel<P, 1>, task, stream);
    });
}

}  // namespace memcap::nn::cuda
