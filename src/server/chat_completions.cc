// /v1/chat/completions.
#include <utility>

#include "server/api_error.h"
#include "server/chat_request.h"
#include "server/endpoints.h"
#include "server/text_answer.h"
#include "server/text_thread.h"

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

  TextChoice Begin(size_t) const override {
    TextChoice choice;
    if (settings().log_probabilities) choice.log_probabilities = LogProbabilities::OfChat();
    return choice;
  }

  OrderedJson TextMember(const TextChoice& choice) const override {
    return {{"message", {{"role", "assistant"}, {"content", choice.text}}}};
  }

  static OrderedJson Delta(const OrderedJson& delta) { return {{"delta", delta}}; }

  // First who speaks, last why it ends.
  std::vector<ChoicePart> EventParts(const TextChoice& choice, bool begins,
                                     bool ended) const override {
    std::vector<ChoicePart> parts;
    if (begins) parts.push_back({Delta({{"role", "assistant"}, {"content", ""}})});
    const LogProbabilities* values = choice.Values();
    if (!choice.text.empty() || (values != nullptr && choice.has_tokens)) {
      parts.push_back({Delta({{"content", choice.text}}), values});
    }
    if (ended) parts.push_back({Delta(OrderedJson::object()), nullptr, true});
    return parts;
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
  const std::string& body = exchange->request().body;
  const auto parse = [&] { return ParseChatRequest(body, *context->model); };
  const ChatRequest request = co_await ReadBody(context, exchange, parse);
  ChatCompletion completion(context, exchange, request);
  co_await completion.Run();
}

}  // namespace blockformer
