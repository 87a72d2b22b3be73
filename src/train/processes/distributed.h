#ifndef BLOCKFORMER_TRAIN_PROCESSES_DISTRIBUTED_H_
#define BLOCKFORMER_TRAIN_PROCESSES_DISTRIBUTED_H_

#include <memory>
#include <vector>

#include "config/json.h"
#include "train/processes/process_rank.h"
#include "train/torch.h"

namespace blockformer::train {

// The processes that train together, over c10d: NCCL between GPUs where libtorch has it, otherwise
// Gloo. Every process calls the same functions in the same order. They throw Error as
// PeerWatch::Wait::Look does, and Error(kIo) when another process is lost; no function may be
// called then. Alone they do nothing. Not thread-safe.
class ProcessGroup {
 public:
  // Waits until all processes have come, as MeetOthers does.
  ProcessGroup(const ProcessRank& rank, const torch::Device& device, const Json& description);
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;
  ~ProcessGroup();

  int rank() const { return rank_.rank; }
  int size() const { return rank_.world_size; }
  bool IsMain() const { return rank_.rank == 0; }

  // Replaces every tensor by its sum over the processes. They may differ in type.
  void Sum(const std::vector<torch::Tensor>& tensors);
  // Replaces every tensor by process 0's.
  void Broadcast(const std::vector<torch::Tensor>& tensors);

 private:
  class Backend;

  ProcessRank rank_;
  torch::Device device_;
  std::unique_ptr<Backend> backend_;  // null when alone
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_PROCESSES_DISTRIBUTED_H_
