#ifndef BLOCKFORMER_TRAIN_PROCESSES_PROCESS_RANK_H_
#define BLOCKFORMER_TRAIN_PROCESSES_PROCESS_RANK_H_

#include <chrono>
#include <string>

namespace blockformer::train {

// The variable in which the local launcher names the file where its processes meet.
inline constexpr char kLocalStoreVariable[] = "BLOCKFORMER_LOCAL_STORE";

// Where this process stands among those that train one model together.
struct ProcessRank {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;  // among the processes of this machine
  int local_world_size = 1;
  std::string store_path;      // the file where the local launcher's processes meet; empty: by TCP
  std::string master_address;  // where process 0 listens
  int master_port = 0;
  // How long another process may show no sign of life while this one waits for it.
  std::chrono::milliseconds peer_timeout = std::chrono::minutes(5);

  // The process of this number, for messages: "process 0 at 10.0.0.1:29500".
  std::string NameOf(int other) const;
};

// Whether the environment names a rank, as torchrun and the local launcher set it.
bool HasRankInEnvironment();
// Whether the local launcher has started this process.
bool IsLaunchedHere();

// RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and, where set, LOCAL_RANK, LOCAL_WORLD_SIZE and
// BLOCKFORMER_PEER_TIMEOUT; one process alone if RANK is not set. Throws Error(kInvalidArgument)
// that names the variable.
ProcessRank ReadRankFromEnvironment();

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_PROCESSES_PROCESS_RANK_H_
