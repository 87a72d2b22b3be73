#include "base/thread_team.h"

#include <omp.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace blockformer {
namespace {

using Clock = std::chrono::steady_clock;

thread_local int current_part = 0;
thread_local bool in_team = false;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

// While one lives, its thread runs parts: what they call stays on it, also in libraries that use
// OpenMP.
class Inside {
 public:
  Inside() : part_(current_part), nested_(in_team), openmp_threads_(omp_get_max_threads()) {
    in_team = true;
    omp_set_num_threads(1);
  }
  ~Inside() {
    current_part = part_;
    in_team = nested_;
    omp_set_num_threads(openmp_threads_);
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  int part_;
  bool nested_;
  int openmp_threads_;
};

constexpr std::chrono::microseconds kSpin{50};
constexpr std::chrono::milliseconds kLookInterval{2};  // a look is a system call
constexpr std::chrono::milliseconds kCalm{50};  // without preemption, before threads spin again

// Decides whether waiting threads spin. Each thread has one and asks it before each wait.
class SpinPolicy {
 public:
  // How long the calling thread may spin now: not at all where the system has lately taken the
  // processor from a thread that waits for the team's work or does it.
  std::chrono::nanoseconds Limit() {
    const Clock::duration now = Clock::now().time_since_epoch();
    if (now >= next_look_) {
      const bool first = next_look_ == Clock::duration::zero();
      next_look_ = now + kLookInterval;
      rusage usage;
      getrusage(RUSAGE_THREAD, &usage);
      if (!first && usage.ru_nivcsw > preemptions_) busy_until_ = (now + kCalm).count();
      preemptions_ = usage.ru_nivcsw;
    }
    return now.count() < busy_until_.load(std::memory_order_relaxed) ? std::chrono::nanoseconds(0)
                                                                     : kSpin;
  }

 private:
  static inline std::atomic<Clock::rep> busy_until_{0};
  Clock::duration next_look_ = Clock::duration::zero();
  int64_t preemptions_ = 0;
};

thread_local SpinPolicy spin_policy;

// Waits a short time for a condition. Returns false if it does not hold by then.
template <typename Condition>
bool SpinUntil(const Condition& condition) {
  if (condition()) return true;
  const auto limit = spin_policy.Limit();
  if (limit.count() == 0) return false;
  const auto end = Clock::now() + limit;
  do {
    for (int i = 0; i < 16; ++i) {
      Pause();
      if (condition()) return true;
    }
  } while (Clock::now() < end);
  return false;
}

// What the team does, in one word, so that a thread joins a job only while it is open.
struct State {
  static constexpr int kCountBits = 11;
  static constexpr uint64_t kOpen = uint64_t{1} << (2 * kCountBits);
  static constexpr uint64_t kMask = (uint64_t{1} << kCountBits) - 1;

  static uint64_t Open(uint64_t job, int parts) {
    return (job << (2 * kCountBits + 1)) | kOpen | (static_cast<uint64_t>(parts) << kCountBits);
  }
  static uint64_t Job(uint64_t state) { return state >> (2 * kCountBits + 1); }
  static bool IsOpen(uint64_t state) { return (state & kOpen) != 0; }
  static int Parts(uint64_t state) { return static_cast<int>(state >> kCountBits & kMask); }
  static int Joined(uint64_t state) { return static_cast<int>(state & kMask); }
};

class Team {
 public:
  // The process's team. It is never destroyed: its threads end with the process.
  static Team& Shared() {
    static Team* const team = new Team;
    return *team;
  }

  bool TryRun(int parts, void (*body)(void*, int), void* context) {
    if (taken_.exchange(true, std::memory_order_acquire)) return false;
    StartWorkers(parts - 1);
    body_ = body;
    context_ = context;
    left_.store(0, std::memory_order_relaxed);
    state_.store(State::Open(++job_, parts));
    const int wanted = std::min(parts - 1, static_cast<int>(workers_.size()));
    for (int i = 0; i < wanted; ++i) workers_[i]->Wake();
    Work(0, parts, job_);
    WaitForOthers(State::Joined(state_.fetch_and(~State::kOpen)));
    taken_.store(false, std::memory_order_release);
    return true;
  }

 private:
  struct alignas(64) Worker {
    std::atomic<bool> sleeps = false;

    void Wake() {
      if (!sleeps.load()) return;
      sleeps.store(false);
      sleeps.notify_one();
    }
  };

  void StartWorkers(int count) {
    if (static_cast<int>(workers_.size()) >= count || failed_) return;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      while (static_cast<int>(workers_.size()) < count) {
        auto worker = std::make_unique<Worker>();
        std::thread([this, worker = worker.get(), index = static_cast<int>(workers_.size()) + 1] {
          Serve(index, worker);
        }).detach();
        workers_.push_back(std::move(worker));
      }
    } catch (const std::system_error&) {
      failed_ = true;  // the system allows no more threads; those that there are do the work
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  // A part's last job that a thread has taken it of; a cache line of its own, since each thread
  // begins with its own part.
  struct alignas(64) Claim {
    std::atomic<uint64_t> job = 0;
  };

  // Takes parts until none is left, its own first.
  void Work(int index, int parts, uint64_t job) {
    const Inside inside;
    for (int i = 0; i < parts; ++i) {
      const int part = (index + i) % parts;
      std::atomic<uint64_t>& claim = claims_[part].job;
      uint64_t before = claim.load(std::memory_order_relaxed);
      if (before == job || !claim.compare_exchange_strong(before, job, std::memory_order_relaxed)) {
        continue;
      }
      current_part = part;
      body_(context_, part);
    }
  }

  void WaitForOthers(int joined) {
    const auto done = [&] { return left_.load(std::memory_order_acquire) == joined; };
    if (SpinUntil(done)) return;
    caller_sleeps_.store(true);
    for (int left = left_.load(); left != joined; left = left_.load()) left_.wait(left);
    caller_sleeps_.store(false, std::memory_order_relaxed);
  }

  [[noreturn]] void Serve(int index, Worker* worker) {
    uint64_t seen = 0;  // the last job that this thread looked at
    while (true) {
      uint64_t state = WaitForJob(seen, worker);
      seen = State::Job(state);
      while (State::IsOpen(state) && State::Job(state) == seen && index < State::Parts(state)) {
        if (!state_.compare_exchange_weak(state, state + 1)) continue;
        Work(index, State::Parts(state), seen);
        left_.fetch_add(1);
        if (caller_sleeps_.load()) left_.notify_one();
        break;
      }
    }
  }

  uint64_t WaitForJob(uint64_t seen, Worker* worker) {
    uint64_t state = 0;
    const auto comes = [&] {
      state = state_.load(std::memory_order_acquire);
      return State::Job(state) != seen;
    };
    if (SpinUntil(comes)) return state;
    while (true) {
      worker->sleeps.store(true);
      state = state_.load();
      if (State::Job(state) != seen) break;
      worker->sleeps.wait(true);
    }
    worker->sleeps.store(false, std::memory_order_relaxed);
    return state;
  }

  std::atomic<bool> taken_ = false;  // a caller has the team
  // Used by that caller alone.
  uint64_t job_ = 0;
  bool failed_ = false;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::array<Claim, kMaxThreads> claims_ = {};  // by part; all threads claim parts
  // The job, in one cache line, which the threads that wait for one look at.
  alignas(64) std::atomic<uint64_t> state_ = 0;
  void (*body_)(void*, int) = nullptr;
  void* context_ = nullptr;
  alignas(64) std::atomic<int> left_ = 0;  // threads that joined the job and have left it
  std::atomic<bool> caller_sleeps_ = false;
};

void RunHere(int parts, void (*body)(void*, int), void* context) {
  const Inside inside;
  for (current_part = 0; current_part < parts; ++current_part) body(context, current_part);
}

}  // namespace

void RunOnTeam(int parts, void (*body)(void* context, int part), void* context) {
  if (parts > 1 && !in_team && Team::Shared().TryRun(parts, body, context)) return;
  if (parts > 1) return RunHere(parts, body, context);
  // A single part may use the team, or the threads of a library, itself.
  const int part = std::exchange(current_part, 0);
  body(context, 0);
  current_part = part;
}

int TeamPart() { return current_part; }

}  // namespace blockformer
