// /v1/completions.
#include <fmt/format.h>

#include <boost/asio/this_coro.hpp>
#include <ctime>
#include <optional>
#include <utility>

#include "server/api_error.h"
#include "server/generation.h"
#include "server/generation_request.h"
#include "server/log_probabilities.h"
#include "server/server_context.h"

namespace blockformer {
namespace {

using PromptLogs = std::vector<std::optional<TokenLogProbabilities>>;

// A text on its way: of one of a prompt's choices.
struct Choice {
  std::string text;
  std::vector<int32_t> ids;
  PromptLogs logs;
  FinishReason reason = FinishReason::kLength;
  int64_t characters = 0;  // of the text so far, where log-probabilities are wanted
};

ScoreRequest AllButTheFirst(const std::vector<int32_t>& prompt, int64_t top) {
  return {prompt, std::ssize(prompt) - 1, top};
}

// The scores of a prompt's last tokens, beside nothing for those before.
PromptLogs ToPromptLogs(size_t size, std::span<const TokenScore> scores) {
  PromptLogs logs(size - scores.size());
  for (const TokenScore& score : scores)
    logs.push_back(TokenLogProbabilities{score.log_likelihood, score.top});
  return logs;
}

class Completion {
 public:
  Completion(ServerContext* context, Exchange* exchange, CompletionRequest request)
      : context_(context),
        exchange_(exchange),
        request_(std::move(request)),
        created_(static_cast<int64_t>(std::time(nullptr))) {}

  boost::asio::awaitable<void> Run() {
    const GenerationSettings& settings = request_.settings;
    for (const std::vector<int32_t>& prompt : request_.prompts) {
      prompt_tokens_ += std::ssize(prompt);
    }
    exchange_->prompt_tokens = prompt_tokens_;
    context_->metrics.prompt_tokens += prompt_tokens_;
    std::shared_ptr<Generation> generation;
    // First, so that a full queue is told before anything is computed.
    if (settings.max_tokens > 0) {
      generation = Generation::Start(co_await boost::asio::this_coro::executor, context_->loop,
                                     *context_->model, settings, Sequences(), context_->Deadline());
    }
    try {
      if (request_.echo && settings.log_probabilities) co_await ScorePrompts();
      if (generation) exchange_->WatchClient([generation] { generation->Cancel(); });
      if (settings.stream) {
        co_await Stream(generation.get());
      } else {
        co_await Collect(generation.get());
      }
    } catch (...) {
      if (generation) generation->Cancel();
      throw;
    }
  }

 private:
  size_t PromptOf(size_t choice) const { return choice / static_cast<size_t>(request_.settings.n); }

  std::vector<Generation::Sequence> Sequences() const {
    std::vector<Generation::Sequence> sequences;
    for (size_t i = 0; i < NumChoices(); ++i) {
      sequences.push_back(
          {request_.prompts[PromptOf(i)], request_.settings.max_tokens, static_cast<uint64_t>(i)});
    }
    return sequences;
  }

  size_t NumChoices() const {
    return request_.prompts.size() * static_cast<size_t>(request_.settings.n);
  }

  // The prompts' log-probabilities, as `blockformer score` has them: of all tokens but the first,
  // and in a model that was trained without random padding but the first block's.
  boost::asio::awaitable<void> ScorePrompts() {
    std::vector<ScoreRequest> requests;
    for (const std::vector<int32_t>& prompt : request_.prompts) {
      if (prompt.size() >= 2)
        requests.push_back(AllButTheFirst(prompt, *request_.settings.log_probabilities));
    }
    const auto scores =
        co_await ScoreOnEngine(context_, std::move(requests), WatchForScoring(exchange_));
    size_t next = 0;
    for (const std::vector<int32_t>& prompt : request_.prompts) {
      const bool is_scored = prompt.size() >= 2;
      prompt_logs_.push_back(is_scored ? ToPromptLogs(prompt.size(), scores[next++])
                                       : PromptLogs(prompt.size()));
    }
  }

  // A choice before its first generated token: the prompt, if it is wanted again.
  Choice Begin(size_t index) const {
    Choice choice;
    if (!request_.echo) return choice;
    const size_t prompt = PromptOf(index);
    choice.text = request_.prompt_texts[prompt];
    choice.ids = request_.prompts[prompt];
    if (!prompt_logs_.empty()) choice.logs = prompt_logs_[prompt];
    return choice;
  }

  // Adds an event's tokens.
  void Append(GenerationEvent event, Choice* choice) {
    context_->metrics.Add(event);
    generated_ += std::ssize(event.ids);
    exchange_->generated_tokens = generated_;
    choice->text += event.text;
    choice->ids.insert(choice->ids.end(), event.ids.begin(), event.ids.end());
    for (TokenLogProbabilities& value : event.log_probabilities)
      choice->logs.emplace_back(std::move(value));
    choice->reason = event.reason;
  }

  OrderedJson ChoiceJson(size_t index, const Choice& choice, bool ended) const {
    OrderedJson logs;
    if (request_.settings.log_probabilities) {
      logs = LegacyLogProbs(*context_->model, choice.ids, choice.logs, choice.characters);
    }
    return {{"index", index},
            {"text", choice.text},
            {"logprobs", logs},
            {"finish_reason", ended ? OrderedJson(ApiFinishReason(choice.reason)) : OrderedJson()}};
  }

  OrderedJson Envelope(OrderedJson choices) const {
    return {{"id", "cmpl-" + exchange_->request().id},
            {"object", "text_completion"},
            {"created", created_},
            {"model", context_->model->name},
            {"choices", std::move(choices)}};
  }

  OrderedJson Usage() const {
    return {{"prompt_tokens", prompt_tokens_},
            {"completion_tokens", generated_},
            {"total_tokens", prompt_tokens_ + generated_}};
  }

  boost::asio::awaitable<void> Collect(Generation* generation) {
    std::vector<Choice> choices;
    for (size_t i = 0; i < NumChoices(); ++i) choices.push_back(Begin(i));
    size_t open = generation == nullptr ? 0 : choices.size();
    while (open > 0) {
      std::vector<GenerationEvent> events = co_await generation->Next();
      for (GenerationEvent& event : events) {
        open -= event.ended;
        Append(std::move(event), &choices[event.sequence]);
      }
    }
    OrderedJson list = OrderedJson::array();
    for (size_t i = 0; i < choices.size(); ++i) list.push_back(ChoiceJson(i, choices[i], true));
    OrderedJson answer = Envelope(std::move(list));
    answer["usage"] = Usage();
    co_await exchange_->Send(JsonResponse(answer));
  }

  std::string EventText(OrderedJson choices) const {
    OrderedJson chunk = Envelope(std::move(choices));
    if (request_.settings.include_usage) chunk["usage"] = nullptr;
    return fmt::format("data: {}\n\n", ToText(chunk));
  }

  boost::asio::awaitable<void> Stream(Generation* generation) {
    co_await exchange_->BeginStream(EventStreamHead());
    std::vector<Choice> choices;
    for (size_t i = 0; i < NumChoices(); ++i) {
      choices.push_back(Begin(i));
      if (!request_.echo) continue;
      co_await exchange_->Write(Emit(i, generation == nullptr, &choices[i]));
    }
    size_t open = generation == nullptr ? 0 : choices.size();
    while (open > 0) {
      std::vector<GenerationEvent> events = co_await generation->Next();
      std::string text;
      for (GenerationEvent& event : events) {
        const size_t index = event.sequence;
        const bool ended = event.ended;
        open -= ended;
        Append(std::move(event), &choices[index]);
        const bool has_logs = request_.settings.log_probabilities && !choices[index].ids.empty();
        if (!choices[index].text.empty() || has_logs || ended) {
          text += Emit(index, ended, &choices[index]);
        }
      }
      co_await exchange_->Write(text);
    }
    if (request_.settings.include_usage) {
      OrderedJson chunk = Envelope(OrderedJson::array());
      chunk["usage"] = Usage();
      co_await exchange_->Write(fmt::format("data: {}\n\n", ToText(chunk)));
    }
    co_await exchange_->Write("data: [DONE]\n\n");
    co_await exchange_->EndStream();
  }

  // An event with what a choice has; the choice goes on behind it.
  std::string Emit(size_t index, bool ended, Choice* choice) const {
    std::string text = EventText(OrderedJson::array({ChoiceJson(index, *choice, ended)}));
    if (request_.settings.log_probabilities) {
      choice->characters += CountTextCharacters(*context_->model, choice->ids);
    }
    choice->text.clear();
    choice->ids.clear();
    choice->logs.clear();
    return text;
  }

  ServerContext* context_;
  Exchange* exchange_;
  CompletionRequest request_;
  int64_t created_;
  int64_t prompt_tokens_ = 0;
  int64_t generated_ = 0;
  std::vector<PromptLogs> prompt_logs_;
};

}  // namespace

boost::asio::awaitable<void> HandleCompletions(ServerContext* context, Exchange* exchange) {
  const Json body = ParseBody(exchange->request().body);
  Completion completion(context, exchange, ParseCompletionRequest(body, *context->model));
  co_await completion.Run();
}

}  // namespace blockformer
