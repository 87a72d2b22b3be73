#ifndef BLOCKFORMER_EVAL_REQUEST_ENCODER_H_
#define BLOCKFORMER_EVAL_REQUEST_ENCODER_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/score_batch.h"
#include "text/tokenizer.h"

namespace blockformer {

// Turns texts into requests as lm-evaluation-harness 0.4 does for causal language models. What
// stands for no text before a text is the end-of-text token.

// The tokens of `continuation` given `context`. White space at the context's end belongs to the
// continuation. Both are encoded as one text, of which those tokens are scored that exceed the
// context's own. Throws Error(kInvalidArgument) for invalid UTF-8, if there is no such token, or if
// there are more than max_length of them.
ScoreRequest EncodePair(const Tokenizer& tokenizer, std::string_view context,
                        std::string_view continuation, int64_t max_length, int32_t end_of_text);

// A whole text, cut into disjoint windows of at most max_length tokens that are scored; each has
// the token before it as context, and the last one as much before it as fits. None for no tokens.
std::vector<ScoreRequest> RollingWindows(const std::vector<int32_t>& tokens, int64_t max_length,
                                         int32_t end_of_text);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_REQUEST_ENCODER_H_
