#ifndef BLOCKFORMER_EVAL_SCORE_FILE_H_
#define BLOCKFORMER_EVAL_SCORE_FILE_H_

#include <cstdint>
#include <string>

#include "base/resumable_lines.h"
#include "base/work_observer.h"
#include "data/result_fields.h"
#include "engine/scorer.h"
#include "eval/eval_model.h"

namespace blockformer {

// A file of texts to score: JSON lines, whatever its name, maybe compressed, each with "context"
// and "continuation", or with "text", all of which is scored.
struct ScoreFile {
  std::string path;
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kError;
  int64_t lines = 0;
  int64_t tokens = 0;        // to compute, with what lines have in common counted each time
  int64_t cut_contexts = 0;  // lines with more context than the model reads
  uint64_t hash = 0;         // of the contents
};

// The fields that ScoreLines() adds.
ResultFields ScoreFields(const std::string& prefix);

// Reads all of a file, so that what is wrong with it is said before anything is computed. Throws
// Error that opens with FILE:LINE for lines that cannot be scored, and for those that have one of
// the fields `results`; Error(kInvalidArgument) for what cannot be read twice.
ScoreFile CheckScoreFile(const std::string& path, InvalidUtf8 invalid_utf8, const EvalModel& model,
                         int64_t max_length, const ResultFields& results);

// Scores the lines that `output` does not hold yet, and appends each to it, byte for byte, with
// "log_likelihood" (in nats), "tokens" (those that were scored) and "is_greedy", or "bytes" of a
// "text", and "cut_tokens" of a context that was cut on the left; these are named as `results`
// says, as which CheckScoreFile() got it. A line whose log-likelihood is not a finite number has
// null in its place, and a message as "error"; `errors` counts such lines. Returns the number of
// tokens computed. Ends early when `observer` asks to stop. Throws Error(kCorrupt) if the file has
// changed.
int64_t ScoreLines(const ScoreFile& file, const EvalModel& model, const ResultFields& results,
                   Scorer* scorer, ResumableLines* output, ResultErrors* errors,
                   WorkObserver* observer);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_SCORE_FILE_H_
