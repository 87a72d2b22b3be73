// The choice of the next token: one block of threads a row of logits. Rows whose sequence changes
// logits get a copy of their own first. The largest logit, with or without Gumbel noise, is one
// pass; filters draw by selecting digit by digit in order of rank, with weights as integers, whose
// sums do not depend on the order, so that any number of tokens may be kept.
#include <cfloat>

#include "cuda/choose.h"
#include "cuda/logits.h"

namespace blockformer::cuda {
namespace {

using Weight = unsigned long long;

constexpr double kWeightOfLargest = 1099511627776.0;  // 2^40: sums of 2^23 tokens fit
constexpr uint32_t kSeen = 0x80000000;                // in counts; the rest is how often made
constexpr float kExcludedLogit = -1e30F;

struct ChooseShared {
  ReduceShared reduce;
  Weight histogram[256];
  Weight weights[32];
  RankKey selected;
  Weight target;
};

// As MixBits and KeyedBits of base/random.h.
__device__ uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

__device__ uint64_t DrawBits(const SamplingPlace& place, uint64_t position) {
  constexpr uint64_t kGoldenGamma = 0x9e3779b97f4a7c15ULL;
  uint64_t bits = Mix(place.seed + kGoldenGamma);
  bits = Mix(bits ^ (place.stream + kGoldenGamma));
  return Mix(bits ^ (position + kGoldenGamma));
}

// A logit with Gumbel noise: the hash and the uniform numbers of FindLargestWithNoise in
// kernels/logit_kernels.h.
__device__ float WithNoise(float logit, int64_t id, float inverse_temperature, uint64_t key) {
  uint32_t x = static_cast<uint32_t>(id) + static_cast<uint32_t>(key);
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x += static_cast<uint32_t>(key >> 32);
  x ^= x >> 15;
  x *= 0x846ca68bU;
  x ^= x >> 16;
  const float uniform = (static_cast<float>(static_cast<int32_t>(x >> 1)) + 0.5F) * 0x1.0p-31F;
  return logit * inverse_temperature - logf(-log1pf(-uniform));
}

__device__ bool ChangesLogits(const SamplingPlace& place, const Choice& choice) {
  return place.num_biases > 0 || place.num_excluded > 0 || choice.num_excluded > 0 ||
         place.repetition_penalty != 1 || place.frequency_penalty != 0 ||
         place.presence_penalty != 0;
}

__device__ void Exclude(const int32_t* excluded, int64_t num_excluded, int64_t count,
                        float* logits) {
  for (int64_t i = threadIdx.x; i < num_excluded; i += blockDim.x) {
    if (excluded[i] < count) logits[excluded[i]] = kExcludedLogit;
  }
}

__device__ float Penalised(const SamplingPlace& place, uint32_t counts, double logit) {
  if ((counts & kSeen) != 0) {
    logit = logit > 0 ? logit / place.repetition_penalty : logit * place.repetition_penalty;
  }
  const uint32_t made = counts & ~kSeen;
  if (made > 0) logit -= place.frequency_penalty * made + place.presence_penalty;
  return static_cast<float>(
      fmin(fmax(logit, -static_cast<double>(FLT_MAX)), static_cast<double>(FLT_MAX)));
}

// Writes the row's logits with its biases, penalties and exclusions. `index` is where in the
// history the token will stand.
__device__ void ChangeLogits(const Choice& choice, const SamplingPlace& place,
                             const int32_t* history, int64_t index, const float* logits,
                             float* changed, uint32_t* counts) {
  for (int64_t i = threadIdx.x; i < choice.vocab; i += blockDim.x) changed[i] = logits[i];
  __syncthreads();
  for (int64_t i = threadIdx.x; i < place.num_biases; i += blockDim.x) {
    const LogitBias bias = place.biases[i];
    changed[bias.id] = static_cast<float>(changed[bias.id] + bias.bias);
  }
  const bool counts_made = place.frequency_penalty != 0 || place.presence_penalty != 0;
  if (counts_made || place.repetition_penalty != 1) {
    const int64_t first_made = -place.generated_offset;
    for (int64_t i = place.prompt_begin + threadIdx.x; i < index; i += blockDim.x) {
      if (place.repetition_penalty != 1) atomicOr(&counts[history[i]], kSeen);
      if (counts_made && i >= first_made) atomicAdd(&counts[history[i]], 1U);
    }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < choice.vocab; i += blockDim.x) {
      if (counts[i] == 0) continue;
      changed[i] = Penalised(place, counts[i], changed[i]);
      counts[i] = 0;
    }
  }
  __syncthreads();
  Exclude(choice.excluded, choice.num_excluded, choice.vocab, changed);
  Exclude(place.excluded, place.num_excluded, choice.vocab, changed);
  __syncthreads();
}

// Tokens and what they weigh: none below `floor` in rank or `least` in weight counts.
struct Weights {
  const float* logits;
  int64_t count;
  float largest;
  double temperature;
  RankKey floor;
  double least;

  __device__ Weight Of(int64_t id, RankKey key) const {
    if (key < floor) return 0;
    const double weight = exp((static_cast<double>(logits[id]) - largest) / temperature);
    return weight < least ? 0 : static_cast<Weight>(llrint(weight * kWeightOfLargest));
  }
};

// The key of the first token by rank at which the sum of measure(id, key) reaches `target`, which
// the sum over all tokens does.
template <typename Measure>
__device__ RankKey Select(const float* logits, int64_t count, Weight target, const Measure& measure,
                          ChooseShared* shared) {
  RankKey prefix = 0;
  for (int shift = 56; shift >= 0; shift -= 8) {
    for (unsigned i = threadIdx.x; i < 256; i += blockDim.x) shared->histogram[i] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
      const RankKey key = KeyOf(logits[i], static_cast<int32_t>(i));
      if (shift < 56 && key >> (shift + 8) != prefix) continue;
      atomicAdd(&shared->histogram[key >> shift & 255], measure(i, key));
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = 255;
      while (digit > 0 && shared->histogram[digit] < target) target -= shared->histogram[digit--];
      shared->selected = prefix << 8 | static_cast<RankKey>(digit);
      shared->target = target;
    }
    __syncthreads();
    prefix = shared->selected;
    target = shared->target;
  }
  return prefix;
}

__device__ Weight SumOfWeights(const Weights& weights, ChooseShared* shared) {
  Weight sum = 0;
  for (int64_t i = threadIdx.x; i < weights.count; i += blockDim.x) {
    sum += weights.Of(i, KeyOf(weights.logits[i], static_cast<int32_t>(i)));
  }
  return BlockSum(sum, shared->weights);
}

// Draws among what top_k, top_p and min_p keep, in this order.
__device__ int32_t DrawFiltered(const SamplingPlace& place, const float* logits, int64_t count,
                                uint64_t position, ChooseShared* shared) {
  const auto logit = [&](int64_t id) { return logits[id]; };
  const float largest = ScoreOf(FindFirst(count, kNoBound, logit, &shared->reduce));
  Weights weights = {logits, count, largest, place.temperature, 0, 0};
  const auto weigh = [&](int64_t id, RankKey key) { return weights.Of(id, key); };
  if (place.top_k > 0 && place.top_k < count) {
    weights.floor = Select(
        logits, count, static_cast<Weight>(place.top_k), [](int64_t, RankKey) { return Weight{1}; },
        shared);
  }
  if (place.top_p < 1) {
    const double wanted = ceil(place.top_p * static_cast<double>(SumOfWeights(weights, shared)));
    weights.floor =
        Select(logits, count, wanted < 1 ? 1 : static_cast<Weight>(wanted), weigh, shared);
  }
  weights.least = place.min_p;
  const double uniform = static_cast<double>(DrawBits(place, position) >> 11) * 0x1.0p-53;
  const double drawn = floor(uniform * static_cast<double>(SumOfWeights(weights, shared)));
  return IdOf(Select(logits, count, static_cast<Weight>(drawn) + 1, weigh, shared));
}

__device__ int32_t Draw(const SamplingPlace& place, const float* logits, int64_t count,
                        uint64_t position, ChooseShared* shared) {
  if (place.method == DrawMethod::kFiltered) {
    return DrawFiltered(place, logits, count, position, shared);
  }
  if (place.method == DrawMethod::kLargest) {
    return IdOf(FindFirst(
        count, kNoBound, [&](int64_t id) { return logits[id]; }, &shared->reduce));
  }
  const uint64_t key = DrawBits(place, position);
  const auto score = [&](int64_t id) {
    return WithNoise(logits[id], id, place.inverse_temperature, key);
  };
  return IdOf(FindFirst(count, kNoBound, score, &shared->reduce));
}

__device__ void Rate(const float* logits, int64_t vocab, int32_t id, int32_t entries,
                     TokenRating* rating, ReduceShared* shared) {
  const auto logit = [&](int64_t i) { return logits[i]; };
  RankKey key = FindFirst(vocab, kNoBound, logit, shared);
  const double largest = ScoreOf(key);
  const double log_of_sum = LogOfSum(logits, vocab, ScoreOf(key), shared);
  if (threadIdx.x == 0) rating->chosen = logits[id] - largest - log_of_sum;
  for (int32_t i = 0; i < entries && i < vocab; ++i) {
    if (i > 0) key = FindFirst(vocab, key, logit, shared);
    if (threadIdx.x != 0) continue;
    rating->ids[i] = IdOf(key);
    rating->log_probabilities[i] = ScoreOf(key) - largest - log_of_sum;
  }
}

__global__ void ChooseKernel(Choice choice, const DecoderRow* rows, const float* logits,
                             int32_t* ids, int32_t* chosen, TokenRating* ratings) {
  BLOCKFORMER_SHARED(ChooseShared, shared);
  const DecoderRow row = rows[blockIdx.x];
  const SamplingPlace& place = choice.places[row.table];
  int32_t* history = choice.history + row.table * choice.history_stride;
  const int64_t index = (row.unit + 1) * choice.unit_length + choice.slot;
  const int64_t out = blockIdx.x * choice.unit_length + choice.slot;
  const int32_t before =
      choice.slot == 0 ? static_cast<int32_t>(choice.unit_length) : chosen[blockIdx.x];
  if (index < place.given) {
    if (threadIdx.x == 0) {
      ids[out] = history[index];
      chosen[blockIdx.x] = before;
    }
    return;
  }
  logits += blockIdx.x * choice.vocab;
  const bool finite = AllFinite(logits, choice.num_sampled, &shared.reduce);
  int32_t id = 0;
  if (finite) {
    const float* seen = logits;
    if (ChangesLogits(place, choice)) {
      float* changed = choice.changed + blockIdx.x * choice.vocab;
      ChangeLogits(choice, place, history, index, logits, changed,
                   choice.counts + blockIdx.x * choice.vocab);
      seen = changed;
    }
    id = Draw(place, seen, choice.num_sampled,
              static_cast<uint64_t>(index + place.generated_offset), &shared);
    if (place.ratings >= 0) {
      Rate(logits, choice.vocab, id, place.ratings, ratings + out, &shared.reduce);
    }
  }
  if (threadIdx.x != 0) return;
  history[index] = id;
  ids[out] = id;
  const int32_t slot = static_cast<int32_t>(choice.slot);
  chosen[blockIdx.x] = finite || before < slot ? before : slot;
}

}  // namespace

void ChooseTokens(Stream* stream, const Choice& choice, const DecoderRow* rows, int64_t num_rows,
                  const float* logits, int32_t* ids, int32_t* chosen, TokenRating* ratings) {
  Launch("ChooseTokens", stream, ChooseKernel, dim3(static_cast<unsigned>(num_rows)),
         dim3(LogitThreads(choice.vocab)), choice, rows, logits, ids, chosen, ratings);
}

}  // namespace blockformer::cuda
