#include "train/processes/peer_watch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/error.h"
#include "base/file.h"
#include "base/program.h"

namespace blockformer::train {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto kMaxInterval = std::chrono::seconds(2);
constexpr int kSignsPerTimeout = 10;
// Longer between two looks, and this process was not running.
constexpr auto kMaxLookInterval = std::chrono::seconds(1);
constexpr auto kStopTimeout = std::chrono::seconds(10);
constexpr auto kEndOfThread = std::chrono::seconds(1);

std::string KeyOf(int rank) { return fmt::format("alive/{}", rank); }

}  // namespace

struct PeerWatch::Shared {
  struct Peer {
    int rank = 0;
    std::string last;
    std::atomic<uint64_t> signs{0};
  };

  // Until Stop(), or until the store is gone, which ends with process 0.
  void Run() noexcept {
    try {
      for (uint64_t count = 0; !SleepOrStop(); ++count) GiveAndLook(count);
    } catch (const std::exception&) {
      // The others are silent from now on; whoever waits for them is told so.
    }
    const std::lock_guard lock(mutex);
    has_ended = true;
    changed.notify_all();
  }

  void GiveAndLook(uint64_t count) {
    GiveSign(std::to_string(count));
    for (Peer& peer : peers) {
      const std::string sign = SignOf(peer.rank);
      if (std::exchange(peer.last, sign) != sign) ++peer.signs;
    }
  }

  // A file's time is set without room on the disk, where FileStore would append to its file.
  void GiveSign(const std::string& text) {
    if (!file_prefix.empty()) {
      utimensat(AT_FDCWD, FileOf(rank).c_str(), nullptr, 0);
    } else {
      store->set(KeyOf(rank), {text.begin(), text.end()});
    }
  }

  // Empty if there was none yet.
  std::string SignOf(int other) {
    if (!file_prefix.empty()) {
      struct stat status = {};
      if (stat(FileOf(other).c_str(), &status) != 0) return "";
      return fmt::format("{}.{}", status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    }
    if (!store->check({KeyOf(other)})) return "";
    const std::vector<uint8_t> bytes = store->get(KeyOf(other));
    return {bytes.begin(), bytes.end()};
  }

  std::string FileOf(int other) const { return fmt::format("{}.alive-{}", file_prefix, other); }

  bool SleepOrStop() {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, interval, [this] { return is_stopped; });
  }

  void Stop() {
    std::unique_lock lock(mutex);
    is_stopped = true;
    changed.notify_all();
    // In a store that does not answer it may stay for ever.
    changed.wait_for(lock, kEndOfThread, [this] { return has_ended; });
  }

  c10::intrusive_ptr<c10d::Store> store;
  std::string file_prefix;  // names files whose times are the signs; empty: these are in the store
  int rank = 0;
  milliseconds interval;
  std::vector<Peer> peers;

  std::mutex mutex;
  std::condition_variable changed;
  bool is_stopped = false;
  bool has_ended = false;
};

PeerWatch::PeerWatch(c10::intrusive_ptr<c10d::Store> store, const ProcessRank& rank)
    : rank_(rank), shared_(std::make_shared<Shared>()) {
  shared_->store = std::move(store);
  shared_->rank = rank.rank;
  shared_->file_prefix = rank.store_path;
  if (!rank.store_path.empty()) WriteFileAtomically(shared_->FileOf(rank.rank), "");
  shared_->interval = std::min<milliseconds>(kMaxInterval, rank.peer_timeout / kSignsPerTimeout);
  shared_->peers = std::vector<Shared::Peer>(rank.rank == 0 ? rank.world_size - 1 : 1);
  for (size_t i = 0; rank.rank == 0 && i < shared_->peers.size(); ++i) {
    shared_->peers[i].rank = static_cast<int>(i) + 1;
  }
  std::thread([shared = shared_] { shared->Run(); }).detach();
}

PeerWatch::~PeerWatch() { shared_->Stop(); }

PeerWatch::Wait::Wait(const PeerWatch& watch) : watch_(watch), last_look_(Clock::now()) {
  for (const Shared::Peer& peer : watch.shared_->peers) {
    peers_.push_back({peer.rank, peer.signs, milliseconds(0)});
  }
}

void PeerWatch::Wait::Look() {
  const Clock::time_point now = Clock::now();
  const auto elapsed = std::min<milliseconds>(
      std::chrono::duration_cast<milliseconds>(now - last_look_), kMaxLookInterval);
  last_look_ = now;
  const ProcessRank& rank = watch_.rank_;
  for (size_t i = 0; i < peers_.size(); ++i) {
    Peer& peer = peers_[i];
    const uint64_t signs = watch_.shared_->peers[i].signs;
    peer.silence =
        std::exchange(peer.signs, signs) == signs ? peer.silence + elapsed : milliseconds(0);
    Require(peer.silence < rank.peer_timeout, ErrorCode::kIo,
            "training process {} of {}: {} has shown no sign of life for {} s", rank.rank,
            rank.world_size, rank.NameOf(peer.rank),
            std::chrono::duration_cast<std::chrono::seconds>(rank.peer_timeout).count());
    Require(!StopRequested() || peer.silence < kStopTimeout, ErrorCode::kInterrupted,
            "stopped in the middle of a step, since {} does not answer", rank.NameOf(peer.rank));
  }
}

}  // namespace blockformer::train
