#ifndef BLOCKFORMER_EVAL_NEEDLE_H_
#define BLOCKFORMER_EVAL_NEEDLE_H_

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

// The result of a model that answered each of MakeNeedlePrompts()'s prompts: "model", "form",
// "lengths", "depths", "samples", "hits" (a row for each depth, a column for each length),
// "accuracy" (share of all prompts) and "prompts": what was wanted and generated for each.
OrderedJson NeedleResult(const std::string& name, const NeedleOptions& options,
                         const std::vector<NeedlePrompt>& prompts,
                         const std::vector<std::string>& answers);

// Generates kNeedleNewTokens tokens greedily after each prompt, many of them together. A
// length beyond the model's context is computed, with a warning in the log. Throws Error:
// kExhausted if the KV cache of the longest does not fit, kInterrupted when `observer` asks to
// stop.
OrderedJson RunNeedle(const EvalModel& model, const std::string& name, const NeedleOptions& options,
                      const std::vector<NeedlePrompt>& prompts, WorkObserver* observer);

// A report is {"task": "needle", "form", ..., "results": [NeedleResult() of each model]}, all for
// the same lengths and depths.

// Hit rates in %, depth by length, for people.
std::string NeedleTable(const OrderedJson& report);

// A gnuplot script that draws the same as heat maps, a panel for each model, into `output`. Throws
// Error(kInvalidArgument) if that ends neither in .svg nor in .png.
std::string NeedlePlotScript(const OrderedJson& report, const std::string& output);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_NEEDLE_H_
