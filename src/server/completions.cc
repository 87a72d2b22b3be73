// /v1/completions.
#include <optional>
#include <utility>

#include "server/api_error.h"
#include "server/completion_request.h"
#include "server/endpoints.h"
#include "server/log_probabilities.h"
#include "server/scoring.h"
#include "server/text_answer.h"

namespace blockformer {
namespace {

ScoreRequest AllButTheFirst(const std::vector<int32_t>& prompt, int64_t top) {
  return {prompt, std::ssize(prompt) - 1, top};
}

// The scores of a prompt's last tokens, beside nothing for those before.
OptionalLogProbabilities BesideNothing(size_t size, std::span<const TokenScore> scores) {
  OptionalLogProbabilities values(size - scores.size());
  for (const TokenScore& score : scores) {
    values.push_back(TokenLogProbabilities{score.log_likelihood, score.top});
  }
  return values;
}

class Completion : public TextAnswer {
 public:
  Completion(ServerContext* context, Exchange* exchange, const CompletionRequest& request)
      : TextAnswer(context, exchange, request.settings), request_(request) {
    for (const std::vector<int32_t>& prompt : request.prompts) CountPrompt(std::ssize(prompt));
  }

 private:
  size_t PromptOf(size_t choice) const { return choice / static_cast<size_t>(settings().n); }

  size_t NumChoices() const override { return request_.prompts.size() * settings().n; }

  std::vector<Generation::Sequence> Sequences() const override {
    std::vector<Generation::Sequence> sequences;
    for (size_t i = 0; settings().max_tokens > 0 && i < NumChoices(); ++i) {
      sequences.push_back({request_.prompts[PromptOf(i)], settings().max_tokens,
                           static_cast<uint64_t>(i), std::nullopt});
    }
    return sequences;
  }

  // The prompts' log-probabilities, as `blockformer score` has them: of all tokens but the first,
  // and in a model that was trained without random padding but the first block's.
  boost::asio::awaitable<void> Prepare() override {
    if (!request_.echo || !settings().log_probabilities) co_return;
    std::vector<ScoreRequest> requests;
    for (const std::vector<int32_t>& prompt : request_.prompts) {
      if (prompt.size() >= 2) {
        requests.push_back(AllButTheFirst(prompt, *settings().log_probabilities));
      }
    }
    ClientState gone = WatchForScoring(exchange_);
    const auto scores = co_await ScoreOnEngine(context_, std::move(requests), std::move(gone));
    size_t next = 0;
    for (const std::vector<int32_t>& prompt : request_.prompts) {
      const bool is_scored = prompt.size() >= 2;
      prompt_values_.push_back(is_scored ? BesideNothing(prompt.size(), scores[next++])
                                         : OptionalLogProbabilities(prompt.size()));
    }
  }

  TextChoice Begin(size_t index) const override {
    TextChoice choice;
    if (!request_.echo) return choice;
    const size_t prompt = PromptOf(index);
    choice.text = request_.prompt_texts[prompt];
    choice.ids = request_.prompts[prompt];
    // Some tokenizers begin every text with a space, which is then not the text's.
    const Tokenizer& tokenizer = model().tokenizer;
    choice.first_character = std::ssize(tokenizer.Decode(choice.ids, /*skip_special=*/true)) -
                             std::ssize(tokenizer.DecodeContinuation(choice.ids, true));
    if (!prompt_values_.empty()) choice.log_probabilities = prompt_values_[prompt];
    return choice;
  }

  OrderedJson MakeChoice(size_t index, const TextChoice& choice, bool ended) const {
    OrderedJson values;
    if (settings().log_probabilities) {
      values =
          LegacyLogProbs(model(), choice.ids, choice.log_probabilities, choice.first_character);
    }
    return {{"index", index},
            {"text", choice.text},
            {"logprobs", values},
            {"finish_reason", ended ? OrderedJson(ApiFinishReason(choice.reason)) : OrderedJson()}};
  }

  OrderedJson ChoiceJson(size_t index, const TextChoice& choice) const override {
    return MakeChoice(index, choice, true);
  }

  std::vector<OrderedJson> EventChoices(size_t index, const TextChoice& choice, bool,
                                        bool ended) const override {
    return {MakeChoice(index, choice, ended)};
  }

  OrderedJson Envelope(bool) const override {
    return {{"id", "cmpl-" + request_id()},
            {"object", "text_completion"},
            {"created", created()},
            {"model", model().name}};
  }

  const CompletionRequest& request_;
  std::vector<OptionalLogProbabilities> prompt_values_;
};

}  // namespace

boost::asio::awaitable<void> HandleCompletions(ServerContext* context, Exchange* exchange) {
  const CompletionRequest request =
      ParseCompletionRequest(exchange->request().body, *context->model);
  Completion completion(context, exchange, request);
  co_await completion.Run();
}

}  // namespace blockformer
