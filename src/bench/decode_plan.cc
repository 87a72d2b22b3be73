#include "bench/decode_plan.h"

#include <algorithm>

#include "base/integer.h"

namespace blockformer {
namespace {

// The engine's step, counted from 1, in which each sequence gets its first unit: prompts fill the
// chunks one after the other.
std::vector<int64_t> FirstSteps(const ThroughputSetting& setting, int64_t unit_length,
                                int64_t max_prefill_tokens) {
  const int64_t prompt_units = DivideUp(setting.prompt, unit_length);
  const int64_t chunk_units = DivideUp(max_prefill_tokens, unit_length);
  std::vector<int64_t> first;
  for (int64_t i = 1; i <= setting.batch; ++i) {
    first.push_back(DivideUp(i * prompt_units, chunk_units));
  }
  return first;
}

}  // namespace

DecodePlan PlanDecoding(const ThroughputSetting& setting, int64_t unit_length,
                        int64_t max_prefill_tokens) {
  const std::vector<int64_t> first = FirstSteps(setting, unit_length, max_prefill_tokens);
  const int64_t later_units = DivideUp(setting.generate, unit_length) - 1;
  std::vector<DecodeStep> steps(first.back() + later_units + 1);
  DecodePlan plan;
  for (const int64_t begin : first) {
    for (int64_t unit = 1; unit <= later_units; ++unit) {
      DecodeStep& step = steps[begin + unit];
      ++step.sequences;
      step.context += setting.prompt + unit * unit_length;  // of all sequences, for now
    }
    plan.tokens_in_prefill += std::min(setting.generate, (first.back() - begin + 1) * unit_length);
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].sequences == 0) continue;  // nothing but prompts
    plan.steps.push_back({steps[i].sequences, steps[i].context / steps[i].sequences});
    if (static_cast<int64_t>(i) <= first.back()) ++plan.steps_in_prefill;
  }
  return plan;
}

DecodeTime IntegrateDecoding(const DecodePlan& plan, int64_t unit_length, int64_t samples,
                             const std::function<double(const DecodeStep&)>& seconds_of) {
  DecodeTime time;
  const size_t parts = std::min(plan.steps.size(), static_cast<size_t>(samples));
  for (size_t part = 0; part < parts; ++part) {
    const size_t begin = plan.steps.size() * part / parts;
    const size_t end = plan.steps.size() * (part + 1) / parts;
    const size_t in_prefill = std::clamp(plan.steps_in_prefill, begin, end) - begin;
    const DecodeStep& middle = plan.steps[(begin + end) / 2];
    const double seconds = seconds_of(middle);
    time.in_prefill += static_cast<double>(in_prefill) * seconds;
    time.total += static_cast<double>(end - begin) * seconds;
    time.by_context.push_back({static_cast<double>(middle.context),
                               static_cast<double>(middle.sequences * unit_length) / seconds});
  }
  return time;
}

}  // namespace blockformer
