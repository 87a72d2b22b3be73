#ifndef BLOCKFORMER_TRAIN_PROCESSES_PEER_WATCH_H_
#define BLOCKFORMER_TRAIN_PROCESSES_PEER_WATCH_H_

#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <type_traits>
#include <utility>
#include <vector>

#include "train/processes/process_rank.h"
#include "train/torch.h"

namespace blockformer::train {

// Runs `action`, which may block for ever, in a thread of its own, and returns its result. While it
// runs, `look` is called many times a second; when that throws, the action is left behind, so that
// it must own all that it uses.
template <typename Action, typename Look>
auto Await(Action action, const Look& look) {
  constexpr auto kLookInterval = std::chrono::milliseconds(50);
  std::packaged_task<std::invoke_result_t<Action>()> task(std::move(action));
  auto result = task.get_future();
  std::thread(std::move(task)).detach();
  while (result.wait_for(kLookInterval) != std::future_status::ready) look();
  return result.get();
}

// Signs of life of the processes that train together. A thread gives this process's, and looks for
// those of the others, at the place where they met: process 0 looks for all of them, and all
// for process 0. So one that only works long, as process 0 does when it writes a large checkpoint,
// is told from one that is stopped or cut off.
class PeerWatch {
 public:
  PeerWatch(c10::intrusive_ptr<c10d::Store> store, const ProcessRank& rank);
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;
  ~PeerWatch();

  // How long one wait for the others has lasted.
  class Wait {
   public:
    explicit Wait(const PeerWatch& watch);
    // Call it many times a second during the wait. Throws Error(kIo) that names a process which has
    // shown no sign of life for the peer timeout, or Error(kInterrupted) where this one was asked
    // to stop and another has been silent for ten seconds. Time in which this process itself was
    // stopped does not count.
    void Look();

   private:
    struct Peer {
      int rank;
      uint64_t signs;  // seen so far
      std::chrono::milliseconds silence;
    };

    const PeerWatch& watch_;
    std::chrono::steady_clock::time_point last_look_;
    std::vector<Peer> peers_;
  };

 private:
  struct Shared;  // with the thread, which may outlive this object

  const ProcessRank rank_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_PROCESSES_PEER_WATCH_H_
