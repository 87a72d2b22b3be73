#include "eval/task_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "eval/request_encoder.h"

namespace blockformer {
namespace {

int64_t TokensOf(const std::vector<ScoreRequest>& windows) {
  int64_t tokens = 0;
  for (const ScoreRequest& window : windows) tokens += static_cast<int64_t>(window.tokens.size());
  return tokens;
}

std::vector<ScoreRequest> Encode(const TaskData& data, const TaskItem& item, const TextPair& pair,
                                 const EvalModel& model, int64_t max_length) {
  try {
    if (data.task.output_type == OutputType::kLogLikelihoodRolling) {
      return RollingWindows(EncodeWhole(model.tokenizer, pair.continuation, model.prefix_id),
                            max_length, model.prefix_id);
    }
    return {
        EncodePair(model.tokenizer, pair.context, pair.continuation, max_length, model.prefix_id)};
  } catch (const Error& error) {
    Fail(error.code(), "{}: {}", item.place, error.what());
  }
}

}  // namespace

std::string HashOf(const TaskData& data) {
  Fnv1a hash;
  for (const TaskItem& item : data.items) {
    for (const TextPair& pair : item.requests) {
      hash.Add(pair.context + '\0' + pair.continuation + '\0');
    }
    hash.Add(fmt::format("{} {} {}\n", item.target, item.words, item.bytes));
  }
  return fmt::format("{:016x}", hash.value());
}

void RequestScore::Add(std::span<const TokenScore> scores) {
  for (const TokenScore& score : scores) {
    log_likelihood += score.log_likelihood;
    is_greedy &= score.is_largest;
  }
  tokens += std::ssize(scores);
}

TaskRequests::TaskRequests(const std::vector<TaskData>& tasks, const EvalModel& model,
                           int64_t max_length)
    : max_length_(max_length) {
  for (const TaskData& data : tasks) {
    std::vector<std::vector<Windows>> encoded(data.items.size());
    ParallelFor(static_cast<int64_t>(data.items.size()), 16, [&](int64_t begin, int64_t end) {
      for (size_t i = begin; i < static_cast<size_t>(end); ++i) {
        for (const TextPair& pair : data.items[i].requests) {
          encoded[i].push_back(Encode(data, data.items[i], pair, model, max_length));
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
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) tokens += TokensOf(requests_[i]);
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
  return std::ranges::count_if(requests_, [&](const Windows& windows) {
    return std::ranges::any_of(
        windows, [&](const ScoreRequest& window) { return CutTokens(window, max_length_) > 0; });
  });
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
      tokens_done += TokensOf(requests_[request]);
      on_score(std::exchange(score, {}), tokens_done);
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
