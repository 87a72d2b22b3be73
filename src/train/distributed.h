#ifndef BLOCKFORMER_TRAIN_DISTRIBUTED_H_
#define BLOCKFORMER_TRAIN_DISTRIBUTED_H_

#include <memory>
#include <string>
#include <vector>

#include "train/torch.h"

namespace blockformer {

// Where this process stands among those that train one model together.
struct ProcessRank {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;  // among the processes of this machine
  int local_world_size = 1;
  std::string master_address;  // where process 0 listens
  int master_port = 0;
};

// Whether the environment names a rank, as torchrun and the local launcher set it.
bool HasRankInEnvironment();

// RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and, where set, LOCAL_RANK and LOCAL_WORLD_SIZE; one
// process alone if RANK is not set. Throws Error(kInvalidArgument) that names the variable.
ProcessRank ReadRankFromEnvironment();

// The processes that train together, over c10d: NCCL between GPUs where libtorch has it, otherwise
// Gloo. Every process calls the same functions in the same order. When another process is lost, or
// silent for six hours, they throw Error(kIo). Alone they do nothing. Not thread-safe.
class ProcessGroup {
 public:
  // Waits until all processes have come.
  ProcessGroup(const ProcessRank& rank, const torch::Device& device);
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

}  // namespace blockformer

#endif  // BLOCKFORMER_TRAIN_DISTRIBUTED_H_
