// /v1/score, /tokenize and /detokenize.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "eval/scored_text.h"
#include "server/api_error.h"
#include "server/completion_request.h"
#include "server/endpoints.h"
#include "server/request_fields.h"
#include "server/scoring.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr size_t kMaxScoreInputs = 4096;

// An entry of "inputs", encoded as `blockformer score` does.
struct ScoreInput {
  ScoredText text;
  std::vector<ScoreRequest> requests;
};

ScoredText ParseScoredText(RequestFields* fields) {
  if (std::optional<std::string> text = fields->String("text")) {
    return {std::nullopt, *std::move(text)};
  }
  std::string context = fields->RequiredString("context");
  return {std::move(context), fields->RequiredString("continuation")};
}

ScoreInput ParseScoreInput(const Json& json, const std::string& path, const ServedModel& model,
                           int64_t max_length) {
  RequestFields fields(json, path);
  ScoreInput input;
  input.text = ParseScoredText(&fields);
  try {
    input.requests = EncodeScored(model.tokenizer, input.text, max_length, model.prefix_id);
  } catch (const Error& error) {
    FailField(path, error.what());
  }
  fields.RejectUnknown();
  return input;
}

OrderedJson InputJson(size_t index, const ScoreInput& input, int64_t max_length, bool each_token,
                      std::span<const std::vector<TokenScore>> scores) {
  RequestScore sum;
  OrderedJson tokens = OrderedJson::array();
  for (const std::vector<TokenScore>& window : scores) {
    sum.Add(window);
    for (const TokenScore& score : window) tokens.push_back(score.log_likelihood);
  }
  OrderedJson json = {{"index", index}};
  json.update(ScoreJson(input.text, sum, CutTokens(input.requests, max_length)));
  if (each_token) json["token_log_likelihoods"] = tokens;
  return json;
}

struct ScoreBody {
  bool each_token = false;
  std::vector<ScoreInput> inputs;
  std::vector<ScoreRequest> requests;  // of all inputs, in turn
  int64_t tokens = 0;
};

ScoreBody ParseScoreBody(const HttpRequest& request, const ServedModel& model, int64_t max_length) {
  const Json json = ParseBody(request.body);
  RequestFields fields(json);
  RequireModel(&fields, model);
  ScoreBody body;
  body.each_token = fields.Bool("token_log_likelihoods", false);
  const Json* inputs = fields.Find("inputs");
  fields.RejectUnknown();
  if (inputs == nullptr || !inputs->is_array() || inputs->size() > kMaxScoreInputs) {
    FailField("inputs", fmt::format("a list of at most {} objects is wanted", kMaxScoreInputs));
  }
  for (size_t i = 0; i < inputs->size(); ++i) {
    body.inputs.push_back(
        ParseScoreInput((*inputs)[i], fmt::format("inputs[{}]", i), model, max_length));
    std::ranges::copy(body.inputs.back().requests, std::back_inserter(body.requests));
  }
  body.tokens = TotalTokens(body.requests);
  return body;
}

HttpResponse ScoreResponse(const ScoreBody& body, const std::string& model_name, int64_t max_length,
                           std::span<const std::vector<TokenScore>> scores) {
  OrderedJson data = OrderedJson::array();
  size_t next = 0;
  for (size_t i = 0; i < body.inputs.size(); ++i) {
    const size_t count = body.inputs[i].requests.size();
    data.push_back(
        InputJson(i, body.inputs[i], max_length, body.each_token, scores.subspan(next, count)));
    next += count;
  }
  return JsonResponse({{"object", "list"},
                       {"model", model_name},
                       {"data", data},
                       {"usage", {{"prompt_tokens", body.tokens}}}});
}

}  // namespace

boost::asio::awaitable<void> HandleScore(ServerContext* context, Exchange* exchange) {
  const int64_t max_length = context->scorer->options().max_length;
  const ScoreBody body = ParseScoreBody(exchange->request(), *context->model, max_length);
  exchange->prompt_tokens = body.tokens;
  ClientState gone = WatchForScoring(exchange);
  const auto scores = co_await ScoreOnEngine(context, body.requests, std::move(gone));
  HttpResponse response = ScoreResponse(body, context->model->name, max_length, scores);
  co_await exchange->Send(std::move(response));
}

HttpResponse Tokenize(const ServedModel& model, const HttpRequest& request) {
  const Json body = ParseBody(request.body);
  RequestFields fields(body);
  RequireModel(&fields, model);
  const std::optional<std::string> text = fields.String("prompt");
  const bool with_texts = fields.Bool("return_token_strs", false);
  const bool add_special = fields.Bool("add_special_tokens", true);
  fields.RejectUnknown();  // first, so that vLLM's "messages" is named
  if (!text) FailField("prompt", "is missing; a text is wanted");
  const std::vector<int32_t> ids = model.Encode(*text, "prompt", add_special);
  OrderedJson texts;
  if (with_texts) {
    texts = OrderedJson::array();
    for (const int32_t id : ids) texts.push_back(model.TokenText(id));
  }
  return JsonResponse({{"count", ids.size()},
                       {"max_model_len", model.max_length},
                       {"tokens", ids},
                       {"token_strs", texts}});
}

HttpResponse Detokenize(const ServedModel& model, const HttpRequest& request) {
  const Json body = ParseBody(request.body);
  RequestFields fields(body);
  RequireModel(&fields, model);
  const Json* tokens = fields.Find("tokens");
  fields.RejectUnknown();
  if (tokens == nullptr || !tokens->is_array()) FailField("tokens", "a list of ids is wanted");
  const std::vector<int32_t> ids = ReadIds(*tokens, "tokens", model.tokenizer.VocabSize());
  std::string text;
  try {
    text = model.tokenizer.Decode(ids);
  } catch (const Error& error) {
    FailField("tokens", error.what());
  }
  return JsonResponse({{"prompt", ReplaceInvalidUtf8(text)}});
}

}  // namespace blockformer
