#include "eval/task_scores.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "base/error.h"
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
      return RollingWindows(model.tokenizer.Encode(pair.continuation), max_length,
                            model.end_of_text());
    }
    ScoreRequest request =
        EncodePair(model.tokenizer, pair.context, pair.continuation, model.end_of_text());
    Require(request.scored <= max_length, ErrorCode::kInvalidArgument,
            "the {} tokens of \"{}\" are more than the {} that the model reads", request.scored,
            pair.continuation, max_length);
    return {std::move(request)};
  } catch (const Error& error) {
    Fail(error.code(), "{}: {}", item.place, error.what());
  }
}

}  // namespace

// FNV-1a.
std::string HashOf(const TaskData& data) {
  uint64_t hash = 0xCBF29CE484222325;
  const auto add = [&](const std::string& text) {
    for (const char byte : text + '\0') hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001B3;
  };
  for (const TaskItem& item : data.items) {
    for (const TextPair& pair : item.requests) {
      add(pair.context);
      add(pair.continuation);
    }
    add(fmt::format("{}", item.target));
  }
  return fmt::format("{:016x}", hash);
}

TaskRequests::TaskRequests(const std::vector<TaskData>& tasks, const EvalModel& model,
                           int64_t max_length) {
  for (const TaskData& data : tasks) {
    std::vector<std::vector<Windows>> encoded(data.items.size());
    ParallelFor(static_cast<int64_t>(data.items.size()), 16, [&](int64_t begin, int64_t end) {
      for (size_t i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        for (const TextPair& pair : data.items[i].requests) {
          encoded[i].push_back(Encode(data, data.items[i], pair, model, max_length));
        }
      }
    });
    for (std::vector<Windows>& item : encoded) {
      for (Windows& request : item) {
        requests_.push_back(std::move(request));
      }
    }
  }
}

int64_t TaskRequests::CountTokens(int64_t count) const {
  int64_t tokens = 0;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) tokens += TokensOf(requests_[i]);
  return tokens;
}

void TaskRequests::Run(Scorer* scorer, int64_t first, const OnScore& on_score) const {
  size_t asked = static_cast<size_t>(first);  // the request whose windows are handed out
  size_t window = 0;
  size_t request = asked;  // the one whose windows' scores come in
  size_t scored = 0;       // windows of it
  RequestScore score;
  int64_t tokens_done = CountTokens(first);
  const auto next = [&]() -> std::optional<ScoreRequest> {
    while (asked < requests_.size() && window == requests_[asked].size()) {
      ++asked;
      window = 0;
    }
    if (asked == requests_.size()) return std::nullopt;
    return requests_[asked][window++];
  };
  // Hands on all requests whose windows are done; an empty one has none.
  const auto finish_requests = [&] {
    while (request < requests_.size() && scored == requests_[request].size()) {
      tokens_done += TokensOf(requests_[request]);
      if (!on_score(std::exchange(score, {}), tokens_done)) return false;
      ++request;
      scored = 0;
    }
    return true;
  };
  if (!finish_requests()) return;
  scorer->Run(next, [&](int64_t, std::span<const TokenScore> scores) {
    score.log_likelihood += SumOfScores(scores);
    for (const TokenScore& token : scores) score.is_greedy &= token.is_largest;
    ++scored;
    return finish_requests();
  });
}

}  // namespace blockformer
