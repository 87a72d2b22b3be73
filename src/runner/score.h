#ifndef BLOCKFORMER_RUNNER_SCORE_H_
#define BLOCKFORMER_RUNNER_SCORE_H_

#include <cstdint>
#include <vector>

#include "runner/sampling.h"

namespace blockformer {

// How a model rates a given token.
struct TokenScore {
  double log_likelihood = 0;  // in nats, over the whole vocabulary; NaN if a logit is not finite
  bool is_largest = false;    // no token is likelier; of equal ones, none with a lower id
  std::vector<TokenLogProbabilities::Entry> top = {};  // ScoreStep::top, the likeliest first
};

// A unit (a block, or a token of a vanilla model) that passes through the decoder.
struct UnitRow {
  const int32_t* pages = nullptr;  // where its sequence's keys and values lie, from unit 0 on
  int64_t unit = 0;                // index in its sequence; the row sees units 0 to this one
  // One byte for each unit of the sequence: 0 on units that are all padding, which see no unit and
  // are seen by none. Null if there are none.
  const uint8_t* unit_mask = nullptr;
};

// A unit in which some tokens are scored, each given the earlier units and the earlier tokens of
// its own unit.
struct ScoredUnit {
  int64_t row = 0;  // the UnitRow of the unit before it
  int64_t first_slot = 0;
  int64_t end_slot = 0;  // the tokens at slots [first_slot, end_slot) are scored
};

// Given tokens of many sequences that are scored at once, in a paged cache of their own that lives
// for this step alone.
struct ScoreStep {
  int64_t num_pages = 0;           // pages of the cache, which are numbers below this
  int64_t page_size = 0;           // units
  int64_t max_units = 0;           // of the longest sequence
  std::vector<UnitRow> rows;       // a unit that several sequences share is here once
  std::vector<int32_t> ids;        // [rows, L]
  std::vector<uint8_t> mask;       // [rows, L]; 0 on padding
  std::vector<ScoredUnit> units;   // what is scored
  std::vector<int32_t> unit_ids;   // [units, L]
  std::vector<uint8_t> unit_mask;  // [units, L]; 0 on padding, which no token sees
  int64_t top = 0;                 // how many of the likeliest tokens to report for each scored one
};

// The rows that the scored units are predicted from, each once, in ascending order.
std::vector<int64_t> ContextRows(const ScoreStep& step);

}  // namespace blockformer

#endif  // BLOCKFORMER_RUNNER_SCORE_H_
