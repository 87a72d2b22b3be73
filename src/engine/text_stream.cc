#include "engine/text_stream.h"

namespace blockformer {

std::string TextStream::Take(std::span<const int32_t> tokens, bool finished) {
  std::string piece;
  for (const int32_t token : tokens) {
    ++num_tokens_;
    piece += stops_.Push(decoder_.Push(token));
    if (stops_.stopped()) break;
  }
  if (finished && !stops_.stopped()) piece += Flush();
  ended_ = finished || stops_.stopped();
  return piece;
}

std::string TextStream::Flush() {
  ended_ = true;
  std::string piece = stops_.Push(decoder_.Flush());
  return piece + stops_.Flush();
}

FinishReason TextStream::reason() const {
  if (stops_.stopped()) return FinishReason::kStop;
  return num_tokens_ >= max_tokens_ ? FinishReason::kLength : FinishReason::kEndOfText;
}

}  // namespace blockformer
