#include "api/options.h"

namespace blockformer {
namespace {

constexpr double kMaxSeconds = 1e8;

std::string ReadName(const char* name) { return name == nullptr ? "auto" : name; }

void ReadSampling(const bf_request_options& options, SamplingOptions* sampling) {
  const auto ids = ReadArray(options.bias_ids, options.num_biases, "bias_ids");
  const auto values = ReadArray(options.bias_values, options.num_biases, "bias_values");
  for (size_t i = 0; i < ids.size(); ++i) sampling->logit_bias.emplace_back(ids[i], values[i]);
  sampling->repetition_penalty = options.repetition_penalty;
  sampling->frequency_penalty = options.frequency_penalty;
  sampling->presence_penalty = options.presence_penalty;
  sampling->temperature = options.temperature;
  sampling->top_k = options.top_k;
  sampling->top_p = options.top_p;
  sampling->min_p = options.min_p;
  sampling->seed = options.seed;
}

void ReadStops(const bf_request_options& options, TextOptions* text) {
  for (const bf_text& stop : ReadArray(options.stops, options.num_stops, "stops")) {
    text->stop.emplace_back(ReadText(stop, "stops"));
    Require(!text->stop.back().empty(), ErrorCode::kInvalidArgument, "stops: a text is empty");
  }
}

// -1 stands for nothing.
std::optional<int64_t> ReadOptional(int64_t value) {
  return value == -1 ? std::nullopt : std::optional(value);
}

std::optional<std::chrono::steady_clock::time_point> ReadDeadline(double seconds) {
  Require(seconds >= 0 && seconds <= kMaxSeconds, ErrorCode::kInvalidArgument,
          "deadline_seconds: {} is out of range; 0 to {} is wanted", seconds, kMaxSeconds);
  if (seconds == 0) return std::nullopt;
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(
             std::chrono::duration<double>(seconds));
}

TooLong ReadTooLong(int32_t value) {
  Require(value == BF_TOO_LONG_ERROR || value == BF_TOO_LONG_TRUNCATE_LEFT,
          ErrorCode::kInvalidArgument, "too_long: {} is not known; 0 or 1 is wanted", value);
  return value == BF_TOO_LONG_ERROR ? TooLong::kError : TooLong::kTruncateLeft;
}

void ReadFormat(const bf_request_options& options, TextOptions* text) {
  const std::string_view schema = ReadText(options.json_schema, "json_schema");
  Require(options.format >= BF_FORMAT_TEXT && options.format <= BF_FORMAT_JSON_SCHEMA,
          ErrorCode::kInvalidArgument, "format: {} is not known; 0 to {} is wanted", options.format,
          static_cast<int>(BF_FORMAT_JSON_SCHEMA));
  const bool wants_schema = options.format == BF_FORMAT_JSON_SCHEMA;
  Require(wants_schema || schema.empty(), ErrorCode::kInvalidArgument,
          "json_schema: goes with the format BF_FORMAT_JSON_SCHEMA alone; format is {}",
          options.format);
  Require(!wants_schema || !schema.empty(), ErrorCode::kInvalidArgument,
          "json_schema: is empty; a schema is wanted");
  text->json_object = options.format == BF_FORMAT_JSON_OBJECT;
  text->json_schema = schema;
}

}  // namespace

std::string_view ReadText(const bf_text& text, const char* name) {
  Require(text.size <= PTRDIFF_MAX, ErrorCode::kInvalidArgument,
          "{}: {} bytes are more than a text can have", name, text.size);
  if (text.size == 0) return {};
  RequireNotNull(text.data, name);
  return {text.data, text.size};
}

bool ReadFlag(int32_t value, const char* name) {
  Require(value == 0 || value == 1, ErrorCode::kInvalidArgument, "{}: {} is not 0 or 1", name,
          value);
  return value == 1;
}

bf_engine_options DefaultEngineOptions() {
  const LoadSettings defaults;
  bf_engine_options options = {};
  options.struct_size = sizeof(options);
  options.device = "auto";
  options.dtype = "auto";
  options.kv_dtype = "auto";
  options.score_padding = "auto";
  options.max_sequences = defaults.generator.max_sequences;
  options.max_waiting = defaults.loop.max_waiting;
  options.score_batch_tokens = defaults.scorer.batch_tokens;
  return options;
}

bf_request_options DefaultRequestOptions() {
  const TextOptions defaults;
  bf_request_options options = {};
  options.struct_size = sizeof(options);
  options.max_tokens = defaults.max_tokens;
  options.repetition_penalty = defaults.repetition_penalty;
  options.top_p = defaults.top_p;
  options.log_probabilities = -1;
  options.left_padding = -1;
  return options;
}

LoadSettings ReadEngineOptions(const bf_engine_options* given) {
  const bf_engine_options options = ReadStruct(given, DefaultEngineOptions(), "options");
  LoadSettings settings;
  settings.generator.device = ReadName(options.device);
  settings.generator.dtype = ReadName(options.dtype);
  settings.generator.kv_dtype = ReadName(options.kv_dtype);
  settings.generator.max_sequences = options.max_sequences;
  settings.generator.max_length = options.max_length;
  settings.generator.memory_bytes = options.memory_bytes;
  settings.generator.plain_text = ReadFlag(options.plain_text, "plain_text");
  settings.generator.threads = options.threads;
  settings.loop.threads = options.threads;
  settings.loop.max_waiting = options.max_waiting;
  Require(options.max_waiting >= 1 && options.max_waiting <= (1 << 20), ErrorCode::kInvalidArgument,
          "max_waiting: {} is out of range; 1 to {} is wanted", options.max_waiting, 1 << 20);
  settings.scorer.max_length = options.max_length;
  settings.scorer.batch_tokens = options.score_batch_tokens;
  settings.scorer.padding = ParseScoringPadding("score_padding", ReadName(options.score_padding));
  return settings;
}

RequestSettings ReadRequestOptions(const bf_request_options* given) {
  const bf_request_options options = ReadStruct(given, DefaultRequestOptions(), "options");
  RequestSettings settings;
  ReadSampling(options, &settings.text);
  ReadStops(options, &settings.text);
  settings.text.ignore_end_of_text = ReadFlag(options.ignore_end_of_text, "ignore_end_of_text");
  settings.text.too_long = ReadTooLong(options.too_long);
  ReadFormat(options, &settings.text);
  settings.max_tokens = ReadOptional(options.max_tokens);
  if (settings.max_tokens) settings.text.max_tokens = *settings.max_tokens;
  ValidateTextOptions(settings.text);
  const auto stop_ids = ReadArray(options.stop_ids, options.num_stop_ids, "stop_ids");
  settings.stop_ids.assign(stop_ids.begin(), stop_ids.end());
  const auto excluded = ReadArray(options.excluded_ids, options.num_excluded_ids, "excluded_ids");
  settings.excluded_ids.assign(excluded.begin(), excluded.end());
  settings.log_probabilities = ReadOptional(options.log_probabilities);
  settings.left_padding = ReadOptional(options.left_padding);
  settings.deadline = ReadDeadline(options.deadline_seconds);
  settings.stream = options.stream;
  settings.priority = options.priority;
  settings.at_end = ReadFlag(options.at_end, "at_end");
  settings.callback = options.callback;
  settings.user = options.user;
  return settings;
}

}  // namespace blockformer
