#ifndef BLOCKFORMER_CLI_SANITY_CHECK_H_
#define BLOCKFORMER_CLI_SANITY_CHECK_H_

#include <cstdint>
#include <string>

#include "config/model_config.h"

namespace blockformer {

struct SanityCheck {
  double loss = 0;          // nats a token over a short English text
  double uniform_loss = 0;  // of guessing, ln(vocab_size)
  int64_t tokens = 0;       // predicted
};

// Runs the model in `directory`, whose context holds two blocks at least, over a built-in text with
// the tokenizer that is there. Throws Error(kCorrupt) if the tokenizer has more ids than the model,
// or if the loss is infinite or not a number.
SanityCheck CheckLoss(const std::string& directory, const ModelConfig& config);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_SANITY_CHECK_H_
