#ifndef BLOCKFORMER_EVAL_SCORED_TEXT_H_
#define BLOCKFORMER_EVAL_SCORED_TEXT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/json.h"
#include "engine/score_batch.h"
#include "runner/score.h"
#include "text/tokenizer.h"

namespace blockformer {

// A text to score: what continues a context, or, without one, a whole text.
struct ScoredText {
  std::optional<std::string> context;
  std::string text;

  bool operator==(const ScoredText&) const = default;
};

// What is computed for a text: one request, or the windows of a whole one; none for an empty one.
// Throws as EncodePair() does.
std::vector<ScoreRequest> EncodeScored(const Tokenizer& tokenizer, const ScoredText& text,
                                       int64_t max_length, int32_t prefix_id);

// What a model says of a text: the sum over its requests.
struct RequestScore {
  // Adds what follows.
  void Add(std::span<const TokenScore> scores);

  double log_likelihood = 0;  // in nats
  bool is_greedy = true;      // each token is the likeliest one
  int64_t tokens = 0;         // that were scored
};

// The fields that are written of a text: "log_likelihood", "is_greedy" of a continuation, "tokens",
// "bytes" of a whole text, and "cut_tokens", those of a context that were cut off, if there are
// any.
OrderedJson ScoreJson(const ScoredText& text, const RequestScore& score, int64_t cut_tokens);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_SCORED_TEXT_H_
