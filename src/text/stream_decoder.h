#ifndef BLOCKFORMER_TEXT_STREAM_DECODER_H_
#define BLOCKFORMER_TEXT_STREAM_DECODER_H_

#include <cstdint>
#include <string>

#include "text/tokenizer.h"

namespace blockformer {

// Turns ids that arrive one by one into pieces of valid UTF-8. What Push and Flush return, one
// after the other, is the decoded text with each maximal invalid part replaced by U+FFFD. Not
// thread-safe.
class StreamDecoder {
 public:
  // Keeps a reference to the tokenizer.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = false)
      : tokenizer_(tokenizer), skip_special_(skip_special) {}

  // The text that `id` completes, maybe empty: a character whose last bytes are yet to come is held
  // back. Throws Error(kInvalidArgument) for an id that does not exist.
  std::string Push(int32_t id);

  // What was held back, as U+FFFD. The decoder is then as new.
  std::string Flush();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  std::string held_back_;  // at most 3 bytes
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_STREAM_DECODER_H_
