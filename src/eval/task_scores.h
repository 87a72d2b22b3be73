#ifndef BLOCKFORMER_EVAL_TASK_SCORES_H_
#define BLOCKFORMER_EVAL_TASK_SCORES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/work_observer.h"
#include "engine/scorer.h"
#include "eval/eval_model.h"
#include "eval/scored_text.h"
#include "eval/task.h"

namespace blockformer {

// A task with the records that it is evaluated on.
struct TaskData {
  Task task;
  std::vector<TaskItem> items;
};

// Tells whether the same is asked of a model, and the same answers are right and of equal weight.
std::string HashOf(const TaskData& data);

// The requests of some tasks, encoded for a model: those of each item in turn.
class TaskRequests {
 public:
  // Throws Error(kInvalidArgument) that opens with the place of an item that cannot be scored.
  TaskRequests(const std::vector<TaskData>& tasks, const EvalModel& model, int64_t max_length);

  int64_t size() const { return static_cast<int64_t>(requests_.size()); }
  // Tokens of the first `count` requests; what requests have in common counts each time.
  int64_t CountTokens(int64_t count) const;
  // Tokens that are to be scored.
  int64_t CountScored() const;
  // Requests of which the scorer cuts off the beginning.
  int64_t CountCut() const;

  // Scores the requests from number `first` on. Throws Error(kCorrupt) that opens with the place of
  // an item whose log-likelihood is not a finite number. `on_score` is called for each, in order.
  // Ends early when `observer` asks to stop.
  using OnScore = std::function<void(const RequestScore& score)>;
  void Run(Scorer* scorer, int64_t first, const OnScore& on_score, WorkObserver* observer) const;

 private:
  // As EncodeScored() makes them of a request.
  using Windows = std::vector<ScoreRequest>;

  int64_t max_length_;
  std::vector<Windows> requests_;
  std::vector<std::string> places_;  // of the requests' items
};

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_TASK_SCORES_H_
