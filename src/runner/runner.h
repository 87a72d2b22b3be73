#ifndef BLOCKFORMER_RUNNER_RUNNER_H_
#define BLOCKFORMER_RUNNER_RUNNER_H_

#include <cstdint>
#include <vector>

#include "base/number_type.h"
#include "runner/forward.h"
#include "runner/sampling.h"
#include "runner/score.h"
#include "runner/token_constraint.h"

namespace blockformer {

// Which rotary positions a token decoder uses while it generates.
enum class PositionRule {
  kTrained,  // as in training: prefix vectors at 0..X-1, token t_k at X-1+k
  // As the published generate() does: with more than one prefix vector, all of them at 0 and token
  // t_k at k.
  kPublished,
};

// What a runner reserves, and what holds for all of its sequences. A unit is a block of L tokens,
// or one token of a vanilla model.
struct RunnerOptions {
  int64_t places = 0;      // sequences that generate at once
  int64_t num_pages = 0;   // of the KV cache
  int64_t page_size = 16;  // units; a multiple of 8
  int64_t max_units = 0;   // a sequence
  NumberType kv_type = NumberType::kF32;
  PositionRule position_rule = PositionRule::kTrained;
  TokenFilter token_filter;
  bool fill_cache = false;  // with arbitrary small numbers, for benchmarks
};

// What a runner has to know of a sequence. Lives as long as the sequence is open.
struct SequenceStart {
  // The tokens so far: the prompt, padded on the left, and what was generated of it before. Whole
  // units pass through the decoder; the tokens of a unit that is begun stand first in the one that
  // is generated.
  std::vector<int32_t> tokens;
  std::vector<uint8_t> mask;  // of the first tokens, at most all; 0 on padding. The others are none
  int64_t prompt_begin = 0;   // tokens before are padding that the runner's user added
  int64_t generated = 0;      // the last so many tokens are no prompt
  int64_t max_tokens = 0;     // generated ones in all: more in the last unit are not needed
  SamplingOptions sampling;
  std::vector<int32_t> excluded_ids;       // never chosen, beside those of all sequences; ascending
  TokenConstraintFactory make_constraint;  // says what else may not be chosen, if there is one
  uint64_t stream = 0;  // with equal seeds and streams, sequences draw alike at equal `generated`
  int64_t top_log_probabilities = -1;  // entries of TokenLogProbabilities::top; -1 wants none of it
};

// The mask of the first `units` units of a sequence, from that of its first tokens: 0 on units
// whose tokens are all masked. Empty if none is.
std::vector<uint8_t> UnitMask(const std::vector<uint8_t>& mask, int64_t unit_length, int64_t units);

// A part of a step: the units [begin, begin + units) of the sequence at `place` pass through the
// decoder. If `generates`, the unit behind them is generated.
struct StepPart {
  int64_t place = 0;
  int64_t begin = 0;
  int64_t units = 0;
  bool generates = false;
};

// From this step on, `page` holds the units [index * page_size, (index + 1) * page_size) of the
// sequence at `place`.
struct NewPage {
  int64_t place = 0;
  int64_t index = 0;
  int32_t page = 0;
};

struct Step {
  std::vector<StepPart> parts;  // at different places
  std::vector<NewPage> new_pages;
};

// What a step has made, for each part that generates, in their order.
struct StepResult {
  std::vector<int32_t> ids;  // [parts, L], a unit's given tokens included
  // [parts]: L, or the first slot at which no token could be chosen, since a logit was not a finite
  // number or since the sequence's constraint allows none of the tokens; what stands there and
  // behind is arbitrary.
  std::vector<int64_t> chosen;
  // [parts]: 1 where it was the constraint; empty from runners that obey none.
  std::vector<uint8_t> is_constrained;
  // [parts, L]; filled where the sequence asked, from the first token that is not given on.
  std::vector<TokenLogProbabilities> log_probabilities;
};

// One model on one device with its KV cache: carries out whole steps of a batch, sampling included,
// and keeps what each sequence has generated, so that a step depends on counts and pages alone. A
// sequence's results do not depend on the others of its steps. Not thread-safe; several runners may
// share a model.
class Runner {
 public:
  virtual ~Runner() = default;

  // Steps that may be started before the first of them is waited for; 1 or more.
  virtual int64_t MaxStepsInFlight() const = 0;

  // Begins a sequence at a place in [0, RunnerOptions::places); what was there before is forgotten.
  virtual void Open(int64_t place, SequenceStart start) = 0;

  // Starts a step. Steps are carried out in order, each on what the one before it made.
  virtual void Start(const Step& step) = 0;
  // What the oldest step that was started has made.
  virtual StepResult Wait() = 0;

  // Scores given tokens: the scores of all slots of step.units, one after the other. Uses a cache
  // of f32 apart from that of steps.
  virtual std::vector<TokenScore> Score(const ScoreStep& step) = 0;

  // A teacher-forced pass, with the masks of training: masked units are seen by none, masked tokens
  // by no other token of their block. All logits are kept in memory.
  virtual ForwardOutput Forward(const ForwardInput& input) = 0;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_RUNNER_RUNNER_H_
