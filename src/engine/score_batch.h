#ifndef BLOCKFORMER_ENGINE_SCORE_BATCH_H_
#define BLOCKFORMER_ENGINE_SCORE_BATCH_H_

#include <cstdint>
#include <span>
#include <vector>

#include "config/model_config.h"
#include "runner/score.h"

namespace blockformer {

// How a block model's scored texts are laid out in blocks.
enum class ScoringPadding {
  // L - 1 pads before the text, so that its first token alone ends the first block, which is never
  // predicted: every other token is scored. For models trained with random padding of the first
  // block.
  kPadded,
  // The text begins with the first block, so that its first L tokens are not scored. For models
  // trained without.
  kUnpadded,
};

// A text whose last tokens are to be scored.
struct ScoreRequest {
  std::vector<int32_t> tokens;
  int64_t scored = 0;  // how many of the last tokens; at least 1 and fewer than all
  int64_t top = 0;     // how many of the likeliest tokens to report for each scored one, at least
};

// Requests that are computed together, as rows of units without any padding between requests. Pages
// of units that a request has in common with the one before it are computed once. Which tokens of a
// text are padding follows the published implementation's evaluation: those with the padding id,
// except the first such token of a text that does not begin with one.
class ScoreBatch {
 public:
  static constexpr int64_t kPageSize = 8;  // units; what is shared is a multiple of it

  ScoreBatch(const ModelConfig& config, ScoringPadding padding);

  // What a request would add to the batch: the tokens that run through embedder and decoder, and
  // those that are scored.
  int64_t Cost(const ScoreRequest& request) const;
  void Add(ScoreRequest request);
  void Clear();

  bool empty() const { return items_.empty(); }
  int64_t num_requests() const { return static_cast<int64_t>(items_.size()); }
  int64_t num_rows() const { return num_rows_; }
  int64_t cost() const { return cost_; }

  // What the runner is to compute. Points into the batch: valid until that changes.
  ScoreStep MakeStep() const;

  // Which tokens of which request a unit of the step scores.
  struct Target {
    int64_t request;
    int64_t first_token;  // the index in the request of the token at its first slot; may be padding
    ScoredUnit unit;
  };
  // The targets of the step's scored units, in order of requests and tokens.
  std::vector<Target> Targets() const;

 private:
  struct Item {
    ScoreRequest request;
    std::vector<uint8_t> mask;       // by token
    std::vector<int64_t> rows;       // by unit, including those shared with earlier requests
    std::vector<uint8_t> unit_mask;  // by unit; 0 where all of it is padding
    std::vector<int32_t> pages;
    int64_t first_own = 0;  // the first unit that is not shared with an earlier request
  };

  // The L tokens of a scored unit, up to the last slot that is scored; the rest is padding.
  void ReadUnit(const Target& target, std::span<int32_t> ids, std::span<uint8_t> mask) const;
  // The slot of a token, counted from the first slot of unit 0.
  int64_t SlotOf(int64_t token) const { return left_pad_ + token; }
  // Units that the decoder reads: those before the last token's.
  int64_t NumUnits(const ScoreRequest& request) const;
  // The first units, whole pages, that a request has in common with the last one of the batch.
  int64_t SharedUnits(const ScoreRequest& request) const;

  bool is_block_;
  int64_t unit_length_;
  int64_t left_pad_;  // slots before the first token
  int32_t pad_id_;
  std::vector<Item> items_;
  int64_t num_rows_ = 0;
  int64_t cost_ = 0;
  int32_t num_pages_ = 0;
  std::vector<int32_t> ids_;
  std::vector<uint8_t> mask_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_SCORE_BATCH_H_
