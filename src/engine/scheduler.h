#ifndef BLOCKFORMER_ENGINE_SCHEDULER_H_
#define BLOCKFORMER_ENGINE_SCHEDULER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include "base/integer.h"
#include "engine/page_pool.h"
#include "runner/runner.h"

namespace blockformer {

// What the engine has to share out. A unit is a block, or a token of a vanilla model.
struct SchedulerLimits {
  int64_t max_sequences = 1;       // that run at once
  int64_t max_units_per_step = 1;  // prompt units of a step, beside one unit of each that generates
  int64_t num_pages = 1;           // of the KV cache
  int64_t page_size = 1;           // units a page
};

// What the scheduler knows of a request.
struct SequenceSize {
  int64_t prompt_units = 0;
  int64_t total_units = 0;  // prompt and generated ones; with the last, Finish() has to come
  // The first of the prompt's units that count as computed without ever being so, for benchmarks.
  int64_t given_units = 0;
};

// The next step of the runner, and whose parts it consists of.
struct StepPlan {
  struct Sequence {
    int64_t id = 0;
    bool opens = false;  // its first step at this place
  };

  Step step;                        // at places in [0, max_sequences)
  std::vector<Sequence> sequences;  // whose each of step.parts is
};

// What has been done, and how the cache is used.
struct EngineStats {
  int64_t steps = 0;
  int64_t computed_prompt_units = 0;  // and those computed again after a preemption
  int64_t cached_prompt_units = 0;    // found in the cache instead
  int64_t preemptions = 0;
  int64_t pages = 0;
  int64_t pages_in_use = 0;
  int64_t pages_cached = 0;  // not in use, kept for prompts that begin with what they hold
  int64_t running = 0;       // sequences that take part in steps
  int64_t waiting = 0;       // sequences that do not yet, or no longer for want of pages
};

// Decides which sequences take part in each step, and on which pages of the KV cache: those of
// higher priority first, and first come, first served among equals. Prompts are computed in chunks
// beside sequences that generate. Pages are taken as units need them; when there are none left, the
// last sequence in that order gives up its own and computes its units again later. So the first one
// always goes on, and none runs for which one before it has to wait.
//
// Full pages are shared by sequences that begin alike, and kept after their sequences ended until
// their memory is needed. Pure policy: it knows no model. Not thread-safe.
class Scheduler {
 public:
  // Tells what `count` units of a sequence are, from unit `begin` on: all that their keys and
  // values depend on, beside the units before them.
  using ReadUnits = std::function<std::vector<int32_t>(int64_t id, int64_t begin, int64_t count)>;

  // Nothing is shared without `read_units`, as it has to be if sequences have given units.
  explicit Scheduler(const SchedulerLimits& limits, ReadUnits read_units = {})
      : limits_(limits),
        read_units_(std::move(read_units)),
        pool_(limits.num_pages),
        free_places_(limits.max_sequences) {
    std::iota(free_places_.rbegin(), free_places_.rend(), 0);
  }

  // Queues a sequence and returns its id, larger than all before. Throws Error(kExhausted) if it
  // can never fit.
  int64_t Submit(const SequenceSize& size, int32_t priority = 0);

  // The next step; without parts if nothing waits or runs. While steps are under way, no sequence
  // may be stopped, since what it generates is not known yet: `may_stop` is false, and a step that
  // would take it comes without parts as well.
  StepPlan Plan(bool may_stop = true);

  // The planned step has been started: its units count as computed, and the next step may be
  // planned on top of it. A step of which this is not said is planned anew.
  void StepStarted();

  // What the oldest started step has made can be read: full pages of its sequences can be shared.
  void StepDone();

  // Ends a sequence that waits or runs, between steps, and frees what it held. Nobody finds the
  // pages of one that failed: they may hold what is not a number.
  enum class Ending { kDone, kFailed };
  void Finish(int64_t id, Ending ending = Ending::kDone);

  EngineStats stats() const;

 private:
  struct Sequence {
    SequenceSize size;
    int64_t units = 0;         // known: those of the prompt and those generated
    int64_t prefill = 0;       // units to compute before it generates, or goes on to
    int64_t computed = 0;      // units whose keys and values lie in `pages`
    int64_t planned = 0;       // units of the next step
    int64_t done = 0;          // of `computed`, those of steps that are done
    int64_t found = 0;         // of `computed`, those found since the last step
    int64_t cached_pages = 0;  // the first pages, that are full and cached in the pool
    int64_t place = -1;        // while it runs
    bool opened = false;       // a step at this place has been started
    std::vector<int32_t> pages;
    std::vector<int32_t> sent_pages;  // as the last started step had them
  };
  // Sequences by (-priority, id): the order in which they are served.
  using Rank = std::pair<int64_t, int64_t>;
  using Queue = std::map<Rank, Sequence>;

  int64_t PagesFor(int64_t units) const { return DivideUp(units, limits_.page_size); }
  // Returns false if sequences would have to stop first, and may not.
  bool Admit(bool may_stop);
  bool HasRoom() const;
  // Makes a running sequence wait again, without its place and pages.
  void Stop(Queue::iterator entry);
  void LeavePlace(Sequence* sequence);
  void TakeKnownPages(int64_t id, Sequence* sequence);
  // Whether the sequence got its pages, had to stop itself, or has to wait until others may stop.
  enum class Pages { kTaken, kStopped, kBlocked };
  Pages TakePages(Queue::iterator entry, bool may_stop);
  void AddNewPages(const Sequence& sequence, std::vector<NewPage>* new_pages) const;
  void CachePages(int64_t id, Sequence* sequence);

  SchedulerLimits limits_;
  ReadUnits read_units_;
  PagePool pool_;
  std::vector<int64_t> free_places_;  // the last one is taken next
  Queue waiting_;
  Queue running_;
  std::deque<std::vector<std::pair<Rank, int64_t>>> started_;  // units of each step under way
  int64_t next_id_ = 0;
  EngineStats stats_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_SCHEDULER_H_
