#ifndef BLOCKFORMER_TRAIN_PROCESSES_RENDEZVOUS_H_
#define BLOCKFORMER_TRAIN_PROCESSES_RENDEZVOUS_H_

#include <chrono>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "config/json.h"
#include "train/processes/process_rank.h"
#include "train/torch.h"

namespace blockformer::train {

// How long to wait for other processes before the training begins, and what to say meanwhile.
class Patience {
 public:
  explicit Patience(const ProcessRank& rank);

  // Whom, or what, the next calls of Look() wait for.
  void set_awaited(std::string awaited) { awaited_ = std::move(awaited); }
  // Call it many times a second. Says once whom the process waits for. Throws Error(kIo) when the
  // peer timeout is over, and Error(kInterrupted) when this process was asked to stop.
  void Look();

 private:
  const ProcessRank& rank_;
  const std::chrono::steady_clock::time_point begin_;
  std::string awaited_ = "the others";
  bool has_spoken_ = false;
};

// Waits until all processes have come to one store: a file for those of the local launcher, a
// server in process 0 for others. Then each makes sure that all were given the same
// `description`, an object; if not, every one throws Error(kInvalidArgument) that names the first
// field that differs. Throws as Patience does, too.
c10::intrusive_ptr<c10d::Store> MeetOthers(const ProcessRank& rank, const Json& description,
                                           Patience* patience);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_PROCESSES_RENDEZVOUS_H_
