// /v1/score, /tokenize and /detokenize.
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <optional>
#include <utility>

#include "eval/scored_text.h"
#include "server/api_error.h"
#include "server/completion_request.h"
#include "server/endpoints.h"
#include "server/request_fields.h"
#include "server/scoring.h"
#include "server/text_thread.h"
#include "server/yield_turn.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr size_t kMaxScoreInputs = 4096;

// An entry of "inputs", encoded as `blockformer score` does.
struct ScoreInput {
  ScoredText text;
  size_t windows = 0;  // requests to the scorer
  int64_t cut_tokens = 0;
};

ScoredText ParseScoredText(RequestFields* fields) {
  if (std::optional<std::string> text = fields->String("text")) {
    return {std::nullopt, *std::move(text)};
  }
  std::string context = fields->RequiredString("context");
  return {std::move(context), fields->RequiredString("continuation")};
}

// Appends the entry's requests to `requests`.
ScoreInput ParseScoreInput(const Json& json, const std::string& path, const ServedModel& model,
                           int64_t max_length, std::vector<ScoreRequest>* requests) {
  RequestFields fields(json, path);
  ScoreInput input;
  std::vector<ScoreRequest> windows;
  input.text = ParseScoredText(&fields);
  try {
    windows = EncodeScored(model.tokenizer, input.text, max_length, model.prefix_id);
  } catch (const Error& error) {
    FailField(path, error);
  }
  fields.RejectUnknown();
  input.windows = windows.size();
  input.cut_tokens = CutTokens(windows, max_length);
  std::ranges::move(windows, std::back_inserter(*requests));
  return input;
}

OrderedJson InputJson(size_t index, const ScoreInput& input, const RequestScore& sum) {
  OrderedJson json = {{"index", index}};
  json.update(ScoreJson(input.text, sum, input.cut_tokens));
  return json;
}

struct ScoreBody {
  bool each_token = false;
  std::vector<ScoreInput> inputs;
  std::vector<ScoreRequest> requests;  // of all inputs, in turn
  int64_t tokens = 0;
};

ScoreBody ParseScoreBody(const std::string& text, const ServedModel& model, int64_t max_length) {
  const Json json = ParseBody(text);
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
    body.inputs.push_back(ParseScoreInput((*inputs)[i], fmt::format("inputs[{}]", i), model,
                                          max_length, &body.requests));
  }
  int64_t scored = 0;
  for (const ScoreRequest& one : body.requests) scored += one.scored;
  if (body.each_token && scored > kMaxLogProbabilities) {
    FailField("token_log_likelihoods",
              fmt::format("{} tokens are more than the {} whose log-likelihoods one answer has; "
                          "send fewer \"inputs\" at a time",
                          scored, kMaxLogProbabilities));
  }
  body.tokens = TotalTokens(body.requests);
  return body;
}

// The values of "token_log_likelihoods" as JSON, behind those of `items`.
void AddLogLikelihoods(std::span<const TokenScore> scores, std::string* items) {
  for (const TokenScore& score : scores) {
    if (!items->empty()) items->push_back(',');
    *items += ToText(OrderedJson(score.log_likelihood));
  }
}

// Writes the entry of "data" about an input whose scores come next, in pieces.
boost::asio::awaitable<void> AddScore(const ScoreBody& body, size_t index, EngineScoring* scoring,
                                      std::deque<std::string>* pieces) {
  const ScoreInput& input = body.inputs[index];
  RequestScore sum;
  std::string items;
  for (size_t i = 0; i < input.windows; ++i) {
    const std::vector<TokenScore> scores = co_await scoring->Next();
    sum.Add(scores);
    if (!body.each_token) continue;
    AddLogLikelihoods(scores, &items);
    co_await YieldTurn();
  }
  std::string entry = ToText(InputJson(index, input, sum));
  if (index > 0) entry.insert(0, ",");
  if (!body.each_token) {
    pieces->push_back(std::move(entry));
    co_return;
  }
  entry.back() = ',';
  pieces->push_back(std::move(entry) + R"("token_log_likelihoods":[)");
  pieces->push_back(std::move(items));
  pieces->emplace_back("]}");
}

HttpResponse Tokenize(const std::string& body, const ServedModel& model) {
  const Json json = ParseBody(body);
  RequestFields fields(json);
  RequireModel(&fields, model);
  const std::optional<std::string> text = fields.String("prompt");
  const bool with_texts = fields.Bool("return_token_strs", false);
  const bool add_special = fields.Bool("add_special_tokens", true);
  fields.RejectUnknown();  // first, so that vLLM's "messages" is named
  if (!text) FailField("prompt", "is missing; a text is wanted");
  const std::vector<int32_t> ids = model.Tokenize(*text, "prompt", add_special);
  std::string texts;
  for (const int32_t id : ids) {
    if (!with_texts) break;
    if (!texts.empty()) texts.push_back(',');
    texts += ToText(OrderedJson(model.TokenText(id)));
  }
  HttpResponse response;
  response.body =
      fmt::format(R"({{"count":{},"max_model_len":{},"tokens":[{}],"token_strs":{}}})", ids.size(),
                  model.max_length, fmt::join(ids, ","), with_texts ? "[" + texts + "]" : "null");
  return response;
}

HttpResponse Detokenize(const std::string& text, const ServedModel& model) {
  const Json body = ParseBody(text);
  RequestFields fields(body);
  RequireModel(&fields, model);
  const Json* tokens = fields.Find("tokens");
  fields.RejectUnknown();
  if (tokens == nullptr || !tokens->is_array()) FailField("tokens", "a list of ids is wanted");
  const std::vector<int32_t> ids = ReadIds(*tokens, "tokens", model.tokenizer.VocabSize());
  std::string decoded;
  try {
    decoded = model.tokenizer.Decode(ids);
  } catch (const Error& error) {
    FailField("tokens", error);
  }
  return JsonResponse({{"prompt", ReplaceInvalidUtf8(decoded)}});
}

}  // namespace

boost::asio::awaitable<void> HandleScore(ServerContext* context, Exchange* exchange) {
  const int64_t max_length = context->scorer->options().max_length;
  const std::string& text = exchange->request().body;
  const auto parse = [&] { return ParseScoreBody(text, *context->model, max_length); };
  ScoreBody body = co_await ReadBody(context, exchange, parse);
  exchange->prompt_tokens = body.tokens;
  EngineScoring scoring(context, exchange, std::move(body.requests));
  std::deque<std::string> pieces;
  for (size_t i = 0; i < body.inputs.size(); ++i) co_await AddScore(body, i, &scoring, &pieces);
  HttpResponse response;
  response.body = fmt::format(R"({{"object":"list","model":{},"data":[)",
                              ToText(OrderedJson(context->model->name)));
  pieces.push_back(fmt::format(R"(],"usage":{{"prompt_tokens":{}}}}})", body.tokens));
  response.more_body = {pieces.begin(), pieces.end()};
  co_await exchange->Send(std::move(response));
}

boost::asio::awaitable<void> HandleTokenize(ServerContext* context, Exchange* exchange) {
  const std::string& text = exchange->request().body;
  const auto tokenize = [&] { return Tokenize(text, *context->model); };
  HttpResponse response = co_await ReadBody(context, exchange, tokenize);
  co_await exchange->Send(std::move(response));
}

boost::asio::awaitable<void> HandleDetokenize(ServerContext* context, Exchange* exchange) {
  const std::string& text = exchange->request().body;
  const auto decode = [&] { return Detokenize(text, *context->model); };
  HttpResponse response = co_await ReadBody(context, exchange, decode);
  co_await exchange->Send(std::move(response));
}

}  // namespace blockformer
