// /v1/completions.
#include <optional>
#include <utility>

#include "server/api_error.h"
#include "server/completion_request.h"
#include "server/endpoints.h"
#include "server/log_probabilities.h"
#include "server/scoring.h"
#include "server/text_answer.h"
#include "server/text_thread.h"
#include "server/yield_turn.h"

namespace blockformer {
namespace {

ScoreRequest AllButTheFirst(const std::vector<int32_t>& prompt, int64_t top) {
  return {prompt, std::ssize(prompt) - 1, top};
}

class Completion : public TextAnswer {
 public:
  Completion(ServerContext* context, Exchange* exchange, const CompletionRequest& request)
      : TextAnswer(context, exchange, request.settings), request_(request) {
    for (const CompletionPrompt& prompt : request.prompts) CountPrompt(std::ssize(prompt.ids));
  }

 private:
  size_t PromptOf(size_t choice) const { return choice / static_cast<size_t>(settings().n); }

  size_t NumChoices() const override { return request_.prompts.size() * settings().n; }

  std::vector<Generation::Sequence> Sequences() const override {
    std::vector<Generation::Sequence> sequences;
    for (size_t i = 0; settings().max_tokens > 0 && i < NumChoices(); ++i) {
      sequences.push_back({request_.prompts[PromptOf(i)].ids, settings().max_tokens,
                           static_cast<uint64_t>(i), std::nullopt});
    }
    return sequences;
  }

  // The prompts' log-probabilities, as `blockformer score` has them: of all tokens but the first,
  // and in a model that was trained without random padding but the first block's.
  boost::asio::awaitable<void> Prepare() override {
    if (!request_.echo || !settings().log_probabilities) co_return;
    std::vector<ScoreRequest> requests;
    for (const CompletionPrompt& prompt : request_.prompts) {
      if (prompt.ids.size() >= 2) {
        requests.push_back(AllButTheFirst(prompt.ids, *settings().log_probabilities));
      }
    }
    // What also generates has its places already.
    const auto places = settings().max_tokens > 0 ? 1 : static_cast<int64_t>(NumChoices());
    EngineScoring scoring(context_, exchange_, std::move(requests), places);
    for (const CompletionPrompt& prompt : request_.prompts) {
      std::vector<TokenScore> scores;
      if (prompt.ids.size() >= 2) scores = co_await scoring.Next();
      prompt_values_.push_back(LogProbabilities::OfCompletion(FirstCharacter(prompt)));
      co_await AddPrompt(prompt, scores, &prompt_values_.back());
    }
  }

  // The scores are those of a prompt's last tokens.
  boost::asio::awaitable<void> AddPrompt(const CompletionPrompt& prompt,
                                         std::span<const TokenScore> scores,
                                         LogProbabilities* values) const {
    constexpr size_t kTokensATurn = 64;
    const size_t unscored = prompt.ids.size() - scores.size();
    for (size_t i = 0; i < prompt.ids.size(); ++i) {
      if (i % kTokensATurn == 0) co_await YieldTurn();
      const int32_t id = prompt.ids[i];
      const int64_t characters = i < prompt.hidden ? 0 : model().CountCharacters(id, false);
      if (i < unscored) {
        values->AddUnscored(model(), id, characters);
      } else {
        const TokenScore& score = scores[i - unscored];
        values->Add(model(), id, characters, score.log_likelihood, score.top);
      }
    }
  }

  // Some tokenizers begin every text with a space, which is then not the text's.
  int64_t FirstCharacter(const CompletionPrompt& prompt) const {
    const Tokenizer& tokenizer = model().tokenizer;
    const auto shown = std::span(prompt.ids).subspan(prompt.hidden);
    return std::ssize(tokenizer.Decode(shown)) - std::ssize(tokenizer.DecodeContinuation(shown));
  }

  TextChoice Begin(size_t index) const override {
    TextChoice choice;
    const size_t prompt = PromptOf(index);
    if (request_.echo) {
      choice.text = request_.prompts[prompt].text;
      choice.has_tokens = !request_.prompts[prompt].ids.empty();
    }
    if (settings().log_probabilities) {
      choice.log_probabilities = request_.echo ? LogProbabilities::Behind(prompt_values_[prompt])
                                               : LogProbabilities::OfCompletion(0);
    }
    return choice;
  }

  OrderedJson TextMember(const TextChoice& choice) const override {
    return {{"text", choice.text}};
  }

  std::vector<ChoicePart> EventParts(const TextChoice& choice, bool, bool ended) const override {
    return {{TextMember(choice), choice.Values(), ended}};
  }

  OrderedJson Envelope(bool) const override {
    return {{"id", "cmpl-" + request_id()},
            {"object", "text_completion"},
            {"created", created()},
            {"model", model().name}};
  }

  const CompletionRequest& request_;
  std::vector<LogProbabilities> prompt_values_;
};

}  // namespace

boost::asio::awaitable<void> HandleCompletions(ServerContext* context, Exchange* exchange) {
  const std::string& body = exchange->request().body;
  const auto parse = [&] { return ParseCompletionRequest(body, *context->model); };
  const CompletionRequest request = co_await ReadBody(context, exchange, parse);
  Completion completion(context, exchange, request);
  co_await completion.Run();
}

}  // namespace blockformer
