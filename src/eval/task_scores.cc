#include "eval/task_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"

namespace blockformer {
namespace {

std::vector<ScoreRequest> Encode(const TaskItem& item, const ScoredText& text,
                                 const EvalModel& model, int64_t max_length) {
  try {
    return EncodeScored(model.tokenizer, text, max_length, model.prefix_id);
  } catch (const Error& error) {
    Fail(error.code(), "{}: {}", item.place, error.what());
  }
}

}  // namespace

std::string HashOf(const TaskData& data) {
  Fnv1a hash;
  for (const TaskItem& item : data.items) {
    for (const ScoredText& request : item.requests) {
      hash.Add(request.context.value_or("") + '\0' + request.text + '\0');
    }
    hash.Add(fmt::format("{} {} {}\n", item.target.value_or(-1), item.words, item.bytes));
  }
  return fmt::format("{:016x}", hash.value());
}

TaskRequests::TaskRequests(const std::vector<TaskData>& tasks, const EvalModel& model,
                           int64_t max_length)
    : max_length_(max_length) {
  for (const TaskData& data : tasks) {
    std::vector<std::vector<Windows>> encoded(data.items.size());
    ParallelFor(static_cast<int64_t>(data.items.size()), 16, [&](int64_t begin, int64_t end) {
      for (size_t i = begin; i < static_cast<size_t>(end); ++i) {
        for (const ScoredText& request : data.items[i].requests) {
          encoded[i].push_back(Encode(data.items[i], request, model, max_length));
        }
      }
    });
    for (size_t i = 0; i < encoded.size(); ++i) {
      for (Windows& request : encoded[i]) {
        requests_.push_back(std::move(request));
        places_.push_back(data.items[i].place);
      }
    }
  }
}

int64_t TaskRequests::CountTokens(int64_t count) const {
  int64_t tokens = 0;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) tokens += TotalTokens(requests_[i]);
  return tokens;
}

int64_t TaskRequests::CountScored() const {
  int64_t tokens = 0;
  for (const Windows& windows : requests_) {
    for (const ScoreRequest& window : windows) tokens += window.scored;
  }
  return tokens;
}

int64_t TaskRequests::CountCut() const {
  return std::ranges::count_if(
      requests_, [&](const Windows& windows) { return CutTokens(windows, max_length_) > 0; });
}

void TaskRequests::Run(Scorer* scorer, int64_t first, const OnScore& on_score,
                       WorkObserver* observer) const {
  size_t asked = first;  // the request whose windows are handed out
  size_t window = 0;
  size_t request = asked;  // the one whose windows' scores come in
  size_t scored = 0;       // windows of it
  RequestScore score;
  int64_t tokens_done = CountTokens(first);
  observer->Begin("evaluating", CountTokens(size()), "tokens", tokens_done);
  const auto next = [&]() -> std::optional<ScoreRequest> {
    while (asked < requests_.size() && window == requests_[asked].size()) {
      ++asked;
      window = 0;
    }
    if (asked == requests_.size() || observer->StopRequested()) return std::nullopt;
    return requests_[asked][window++];
  };
  // Hands on all requests whose windows are done; an empty one has none.
  const auto finish_requests = [&] {
    while (request < requests_.size() && scored == requests_[request].size()) {
      tokens_done += TotalTokens(requests_[request]);
      on_score(std::exchange(score, {}));
      observer->Update(tokens_done, "");
      ++request;
      scored = 0;
    }
  };
  finish_requests();
  scorer->Run(next, [&](int64_t, std::span<const TokenScore> scores) {
    RequireFinite(scores, places_[request]);
    score.Add(scores);
    ++scored;
    finish_requests();
  });
}

}  // namespace blockformer
