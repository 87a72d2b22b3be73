#include "server/completion_request.h"

#include <fmt/format.h>

#include <charconv>
#include <random>

#include "server/api_error.h"
#include "server/response_format.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr size_t kMaxStops = 16;
constexpr size_t kMaxStopBytes = 1024;
constexpr size_t kMaxStopIds = 1024;
constexpr size_t kMaxBiases = 1024;
constexpr int64_t kMaxTexts = kMaxPrompts;  // that one request may ask for

bool IsFalse(const Json& value) { return value == false; }

// What clients send that changes nothing here, so that it is taken.
void AcceptWhatChangesNothing(RequestFields* fields, int64_t n) {
  fields->AcceptOnly("user", "a text", [](const Json& value) { return value.is_string(); });
  fields->AcceptOnly("safety_identifier", "a text",
                     [](const Json& value) { return value.is_string(); });
  fields->AcceptOnly("metadata", "an object", [](const Json& value) { return value.is_object(); });
  fields->AcceptOnly("best_of", fmt::format("{}, which is n,", n),
                     [n](const Json& value) { return value == n; });
  fields->AcceptOnly("store", "false", IsFalse);
  fields->AcceptOnly("skip_special_tokens", "true",
                     [](const Json& value) { return value == true; });
  fields->AcceptOnly("service_tier", "\"auto\" or \"default\"",
                     [](const Json& value) { return value == "auto" || value == "default"; });
}

void ReadStops(RequestFields* fields, const ServedModel& model, GenerationSettings* settings) {
  settings->stop = fields->Texts("stop", kMaxStops);
  for (const std::string& stop : settings->stop) {
    if (stop.empty() || stop.size() > kMaxStopBytes) {
      FailField("stop",
                fmt::format("a text of {} bytes; 1 to {} are wanted", stop.size(), kMaxStopBytes));
    }
  }
  settings->stop_ids = fields->Ids("stop_token_ids", kMaxStopIds, model.config.vocab_size);
}

void ReadBiases(RequestFields* fields, const ServedModel& model, GenerationSettings* settings) {
  const Json* biases = fields->Find("logit_bias");
  if (biases == nullptr) return;
  if (!biases->is_object() || biases->size() > kMaxBiases) {
    FailField("logit_bias", fmt::format("{} is not an object of at most {} token ids",
                                        QuoteValue(*biases), kMaxBiases));
  }
  for (const auto& [key, value] : biases->items()) {
    int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    const bool is_id = error == std::errc() && end == key.data() + key.size() && id >= 0 &&
                       id < model.config.vocab_size && std::to_string(id) == key;
    if (!is_id) {
      FailField("logit_bias", fmt::format("{} is not a token id of 0 to {}", QuoteValue(key),
                                          model.config.vocab_size - 1));
    }
    if (!value.is_number() || !(value.get<double>() >= -100 && value.get<double>() <= 100)) {
      FailField("logit_bias", fmt::format("{} of token {} is not a number of -100 to 100",
                                          QuoteValue(value), id));
    }
    settings->sampling.logit_bias.emplace_back(id, value.get<double>());
  }
}

void ReadSampling(RequestFields* fields, GenerationSettings* settings) {
  SamplingOptions& sampling = settings->sampling;
  sampling.temperature = fields->Number("temperature", 0, 100).value_or(1);
  sampling.top_p = fields->Number("top_p", 0, 1).value_or(1);
  if (sampling.top_p == 0) FailField("top_p", "0 is not above 0");
  sampling.top_k = fields->Int("top_k", -1, kMaxTokens).value_or(0);
  if (sampling.top_k == -1) sampling.top_k = 0;
  sampling.min_p = fields->Number("min_p", 0, 1).value_or(0);
  sampling.repetition_penalty = fields->Number("repetition_penalty", 0.01, 100).value_or(1);
  sampling.presence_penalty = fields->Number("presence_penalty", -2, 2).value_or(0);
  sampling.frequency_penalty = fields->Number("frequency_penalty", -2, 2).value_or(0);
  const std::optional<int64_t> seed = fields->Int("seed", INT64_MIN, INT64_MAX);
  sampling.seed = static_cast<uint64_t>(seed.value_or(0));
  if (!seed) {
    std::random_device device;
    sampling.seed = (uint64_t{device()} << 32) | device();
  }
}

void ReadStreamOptions(RequestFields* fields, GenerationSettings* settings) {
  settings->stream = fields->Bool("stream", false);
  const Json* options = fields->Find("stream_options");
  if (options == nullptr) return;
  if (!settings->stream) FailField("stream_options", "is only taken where \"stream\" is true");
  RequestFields inner(*options, "stream_options");
  settings->include_usage = inner.Bool("include_usage", false);
  inner.AcceptOnly("include_obfuscation", "false", IsFalse);
  inner.RejectUnknown();
}

// A text, a list of texts, a list of ids, or a list of such lists.
void ReadPrompts(RequestFields* fields, const ServedModel& model, CompletionRequest* request) {
  const Json* prompt = fields->Find("prompt");
  if (prompt == nullptr)
    FailField("prompt", "is missing; a text, ids, or a list of such is wanted");
  const auto add_ids = [&](const Json& ids) {
    CompletionPrompt read = {ReadIds(ids, "prompt", model.config.vocab_size), ""};
    try {
      read.text = ReplaceInvalidUtf8(model.tokenizer.Decode(read.ids));
    } catch (const Error& error) {  // ids of the model's that the tokenizer lacks
      FailField("prompt", error);
    }
    request->prompts.push_back(std::move(read));
  };
  const auto add_text = [&](const std::string& text) {
    request->prompts.push_back(
        {model.Encode(text, "prompt"), text, model.tokenizer.Prefix().size()});
  };
  if (prompt->is_string()) return add_text(prompt->get<std::string>());
  if (!prompt->is_array() || prompt->empty()) {
    FailField("prompt", QuoteValue(*prompt) + " is not a text, ids, or a list of such");
  }
  if (prompt->front().is_number()) return add_ids(*prompt);
  if (prompt->size() > kMaxPrompts) {
    FailField("prompt",
              fmt::format("has {} prompts; at most {} are taken", prompt->size(), kMaxPrompts));
  }
  for (const Json& one : *prompt) {
    if (one.is_string() && prompt->front().is_string()) {
      add_text(one.get<std::string>());
    } else if (one.is_array() && prompt->front().is_array()) {
      add_ids(one);
    } else {
      FailField("prompt", QuoteValue(one) + " in it is not what the first one is, a text or ids");
    }
  }
}

}  // namespace

void RequireModel(RequestFields* fields, const ServedModel& model) {
  const std::optional<std::string> name = fields->String("model");
  if (!name || *name == model.name) return;
  throw ApiError(404, fmt::format("model: {} is not served; {} is", QuoteValue(*name), model.name),
                 "model", "model_not_found");
}

GenerationSettings ReadGenerationSettings(RequestFields* fields, const std::string& body,
                                          const ServedModel& model) {
  RequireModel(fields, model);
  GenerationSettings settings;
  settings.n = fields->Int("n", 1, kMaxChoices).value_or(1);
  ReadSampling(fields, &settings);
  ReadStops(fields, model, &settings);
  ReadBiases(fields, model, &settings);
  settings.ignore_eos = fields->Bool("ignore_eos", false);
  settings.json = ReadResponseFormat(fields, body, model);
  if (settings.json && settings.ignore_eos) {
    FailField("ignore_eos", "is not taken beside a response_format of JSON, whose texts end");
  }
  ReadStreamOptions(fields, &settings);
  AcceptWhatChangesNothing(fields, settings.n);
  return settings;
}

void RequireFewLogProbabilities(const GenerationSettings& settings, int64_t tokens,
                                const std::string& field, const std::string& lower) {
  if (!settings.log_probabilities) return;
  const int64_t each = *settings.log_probabilities + 1;
  const int64_t count = tokens * settings.n * each;
  if (count <= kMaxLogProbabilities) return;
  FailField(field, fmt::format("{} log-probabilities ({} tokens, n {}, {} for each) are more than "
                               "the {} that one answer has; lower {}",
                               count, tokens, settings.n, each, kMaxLogProbabilities, lower));
}

CompletionRequest ParseCompletionRequest(const std::string& body, const ServedModel& model) {
  const Json json = ParseBody(body);
  RequestFields fields(json);
  CompletionRequest request;
  GenerationSettings& settings = request.settings;
  settings = ReadGenerationSettings(&fields, body, model);
  settings.max_tokens = fields.Int("max_tokens", 0, kMaxTokens).value_or(16);
  settings.log_probabilities = fields.Int("logprobs", 0, 20);
  request.echo = fields.Bool("echo", false);
  fields.AcceptOnly("suffix", "null", [](const Json& value) {
    const auto* text = value.get_ptr<const std::string*>();
    return text != nullptr && text->empty();
  });
  ReadPrompts(&fields, model, &request);
  fields.RejectUnknown();
  if (settings.max_tokens == 0 && !request.echo) {
    FailField("max_tokens", "0 is only taken where \"echo\" is true; 1 or more is wanted");
  }
  if (std::ssize(request.prompts) * settings.n > kMaxTexts) {
    FailField("n", fmt::format("{} texts for each of {} prompts are more than {}", settings.n,
                               request.prompts.size(), kMaxTexts));
  }
  int64_t tokens = 0;  // of the answer
  for (const CompletionPrompt& prompt : request.prompts) {
    const int64_t length = std::ssize(prompt.ids);
    RequireFits(model, length, settings.max_tokens, "prompt");
    tokens += settings.max_tokens + (request.echo ? length : 0);
  }
  RequireFewLogProbabilities(settings, tokens, "logprobs",
                             "\"logprobs\", \"max_tokens\", \"n\" or the number of prompts");
  return request;
}

}  // namespace blockformer
