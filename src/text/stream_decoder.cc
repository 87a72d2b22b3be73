#include "text/stream_decoder.h"

#include <span>
#include <string_view>

#include "text/utf8.h"

namespace blockformer {
namespace {

// The length of the character at the end of `text` that lacks its last bytes; 0 if there is none.
size_t IncompleteLength(std::string_view text) {
  constexpr size_t kMaxIncomplete = 3;
  for (size_t length = 1; length <= kMaxIncomplete && length <= text.size(); ++length) {
    const Utf8Character character = ReadUtf8(text.substr(text.size() - length));
    if (character.state == Utf8Character::State::kIncomplete) return length;
  }
  return 0;
}

}  // namespace

std::string StreamDecoder::Push(int32_t id) {
  held_back_ += tokenizer_.DecodeContinuation(std::span(&id, 1), skip_special_);
  const size_t complete = held_back_.size() - IncompleteLength(held_back_);
  std::string text = ReplaceInvalidUtf8(std::string_view(held_back_).substr(0, complete));
  held_back_.erase(0, complete);
  return text;
}

std::string StreamDecoder::Flush() {
  std::string text = ReplaceInvalidUtf8(held_back_);
  held_back_.clear();
  return text;
}

}  // namespace blockformer
