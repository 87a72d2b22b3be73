#include "eval/scored_text.h"

#include "eval/request_encoder.h"

namespace blockformer {

std::vector<ScoreRequest> EncodeScored(const Tokenizer& tokenizer, const ScoredText& text,
                                       int64_t max_length, int32_t prefix_id) {
  if (text.context) {
    return {EncodePair(tokenizer, *text.context, text.text, max_length, prefix_id)};
  }
  return RollingWindows(EncodeWhole(tokenizer, text.text, prefix_id), max_length, prefix_id);
}

void RequestScore::Add(std::span<const TokenScore> scores) {
  for (const TokenScore& score : scores) {
    log_likelihood += score.log_likelihood;
    is_greedy &= score.is_largest;
  }
  tokens += std::ssize(scores);
}

OrderedJson ScoreJson(const ScoredText& text, const RequestScore& score, int64_t cut_tokens) {
  OrderedJson json = {{"log_likelihood", score.log_likelihood}};
  if (text.context) json["is_greedy"] = score.is_greedy;
  json["tokens"] = score.tokens;
  if (!text.context) json["bytes"] = text.text.size();
  if (cut_tokens > 0) json["cut_tokens"] = cut_tokens;
  return json;
}

}  // namespace blockformer
