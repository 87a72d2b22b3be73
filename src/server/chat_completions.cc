// /v1/chat/completions.
#include <utility>

#include "server/api_error.h"
#include "server/chat_request.h"
#include "server/endpoints.h"
#include "server/log_probabilities.h"
#include "server/text_answer.h"

namespace blockformer {
namespace {

class ChatCompletion : public TextAnswer {
 public:
  ChatCompletion(ServerContext* context, Exchange* exchange, const ChatRequest& request)
      : TextAnswer(context, exchange, request.settings), request_(request) {
    CountPrompt(std::ssize(request.prompt.ids));
  }

 private:
  size_t NumChoices() const override { return settings().n; }

  std::vector<Generation::Sequence> Sequences() const override {
    std::vector<Generation::Sequence> sequences;
    for (size_t i = 0; i < NumChoices(); ++i) {
      sequences.push_back({request_.prompt.ids, settings().max_tokens, static_cast<uint64_t>(i),
                           request_.prompt.left_padding});
    }
    return sequences;
  }

  OrderedJson LogProbabilities(const TextChoice& choice) const {
    if (!settings().log_probabilities) return nullptr;
    return ChatLogProbs(model(), choice.ids, choice.log_probabilities);
  }

  OrderedJson ChoiceJson(size_t index, const TextChoice& choice) const override {
    return {{"index", index},
            {"message", {{"role", "assistant"}, {"content", choice.text}}},
            {"logprobs", LogProbabilities(choice)},
            {"finish_reason", ApiFinishReason(choice.reason)}};
  }

  static OrderedJson Delta(size_t index, OrderedJson delta, OrderedJson values,
                           OrderedJson reason) {
    return {{"index", index},
            {"delta", std::move(delta)},
            {"logprobs", std::move(values)},
            {"finish_reason", std::move(reason)}};
  }

  // First who speaks, last why it ends.
  std::vector<OrderedJson> EventChoices(size_t index, const TextChoice& choice, bool begins,
                                        bool ended) const override {
    std::vector<OrderedJson> events;
    if (begins) {
      events.push_back(Delta(index, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr));
    }
    if (!choice.text.empty() || (settings().log_probabilities && !choice.ids.empty())) {
      events.push_back(Delta(index, {{"content", choice.text}}, LogProbabilities(choice), nullptr));
    }
    if (ended) {
      events.push_back(
          Delta(index, OrderedJson::object(), nullptr, ApiFinishReason(choice.reason)));
    }
    return events;
  }

  OrderedJson Envelope(bool is_event) const override {
    return {{"id", "chatcmpl-" + request_id()},
            {"object", is_event ? "chat.completion.chunk" : "chat.completion"},
            {"created", created()},
            {"model", model().name}};
  }

  const ChatRequest& request_;
};

}  // namespace

boost::asio::awaitable<void> HandleChatCompletions(ServerContext* context, Exchange* exchange) {
  const ChatRequest request = ParseChatRequest(exchange->request().body, *context->model);
  ChatCompletion completion(context, exchange, request);
  co_await completion.Run();
}

}  // namespace blockformer
