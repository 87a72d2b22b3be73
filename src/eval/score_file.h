#ifndef BLOCKFORMER_EVAL_SCORE_FILE_H_
#define BLOCKFORMER_EVAL_SCORE_FILE_H_

#include <cstdint>
#include <string>

#include "base/resumable_lines.h"
#include "eval/eval_model.h"
#include "eval/scorer.h"

namespace blockformer {

// A file of texts to score: JSON lines, maybe compressed (.jsonl.zst), each with "context" and
// "continuation", or with "text", all of which is scored.
struct ScoreFile {
  std::string path;
  int64_t lines = 0;
  int64_t tokens = 0;  // to compute, with what lines have in common counted each time
  uint64_t hash = 0;   // of the contents
};

// Reads all of a file, so that what is wrong with it is said before anything is computed. Throws
// Error that opens with FILE:LINE for lines that cannot be scored, and for those that have a field
// of the names that scores get; Error(kInvalidArgument) for what cannot be read twice.
ScoreFile CheckScoreFile(const std::string& path, const EvalModel& model, int64_t max_length);

// Scores the lines that `output` does not hold yet, and appends each to it with "log_likelihood"
// (in nats), "tokens" (those that were scored) and "is_greedy", or "bytes" of a "text". A line
// whose log-likelihood is not a finite number has null in its place, and a message as "error".
// Returns the number of tokens computed. Ends early once StopRequested(). Throws Error(kCorrupt) if
// the file has changed.
int64_t ScoreLines(const ScoreFile& file, const EvalModel& model, Scorer* scorer,
                   ResumableLines* output);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_SCORE_FILE_H_
