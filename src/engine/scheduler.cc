#include "engine/scheduler.h"

#include <algorithm>

#include "base/error.h"

namespace blockformer {

void Scheduler::Submit(int64_t id, int64_t prompt_units, int64_t total_units) {
  const Sequence sequence{id, prompt_units, total_units};
  Require(
      PagesOf(sequence) <= limits_.num_pages, ErrorCode::kExhausted,
      "a sequence of {} blocks or tokens does not fit the KV cache, which holds {}; shorten the "
      "prompt, ask for fewer tokens, or give the cache more memory",
      total_units, limits_.num_pages * limits_.page_size);
  waiting_.push_back(sequence);
}

void Scheduler::Admit() {
  while (!waiting_.empty() && static_cast<int64_t>(running_.size()) < limits_.max_sequences) {
    const int64_t pages = PagesOf(waiting_.front());
    if (pages > free_pages_) return;  // later ones wait too: none overtakes
    free_pages_ -= pages;
    running_.push_back(waiting_.front());
    waiting_.pop_front();
  }
}

std::vector<StepItem> Scheduler::Plan() {
  Admit();
  std::vector<StepItem> step;
  int64_t budget = limits_.max_units_per_step;
  for (Sequence& sequence : running_) {
    const int64_t prompt_left = sequence.prompt_units - sequence.computed_units;
    int64_t units = 1;
    if (prompt_left > 0) {
      units = std::min(prompt_left, budget);
      budget -= units;
      if (units == 0) continue;
    }
    sequence.computed_units += units;
    step.push_back({sequence.id, units, sequence.computed_units >= sequence.prompt_units});
  }
  return step;
}

void Scheduler::Finish(int64_t id) {
  const auto same = [id](const Sequence& sequence) { return sequence.id == id; };
  const auto running = std::find_if(running_.begin(), running_.end(), same);
  if (running != running_.end()) {
    free_pages_ += PagesOf(*running);
    running_.erase(running);
    return;
  }
  const auto waiting = std::find_if(waiting_.begin(), waiting_.end(), same);
  if (waiting != waiting_.end()) waiting_.erase(waiting);
}

}  // namespace blockformer
