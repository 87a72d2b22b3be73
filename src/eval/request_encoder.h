#ifndef BLOCKFORMER_EVAL_REQUEST_ENCODER_H_
#define BLOCKFORMER_EVAL_REQUEST_ENCODER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/model_config.h"
#include "engine/score_batch.h"
#include "text/tokenizer.h"

namespace blockformer {

// Turns texts into requests as lm-evaluation-harness 0.4 does for causal language models ("hf"). A
// tokenizer whose template puts tokens before every text, such as Llama 3's, puts them before
// contexts too, as the harness has it since add_bos_token is None by default (0.4.13 is so; 0.4.7
// never adds them).

// The token that stands for no text before a text: of the directory's tokenizer_config.json the
// "bos_token", or else the "eos_token"; without such a file, the configuration's. Throws Error that
// names the file if it is not JSON.
int32_t PrefixTokenId(const std::string& directory, const Tokenizer& tokenizer,
                      const ModelConfig& config);

// A whole text's tokens, behind those of the tokenizer's template unless the text itself begins
// with that of `prefix_id`.
std::vector<int32_t> EncodeWhole(const Tokenizer& tokenizer, std::string_view text,
                                 int32_t prefix_id);

// The tokens of `continuation` given `context`. White space at the context's end belongs to the
// continuation. Both are encoded as one text, of which those tokens are scored that exceed the
// context's own. Throws Error(kInvalidArgument) for invalid UTF-8, if there is no such token, or if
// there are more than max_length of them.
ScoreRequest EncodePair(const Tokenizer& tokenizer, std::string_view context,
                        std::string_view continuation, int64_t max_length, int32_t prefix_id);

// A whole text, cut into disjoint windows of at most max_length tokens that are scored; each has
// the token before it as context, and the last one as much before it as fits. None for no tokens.
std::vector<ScoreRequest> RollingWindows(const std::vector<int32_t>& tokens, int64_t max_length,
                                         int32_t prefix_id);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_REQUEST_ENCODER_H_
