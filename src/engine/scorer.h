#ifndef BLOCKFORMER_ENGINE_SCORER_H_
#define BLOCKFORMER_ENGINE_SCORER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/score_batch.h"
#include "runner/model.h"

namespace blockformer {

inline constexpr int64_t kMaxScorerTokens = int64_t{1} << 24;

// Sizes are at most kMaxScorerTokens.
struct ScorerOptions {
  int64_t max_length = 0;  // tokens that the model reads of a text; 0 for the trained context
  // What is computed together, as ScoreBatch::Cost() has it; more where one request takes more.
  int64_t batch_tokens = 8192;
  // Of a block model; without one, kPadded if it was trained with random padding of the first
  // block.
  std::optional<ScoringPadding> padding;
};

// "pad", "nopad", or "auto" for none. Throws Error(kInvalidArgument) that opens with `option`.
std::optional<ScoringPadding> ParseScoringPadding(const std::string& option,
                                                  const std::string& name);

// Tokens that are scored between two steps of an engine on the same thread, so that what it
// generates goes on.
inline constexpr int64_t kTokensBetweenSteps = 2048;

// How many tokens Scorer::Run() cuts off the beginnings of requests, 0 for most.
int64_t CutTokens(std::span<const ScoreRequest> requests, int64_t max_length);

// All tokens of the requests; what they have in common counts each time.
int64_t TotalTokens(std::span<const ScoreRequest> requests);

// Log-likelihoods of given tokens, each given those before it in its request. In a block model only
// the blocks with scored tokens run through the token decoder. Not thread-safe; several scorers may
// share one model.
class Scorer {
 public:
  // Gives the next request, or nothing at the end.
  using NextRequest = std::function<std::optional<ScoreRequest>()>;
  // Called for each request, in order, with the scores of its last tokens: `scored` of them, or
  // fewer, even none, where kUnpadded leaves a text's first tokens out. Some are NaN if the model
  // computed numbers that are not finite; RequireFinite() refuses them. Other requests are right.
  using OnScores = std::function<void(int64_t index, std::span<const TokenScore> scores)>;

  // Throws Error(kInvalidArgument) for options out of range.
  Scorer(std::shared_ptr<const Model> model, const ScorerOptions& options);

  // Of a request with more than max_length tokens before the last one, the first are cut off, as
  // lm-evaluation-harness does. Throws Error: kInvalidArgument for ids out of range, or a request
  // that scores nothing, its first token, or more than max_length tokens.
  void Run(const NextRequest& next, const OnScores& on_scores);

  const Model& model() const { return *model_; }
  // With all that was left open filled in.
  const ScorerOptions& options() const { return options_; }

 private:
  void CheckAndCut(ScoreRequest* request) const;

  std::shared_ptr<const Model> model_;
  ScorerOptions options_;
  std::unique_ptr<Runner> runner_;
  ScoreBatch batch_;
};

// Throws Error(kCorrupt), opening with `source`, if a log-likelihood is not a finite number.
void RequireFinite(std::span<const TokenScore> scores, const std::string& source);

// How many of the first requests are scored in one go if that is to be `max_tokens` tokens: as many
// as begin before, at least one if there is any.
size_t CountWithin(std::span<const ScoreRequest> requests, int64_t max_tokens);

// Scorer::Run() for requests that are all there: its scores of each.
std::vector<std::vector<TokenScore>> ScoreAll(Scorer* scorer,
                                              const std::vector<ScoreRequest>& requests);

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_SCORER_H_
