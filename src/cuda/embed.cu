// Embeddings: a block of threads a row of the result, each thread the numbers of a row in strides.
// A row's ids come from the history that the device keeps of every place, or from a list, so that
// what varies between steps lies in device memory.
#include "cuda/kernels.h"
#include "cuda/numbers.h"

namespace blockformer::cuda {
namespace {

constexpr int kThreads = 128;

__device__ inline const int32_t* IdsOf(const UnitIds& ids, int64_t row) {
  if (ids.rows == nullptr) return ids.ids + row * ids.unit_length;
  const DecoderRow decoder_row = ids.rows[row];
  return ids.ids + decoder_row.table * ids.stride +
         (decoder_row.unit + ids.unit_offset) * ids.unit_length;
}

template <typename T, typename X>
__global__ void EmbedUnitsKernel(const T* table, int64_t width, UnitIds ids, Pool pool, X* x) {
  const int32_t* unit = IdsOf(ids, blockIdx.x);
  if (pool == Pool::kConcat) {
    const int64_t numbers = ids.unit_length * width;
    x += blockIdx.x * numbers;
    for (int64_t i = threadIdx.x; i < numbers; i += blockDim.x) {
      x[i] = FromFloat<X>(ToFloat(table[unit[i / width] * width + i % width]));
    }
    return;
  }
  const float scale = pool == Pool::kMean ? 1 / static_cast<float>(ids.unit_length) : 1;
  x += blockIdx.x * width;
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) {
    float sum = 0;
    for (int64_t t = 0; t < ids.unit_length; ++t) {
      sum += scale * ToFloat(table[unit[t] * width + i]);
    }
    x[i] = FromFloat<X>(sum);
  }
}

// One block of threads a position of a block of tokens.
template <typename T>
__global__ void EmbedTokensKernel(const T* table, TokenInputs inputs, const float* vectors,
                                  UnitIds ids, float* x) {
  const int64_t block = blockIdx.x / inputs.count;
  const int64_t position = inputs.first + blockIdx.x % inputs.count;
  const bool in_lead = position < inputs.lead;
  const float* vector = vectors + (block * inputs.vectors + position) * inputs.width;
  x += blockIdx.x * inputs.width;
  if (in_lead && !inputs.adds_vectors) {
    for (int64_t i = threadIdx.x; i < inputs.width; i += blockDim.x) x[i] = vector[i];
    return;
  }
  const int64_t id = in_lead ? inputs.begin_id : IdsOf(ids, block)[position - inputs.lead];
  for (int64_t i = threadIdx.x; i < inputs.width; i += blockDim.x) {
    float value = ToFloat(table[id * inputs.width + i]);
    if (inputs.adds_vectors) value += vector[i];
    x[i] = value;
  }
}

}  // namespace

void EmbedUnits(Stream* stream, Element type, const void* table, int64_t width, const UnitIds& ids,
                Pool pool, int64_t rows, Element x_type, void* x) {
  const auto launch = [&]<typename T, typename X>(const T* typed_table, X* typed_x) {
    Launch("EmbedUnits", stream, EmbedUnitsKernel<T, X>, dim3(static_cast<unsigned>(rows)),
           dim3(kThreads), typed_table, width, ids, pool, typed_x);
  };
  if (type == Element::kF32) {
    launch(static_cast<const float*>(table), static_cast<float*>(x));
  } else if (x_type == Element::kF32) {
    launch(static_cast<const Bf16*>(table), static_cast<float*>(x));
  } else {
    launch(static_cast<const Bf16*>(table), static_cast<Bf16*>(x));
  }
}

void EmbedTokens(Stream* stream, Element type, const void* table, const TokenInputs& inputs,
                 const float* vectors, const UnitIds& ids, int64_t blocks, float* x) {
  const dim3 grid(static_cast<unsigned>(blocks * inputs.count));
  if (type == Element::kF32) {
    Launch("EmbedTokens", stream, EmbedTokensKernel<float>, grid, dim3(kThreads),
           static_cast<const float*>(table), inputs, vectors, ids, x);
  } else {
    Launch("EmbedTokens", stream, EmbedTokensKernel<Bf16>, grid, dim3(kThreads),
           static_cast<const Bf16*>(table), inputs, vectors, ids, x);
  }
}

}  // namespace blockformer::cuda
