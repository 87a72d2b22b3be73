#ifndef BLOCKFORMER_EVAL_POSITION_LOSS_H_
#define BLOCKFORMER_EVAL_POSITION_LOSS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/work_observer.h"
#include "config/model_config.h"
#include "data/corpus.h"
#include "engine/scorer.h"
#include "eval/eval_model.h"

namespace blockformer {

struct PositionLossOptions {
  int64_t context = 0;  // tokens a window
  // Position p, from 0, is in bin p * bins / context, rounded down.
  int64_t bins = 32;
  std::optional<int64_t> max_windows;  // the first so many alone
};

// Negative log-likelihood in nats, over so many tokens.
struct LossSum {
  void Add(const LossSum& other) {
    sum += other.sum;
    tokens += other.tokens;
  }

  double sum = 0;
  int64_t tokens = 0;
};

// What the tokens of a window lost.
struct WindowLoss {
  int64_t document = 0;  // counts those with whole windows
  std::vector<LossSum> bins;
  std::vector<LossSum> block_positions;  // none for a vanilla model
};

// What a model lost by the position in the text and in the block.
struct PositionLoss {
  std::string model;
  int64_t context = 0;
  std::vector<WindowLoss> windows;
  uint64_t tokens_hash = 0;  // of all tokens: models that read the same windows have the same
};

// Throws Error(kInvalidArgument) that opens with the flag's name: a context of less than two
// blocks, or bins or windows out of range. To be asked for all models before anything is computed.
void CheckPositionLossOptions(const PositionLossOptions& options, const ModelConfig& config);

// Cuts each document of `files`, as CorpusReader takes them with `corpus`, into disjoint windows of
// `context` tokens; a shorter rest is left out. Position p of a window has the loss of its token p
// given those before it. The first token has none, and of a text that begins with its first block
// none of that block's tokens has. `name` is the model's for messages. `scorer` is one of `model`,
// and its max_length at least context - 1. The files are read twice. Warns of a context beyond the
// trained one. Throws Error: kInvalidArgument as the above, and for files that hold no window or
// are no regular ones; what CorpusReader and Scorer throw; kInterrupted when `observer` asks
// to stop.
PositionLoss MeasurePositionLoss(const std::string& name, const EvalModel& model, Scorer* scorer,
                                 const std::vector<std::string>& files,
                                 const PositionLossOptions& options, const CorpusOptions& corpus,
                                 WorkObserver* observer);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_POSITION_LOSS_H_
