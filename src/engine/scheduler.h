#ifndef BLOCKFORMER_ENGINE_SCHEDULER_H_
#define BLOCKFORMER_ENGINE_SCHEDULER_H_

#include <cstdint>
#include <deque>
#include <vector>

namespace blockformer {

// What the engine has to share out. A unit is a block, or a token of a vanilla model.
struct SchedulerLimits {
  int64_t max_sequences = 1;       // that run at once
  int64_t max_units_per_step = 1;  // prompt units of a step, beside one unit of each that generates
  int64_t num_pages = 1;           // of the KV cache
  int64_t page_size = 1;           // units a page
};

// A part of a step: the next `units` units of sequence `id` pass through the decoder. If
// `generates`, the unit that follows them is generated from the last one.
struct StepItem {
  int64_t id = 0;
  int64_t units = 0;
  bool generates = false;
};

// Decides which sequences take part in each step: first come, first served; a prompt is computed in
// chunks beside sequences that generate. A sequence is admitted when its whole length fits into the
// free pages, so none ever has to be stopped for want of memory. Pure policy: it knows no model.
// Not thread-safe.
class Scheduler {
 public:
  explicit Scheduler(const SchedulerLimits& limits)
      : limits_(limits), free_pages_(limits.num_pages) {}

  // Throws Error(kExhausted) if `total_units`, prompt and generated ones, can never fit.
  void Submit(int64_t id, int64_t prompt_units, int64_t total_units);

  // The next step; empty if nothing waits or runs. The caller carries it out before the next call.
  std::vector<StepItem> Plan();

  // Ends a sequence that waits or runs, and frees what it held.
  void Finish(int64_t id);

  bool HasWork() const { return !waiting_.empty() || !running_.empty(); }

 private:
  struct Sequence {
    int64_t id;
    int64_t prompt_units;
    int64_t total_units;
    int64_t computed_units = 0;
  };

  int64_t PagesOf(const Sequence& sequence) const {
    return (sequence.total_units + limits_.page_size - 1) / limits_.page_size;
  }
  void Admit();

  SchedulerLimits limits_;
  int64_t free_pages_;
  std::deque<Sequence> waiting_;
  std::vector<Sequence> running_;  // in the order of admission
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_SCHEDULER_H_
