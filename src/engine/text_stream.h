#ifndef BLOCKFORMER_ENGINE_TEXT_STREAM_H_
#define BLOCKFORMER_ENGINE_TEXT_STREAM_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "blockformer/text_generator.h"
#include "engine/stop_matcher.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace blockformer {

// The text of a sequence while its tokens arrive: whole characters only, up to the first stop text,
// and the reason why it ends. The pieces that Take() and Flush() return, one after the other, are
// the text. Special tokens add nothing to it. Not thread-safe.
class TextStream {
 public:
  // Keeps a reference to the tokenizer. A text that ends after `max_tokens` tokens has ended by
  // length, an earlier one by the model.
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stops, int64_t max_tokens)
      : decoder_(tokenizer, /*skip_special=*/true),
        stops_(std::move(stops)),
        max_tokens_(max_tokens) {}

  // Takes the tokens of one step, with `finished` the last ones, and returns the text that is now
  // certain. Tokens behind the one that completes a stop text are not taken. Not after the end.
  std::string Take(std::span<const int32_t> tokens, bool finished);

  // Ends a text early and returns what was held back.
  std::string Flush();

  // Whether all tokens have come, or a stop text.
  bool ended() const { return ended_; }
  // Why the text has ended: kLength, kEndOfText or kStop. Only for one that has.
  FinishReason reason() const;
  // Tokens taken, those of a stop text among them.
  int64_t num_tokens() const { return num_tokens_; }

 private:
  StreamDecoder decoder_;
  StopMatcher stops_;
  int64_t max_tokens_;
  int64_t num_tokens_ = 0;
  bool ended_ = false;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_TEXT_STREAM_H_
