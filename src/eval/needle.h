#ifndef BLOCKFORMER_EVAL_NEEDLE_H_
#define BLOCKFORMER_EVAL_NEEDLE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/work_observer.h"
#include "config/json.h"
#include "eval/eval_model.h"
#include "eval/needle_prompt.h"

namespace blockformer {

// Whether the digits stand in what was generated, be it in a longer number.
bool IsNeedleHit(std::string_view generated, std::string_view digits);

struct NeedleAnswer {
  int64_t length = 0;  // as in NeedlePrompt
  double depth = 0;
  double placed = 0;
  std::string city;
  std::string expected;  // digits
  std::string generated;
  bool is_hit = false;
};

// What a model answered.
struct NeedleResult {
  double Accuracy() const;  // share of hits of all prompts

  std::string model;
  NeedleOptions options;
  std::vector<std::vector<int64_t>> hits;  // [depths, lengths]
  std::vector<NeedleAnswer> answers;       // to each of MakeNeedlePrompts()'s prompts
};

// `generated` has what the model `name` said behind each prompt.
NeedleResult JudgeNeedle(const std::string& name, const NeedleOptions& options,
                         const std::vector<NeedlePrompt>& prompts,
                         const std::vector<std::string>& generated);

// Generates kNeedleNewTokens tokens greedily after each prompt, many of them together. A
// length beyond the model's context is computed, with a warning in the log. Throws Error:
// kExhausted if the KV cache of the longest does not fit, kInterrupted when `observer` asks to
// stop.
NeedleResult RunNeedle(const EvalModel& model, const std::string& name,
                       const NeedleOptions& options, const std::vector<NeedlePrompt>& prompts,
                       WorkObserver* observer);

// The following take the results of several models, all for the same lengths and depths.

// A list with an entry for each: "model", "form", "lengths", "depths", "samples", "hits",
// "accuracy" and "prompts": what was wanted and generated for each.
OrderedJson NeedleJson(const std::vector<NeedleResult>& results);

// Hit rates in %, depth by length, for people.
std::string NeedleTable(const std::vector<NeedleResult>& results);

// A gnuplot script that draws the same as heat maps, a panel for each model, into `output`. Throws
// Error(kInvalidArgument) if that ends neither in .svg nor in .png.
std::string NeedlePlotScript(const std::vector<NeedleResult>& results, const std::string& output);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_NEEDLE_H_
