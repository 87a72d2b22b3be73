#ifndef BLOCKFORMER_ENGINE_PUBLISHED_H_
#define BLOCKFORMER_ENGINE_PUBLISHED_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "runner/model.h"

namespace blockformer {

// A batch as the published generate() takes it: prompts of equal length, padded on the left.
struct PublishedBatch {
  std::vector<std::vector<int32_t>> prompts;
  std::vector<std::vector<uint8_t>> masks;  // empty, or 0 on the padding of each prompt
  int64_t max_length = 0;                   // prompt included
  std::optional<int32_t> eos_id;            // none: nothing ends a sequence early
  // The ids behind the end-of-text token: the first one in the rest of its block, as far as another
  // sequence still generates there, and the second one from there on.
  int32_t block_fill_id = 1;
  int32_t later_fill_id = 0;
  // Ids that are never chosen, as EngineOptions has them.
  int64_t num_sampled_ids = 0;
  std::vector<int32_t> excluded_ids;
};

// Greedy generation exactly as the published implementation does it, its quirks included, to
// compare with it: the token decoder's positions differ from those of training when there is more
// than one prefix vector; an unaligned prompt ends early, because its padding counts towards
// max_length; fill ids stand behind the end of text; and the padding id of a RoBERTa embedder is
// padding where it stands in a prompt without a mask. Returns rows of equal length, prompts
// included. Throws Error(kInvalidArgument) if max_length leaves no tokens to generate, or too many.
std::vector<std::vector<int32_t>> GeneratePublished(std::shared_ptr<const Model> model,
                                                    const PublishedBatch& batch);

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_PUBLISHED_H_
