#include "server/chat_request.h"

#include <fmt/format.h>

#include <string>

#include "server/api_error.h"
#include "text/conversation.h"

namespace blockformer {
namespace {

Json ReadMessages(RequestFields* fields) {
  const Json* messages = fields->Find("messages");
  if (messages == nullptr || !messages->is_array() || messages->size() > kMaxMessages) {
    FailField("messages", fmt::format("a list of 1 to {} messages is wanted", kMaxMessages));
  }
  try {
    return ReadConversation(*messages, UnknownFields::kRefuse);
  } catch (const ConversationError& error) {
    FailField(error.field(), error.problem());
  }
}

ChatPrompt MakePrompt(const ServedModel& model, const Json& messages, bool add_generation_prompt) {
  try {
    return MakeChatPrompt(model.chat, messages, add_generation_prompt, model.config.UnitLength(),
                          [&](const std::string& text) { return model.EncodeChat(text); });
  } catch (const Error& error) {
    FailField("messages", error);
  }
}

void AcceptToolsThatAreNone(RequestFields* fields) {
  const auto is_empty_list = [](const Json& value) { return value.is_array() && value.empty(); };
  fields->AcceptOnly("tools", "[]", is_empty_list);
  fields->AcceptOnly("functions", "[]", is_empty_list);
  fields->AcceptOnly("tool_choice", "\"none\" or \"auto\"",
                     [](const Json& value) { return value == "none" || value == "auto"; });
  fields->AcceptOnly("function_call", "\"none\" or \"auto\"",
                     [](const Json& value) { return value == "none" || value == "auto"; });
  fields->AcceptOnly("parallel_tool_calls", "true or false",
                     [](const Json& value) { return value.is_boolean(); });
  fields->AcceptOnly("modalities", "[\"text\"]",
                     [](const Json& value) { return value == Json::array({"text"}); });
}

void ReadLogProbabilities(RequestFields* fields, GenerationSettings* settings) {
  const bool wanted = fields->Bool("logprobs", false);
  const std::optional<int64_t> top = fields->Int("top_logprobs", 0, 20);
  if (top && *top > 0 && !wanted) {
    FailField("top_logprobs", "is only taken where \"logprobs\" is true");
  }
  if (wanted) settings->log_probabilities = top.value_or(0);
}

}  // namespace

ChatRequest ParseChatRequest(const std::string& body, const ServedModel& model) {
  const Json json = ParseBody(body);
  RequestFields fields(json);
  ChatRequest request;
  GenerationSettings& settings = request.settings;
  settings = ReadGenerationSettings(&fields, body, model);
  ReadLogProbabilities(&fields, &settings);
  const std::optional<int64_t> newer = fields.Int("max_completion_tokens", 1, kMaxTokens);
  const std::optional<int64_t> older = fields.Int("max_tokens", 1, kMaxTokens);
  if (newer && older && *newer != *older) {
    FailField("max_tokens", "differs from \"max_completion_tokens\"; one of them is wanted");
  }
  const bool add_generation_prompt = fields.Bool("add_generation_prompt", true);
  AcceptToolsThatAreNone(&fields);
  const Json messages = ReadMessages(&fields);
  fields.RejectUnknown();
  if (!model.chat.chat_template) {
    throw ApiError(400,
                   model.chat.problem.empty()
                       ? "this model has no chat template; /v1/completions continues texts"
                       : "the model's chat template is not supported; the server's log says why",
                   "messages", "no_chat_template");
  }
  request.prompt = MakePrompt(model, messages, add_generation_prompt);
  const int64_t length = std::ssize(request.prompt.ids);
  const int64_t room = model.max_length - length;
  settings.max_tokens = newer ? *newer : older.value_or(std::max<int64_t>(room, 1));
  RequireFits(model, length, settings.max_tokens, "messages");
  RequireFewLogProbabilities(settings, settings.max_tokens, "top_logprobs",
                             "\"top_logprobs\", \"max_completion_tokens\" or \"n\"");
  return request;
}

}  // namespace blockformer
