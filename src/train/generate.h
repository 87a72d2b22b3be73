#ifndef BLOCKFORMER_TRAIN_GENERATE_H_
#define BLOCKFORMER_TRAIN_GENERATE_H_

#include <cstdint>
#include <vector>

#include "train/language_model.h"
#include "train/sampling.h"

namespace blockformer {

struct GenerateOptions {
  int64_t max_tokens = 128;  // after the prompt
  SamplingSettings sampling;
  std::vector<uint64_t> streams;  // keys the draws of each prompt; empty: 0, 1, 2, ...
  int64_t num_choices = 0;        // ids from here on are never chosen; 0: the model's vocabulary
  std::vector<int32_t> excluded_ids;  // never chosen either
  std::vector<int32_t> eos_ids;       // each ends a sequence; empty: nothing does

  // Reproduces the published generate(): positions that training never saw when there are several
  // prefix vectors, an encoder's padding id in a prompt taken for padding, an early end after a
  // prompt that is not whole blocks, and these ids behind the end of text: in the rest of its block
  // as long as another sequence generates there, and later.
  bool published = false;
  int32_t block_fill_id = 1;
  int32_t later_fill_id = 0;
};

// The ids at which a model's texts end.
std::vector<int32_t> EosIds(const ModelConfig& config);

// Continues all prompts as one batch, with KV caches. Prompts of different lengths are padded on
// the left; a sequence's tokens do not depend on its batch mates. Every prompt needs a token.
// Returns the new tokens of each, up to and without the end of text; with `published`, rows of
// equal length.
std::vector<std::vector<int32_t>> GenerateTokens(const LanguageModel& model,
                                                 const std::vector<std::vector<int32_t>>& prompts,
                                                 const GenerateOptions& options);

}  // namespace blockformer

#endif  // BLOCKFORMER_TRAIN_GENERATE_H_
