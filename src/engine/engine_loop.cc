#include "engine/engine_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"

namespace blockformer {

EngineLoop::EngineLoop(std::unique_ptr<Engine> engine, const EngineLoopOptions& options)
    : options_(options),
      engine_options_(engine->options()),
      engine_(std::move(engine)),
      thread_([this] { Loop(); }) {}

EngineLoop::~EngineLoop() { Stop(); }

void EngineLoop::RequireAccepting() const {
  Require(!stats_.failed, ErrorCode::kInterrupted, "the engine has failed");
  Require(stats_.accepting, ErrorCode::kInterrupted, "the engine is shutting down");
}

std::vector<int64_t> EngineLoop::Submit(std::vector<LoopRequest> requests) {
  std::vector<int64_t> ids;
  {
    const std::lock_guard lock(mutex_);
    RequireAccepting();
    Require(stats_.open + std::ssize(requests) <= capacity(), ErrorCode::kExhausted,
            "the queue is full: {} sequences run or wait, {} more were asked for, and there is "
            "room for {}",
            stats_.open, requests.size(), capacity());
    for (LoopRequest& request : requests) {
      ids.push_back(next_id_);
      submitted_.emplace_back(next_id_++, std::move(request));
    }
    stats_.open += std::ssize(requests);
  }
  wake_.notify_one();
  return ids;
}

void EngineLoop::Cancel(std::span<const int64_t> ids) {
  {
    const std::lock_guard lock(mutex_);
    cancelled_.insert(cancelled_.end(), ids.begin(), ids.end());
  }
  wake_.notify_one();
}

void EngineLoop::Post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    RequireAccepting();
    Require(std::ssize(work_) < std::max<int64_t>(1, options_.max_waiting), ErrorCode::kExhausted,
            "the queue is full: {} pieces of work wait", work_.size());
    work_.push_back(std::move(work));
  }
  wake_.notify_one();
}

void EngineLoop::Drain() {
  const std::lock_guard lock(mutex_);
  stats_.accepting = false;
}

void EngineLoop::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stats_.accepting = false;
    stopping_ = true;
  }
  wake_.notify_one();
  const std::lock_guard lock(join_mutex_);
  if (thread_.joinable()) thread_.join();
}

EngineLoopStats EngineLoop::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void EngineLoop::Loop() {
  const ThreadLimit limit(options_.threads);
  while (TakeQueued()) {
    FailLate();
    if (!open_.empty()) Step();
    std::function<void()> work;
    {
      const std::lock_guard lock(mutex_);
      stats_.engine = engine_->stats();
      stats_.generated_tokens = generated_tokens_;
      if (work_.empty()) continue;
      work = std::move(work_.front());
      work_.pop_front();
    }
    work();
  }
  FailAll(Error(ErrorCode::kInterrupted, "the engine was stopped before this request ended"));
  std::deque<std::function<void()>> never_run;
  const std::lock_guard lock(mutex_);
  never_run.swap(work_);
  stats_.engine = engine_->stats();
}

bool EngineLoop::TakeQueued() {
  std::deque<std::pair<int64_t, LoopRequest>> submitted;
  std::vector<int64_t> cancelled;
  bool stopping = false;
  {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] {
      return stopping_ || !submitted_.empty() || !cancelled_.empty() || !work_.empty() ||
             !open_.empty();
    });
    submitted.swap(submitted_);
    cancelled.swap(cancelled_);
    stopping = stopping_;
  }
  for (auto& [id, request] : submitted) Begin(id, std::move(request));
  for (const int64_t id : cancelled) {
    const auto found = open_.find(id);
    if (found == open_.end()) continue;
    engine_->Cancel(found->second.engine_id);
    Fail(id, Error(ErrorCode::kInterrupted, "the request was cancelled"));
  }
  return !stopping;
}

void EngineLoop::Begin(int64_t id, LoopRequest request) {
  Open open;
  open.deadline = request.deadline;
  open.on_failure = std::move(request.on_failure);
  Open& entry = open_.emplace(id, std::move(open)).first->second;
  try {
    entry.engine_id = engine_->Submit(
        std::move(request.generation),
        [this, id, callback = std::move(request.on_tokens)](const GeneratedTokens& tokens) {
          return Deliver(id, callback, tokens);
        },
        [this, id](const Error& error) { Fail(id, error); });
  } catch (const Error& error) {
    Fail(id, error);
  } catch (const std::exception& error) {
    Fail(id,
         Error(ErrorCode::kInternal, fmt::format("the request cannot begin: {}", error.what())));
  }
}

bool EngineLoop::Deliver(int64_t id, const TokenCallback& callback, const GeneratedTokens& tokens) {
  generated_tokens_ += std::ssize(tokens.ids);
  try {
    const bool wanted = callback(tokens);
    if (tokens.finished || !wanted) Close(id);
    return wanted;
  } catch (const std::exception& error) {
    LogWarning("a request's callback failed: {}", error.what());
  }
  Fail(id, Error(ErrorCode::kInternal, "the request's callback failed"));
  return false;
}

// Tells a request that the engine no longer has.
void EngineLoop::Fail(int64_t id, const Error& error) {
  const FailureCallback on_failure = std::move(open_.at(id).on_failure);
  Close(id);
  if (!on_failure) return;
  try {
    on_failure(error);
  } catch (const std::exception& thrown) {
    LogWarning("a request's callback failed: {}", thrown.what());
  }
}

void EngineLoop::FailLate() {
  const auto now = std::chrono::steady_clock::now();
  std::vector<int64_t> late;
  for (const auto& [id, open] : open_) {
    if (open.deadline && *open.deadline <= now) late.push_back(id);
  }
  for (const int64_t id : late) {
    engine_->Cancel(open_.at(id).engine_id);
    Fail(id, DeadlineError());
  }
}

void EngineLoop::FailAll(const Error& error) {
  while (!open_.empty()) {
    const int64_t id = open_.begin()->first;
    engine_->Cancel(open_.begin()->second.engine_id);
    Fail(id, error);
  }
}

void EngineLoop::Close(int64_t id) {
  open_.erase(id);
  const std::lock_guard lock(mutex_);
  --stats_.open;
}

// The callbacks above throw nothing, so that what a step throws concerns all who took part in it.
void EngineLoop::Step() {
  try {
    engine_->Step();
  } catch (const std::exception& error) {
    LogWarning("a step of the engine failed: {}", error.what());
    FailAll(Error(ErrorCode::kInternal, "the engine failed"));
    if (!engine_->has_failed()) return;
    const std::lock_guard lock(mutex_);
    stats_.accepting = false;
    stats_.failed = true;
  }
}

}  // namespace blockformer
