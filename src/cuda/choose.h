#ifndef BLOCKFORMER_CUDA_CHOOSE_H_
#define BLOCKFORMER_CUDA_CHOOSE_H_

#include <cstdint>

#include "cuda/kernels.h"
#include "runner/sampling.h"

// What is made of logits on the device: the choice of tokens, and scores of given ones.
namespace blockformer::cuda {

struct LogitBias {
  int32_t id = 0;
  int32_t unused = 0;
  double bias = 0;
};

// What the device knows of how the sequence at a place is sampled.
struct SamplingPlace {
  DrawMethod method = DrawMethod::kLargest;
  float inverse_temperature = 1;
  double temperature = 1;
  uint64_t seed = 0;
  uint64_t stream = 0;
  int64_t generated_offset = 0;  // token i of the history is generated number i + this
  int32_t given = 0;             // tokens before this one of the history are not chosen
  int32_t prompt_begin = 0;      // and those before this one are padding
  int32_t top_k = 0;
  int32_t ratings = -1;  // entries of TokenRating that are wanted; -1 for none of it
  double top_p = 1;
  double min_p = 0;
  double repetition_penalty = 1;
  double frequency_penalty = 0;
  double presence_penalty = 0;
  const LogitBias* biases = nullptr;
  const int32_t* excluded = nullptr;
  int32_t num_biases = 0;
  int32_t num_excluded = 0;
};

inline constexpr int kMostRatings = 20;

// TokenLogProbabilities on the device.
struct TokenRating {
  double chosen;
  double log_probabilities[kMostRatings];
  int32_t ids[kMostRatings];
};

struct Choice {
  int64_t vocab = 0;
  int64_t num_sampled = 0;            // ids from here on are never chosen
  const int32_t* excluded = nullptr;  // nor these
  int64_t num_excluded = 0;
  const SamplingPlace* places = nullptr;
  // [places, history_stride]: the tokens so far, to which the chosen ones are added.
  int32_t* history = nullptr;
  int64_t history_stride = 0;
  int64_t unit_length = 1;
  int64_t slot = 0;  // of the unit
  // Scratch of the rows.
  float* changed = nullptr;    // [rows, vocab]
  uint32_t* counts = nullptr;  // [rows, vocab], all 0 between calls
};

// Chooses a token a row from logits [rows, vocab], for the unit behind that of rows[i]; by the
// rules of SamplingOptions, with the processor's hash and keys. Writes the history, ids [rows,
// unit_length] at the slot, ratings likewise where they are wanted, and chosen [rows]: the unit's
// length, or the first slot with a logit that is not finite.
void ChooseTokens(Stream* stream, const Choice& choice, const DecoderRow* rows, int64_t num_rows,
                  const float* logits, int32_t* ids, int32_t* chosen, TokenRating* ratings);

// A TokenScore on the device.
struct TargetScore {
  double log_likelihood;
  int32_t is_largest;
  int32_t unused;
};

// The score of target i under logits [i, vocab], and as ratings[i] the `entries` likeliest tokens.
void ScoreTargets(Stream* stream, const float* logits, int64_t vocab, const int32_t* targets,
                  int64_t rows, int64_t entries, TargetScore* scores, TokenRating* ratings);

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_CHOOSE_H_
