// Log-likelihoods of given tokens: one block of threads a row of logits, which it reads three
// times: for numbers that are not finite, for the largest, and for the sum of exponentials. Threads
// take logits in strides and add up in f64; shared memory adds up the threads in a fixed order.
#include "cuda/choose.h"
#include "cuda/logits.h"

namespace blockformer::cuda {
namespace {

__global__ void ScoreKernel(const float* logits, int64_t vocab, const int32_t* targets,
                            int64_t entries, TargetScore* scores, TokenRating* ratings) {
  BLOCKFORMER_SHARED(ReduceShared, shared);
  logits += blockIdx.x * vocab;
  const bool finite = AllFinite(logits, vocab, &shared);
  const RankKey first = FindFirst(
      vocab, kNoBound, [&](int64_t id) { return logits[id]; }, &shared);
  const float largest = ScoreOf(first);
  const double log_of_sum = LogOfSum(logits, vocab, largest, &shared);
  RankKey key = first;
  for (int64_t i = 0; i < entries && i < vocab; ++i) {
    if (i > 0) {
      key = FindFirst(
          vocab, key, [&](int64_t id) { return logits[id]; }, &shared);
    }
    if (threadIdx.x != 0) continue;
    ratings[blockIdx.x].ids[i] = IdOf(key);
    ratings[blockIdx.x].log_probabilities[i] = ScoreOf(key) - largest - log_of_sum;
  }
  if (threadIdx.x != 0) return;
  const int32_t target = targets[blockIdx.x];
  TargetScore score = {static_cast<double>(NAN), 0, 0};
  if (finite) {
    score.log_likelihood = static_cast<double>(logits[target]) - largest - log_of_sum;
    score.is_largest = IdOf(first) == target;
  }
  scores[blockIdx.x] = score;
}

}  // namespace

void ScoreTargets(Stream* stream, const float* logits, int64_t vocab, const int32_t* targets,
                  int64_t rows, int64_t entries, TargetScore* scores, TokenRating* ratings) {
  Launch("ScoreTargets", stream, ScoreKernel, dim3(static_cast<unsigned>(rows)),
         dim3(LogitThreads(vocab)), logits, vocab, targets, entries, scores, ratings);
}

}  // namespace blockformer::cuda
