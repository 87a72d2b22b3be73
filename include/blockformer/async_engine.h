#ifndef BLOCKFORMER_ASYNC_ENGINE_H_
#define BLOCKFORMER_ASYNC_ENGINE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blockformer/blockformer.h"
#include "blockformer/error.h"
#include "blockformer/text_generator.h"

namespace blockformer {

// The C interface for C++: many requests at once, from any number of threads. All of it is inline,
// so that programs depend on the functions of blockformer.h alone. Everything throws Error.

namespace internal {

// Throws the Error for what a function of blockformer.h has returned.
[[noreturn]] inline void ThrowStatus(bf_status status) {
  constexpr ErrorCode kCodes[] = {ErrorCode::kInternal,    ErrorCode::kInvalidArgument,
                                  ErrorCode::kNotFound,    ErrorCode::kCorrupt,
                                  ErrorCode::kUnsupported, ErrorCode::kIo,
                                  ErrorCode::kExhausted,   ErrorCode::kInterrupted,
                                  ErrorCode::kInternal,    ErrorCode::kExhausted};  // BF_FULL
  const bool known = status > 0 && static_cast<size_t>(status) < std::size(kCodes);
  throw Error(known ? kCodes[status] : ErrorCode::kInternal, bf_last_error());
}

inline void Require(bf_status status) {
  if (status != BF_OK) ThrowStatus(status);
}

inline bf_text ToText(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace internal

// `keep_going` must not be set: cancel requests instead, or set deadlines.
struct AsyncEngineOptions : GeneratorOptions {
  int64_t max_waiting = 256;           // requests that may wait beside max_sequences
  std::string score_padding = "auto";  // see bf_engine_options
  int64_t score_batch_tokens = 8192;   // tokens scored together
};

// How a request generates: `too_long` may not be kSkip.
struct RequestOptions : TextOptions {
  std::vector<int32_t> stop_ids;
  std::vector<int32_t> excluded_ids;
  std::optional<int64_t> log_probabilities;   // of this many of the likeliest tokens too, 0 to 20
  std::optional<int64_t> left_padding;        // see bf_request_options
  uint64_t stream = 0;                        // requests of equal seed and stream draw alike
  int32_t priority = 0;                       // higher ones go first
  std::chrono::duration<double> deadline{0};  // 0: none
  bool at_end = false;                        // one event, with all of it
};

// An event of a request. See bf_event, of which it holds one.
class RequestEvent {
 public:
  explicit RequestEvent(bf_event* event) : event_(event, bf_event_free) {}

  int64_t request() const { return event_->request; }
  std::string_view text() const { return {event_->text, event_->text_size}; }
  std::span<const int32_t> ids() const { return {event_->ids, event_->num_ids}; }
  // One for each of ids(); empty if they were not asked for.
  std::span<const double> log_probabilities() const {
    return {event_->log_probabilities, event_->log_probabilities == nullptr ? 0 : event_->num_ids};
  }
  bool is_last() const { return event_->finish != BF_GOES_ON; }
  // Why the request has ended; only for a last event.
  FinishReason reason() const {
    switch (event_->finish) {
      case BF_FINISH_LENGTH:
        return FinishReason::kLength;
      case BF_FINISH_END_OF_TEXT:
        return FinishReason::kEndOfText;
      case BF_FINISH_STOP:
        return FinishReason::kStop;
      case BF_FINISH_CANCELLED:
        return FinishReason::kCancelled;
      default:
        return FinishReason::kError;
    }
  }
  std::string_view error() const { return event_->message; }
  const bf_event& raw() const { return *event_; }

 private:
  std::unique_ptr<bf_event, void (*)(bf_event*)> event_;
};

// Where the events of requests wait. Threads may share it.
class RequestQueue {
 public:
  RequestQueue() : queue_(nullptr, bf_queue_free) {
    bf_queue* queue = nullptr;
    internal::Require(bf_queue_create(&queue));
    queue_.reset(queue);
  }

  // Waits for the next event; nothing when no request is open, or when the time is over.
  std::optional<RequestEvent> Next(
      std::optional<std::chrono::duration<double>> timeout = std::nullopt) {
    bf_event* event = nullptr;
    const bf_status status = bf_queue_next(queue_.get(), timeout ? timeout->count() : -1, &event);
    if (status == BF_TIMEOUT || status == BF_IDLE) return std::nullopt;
    internal::Require(status);
    return RequestEvent(event);
  }

  bf_queue* get() const { return queue_.get(); }

 private:
  std::unique_ptr<bf_queue, void (*)(bf_queue*)> queue_;  // freeing it cancels its requests
};

// A model that generates and scores for many requests at once. Threads may share it.
class AsyncEngine {
 public:
  static AsyncEngine Load(const std::string& model_directory,
                          const AsyncEngineOptions& options = {}) {
    if (options.keep_going) {
      throw Error(ErrorCode::kInvalidArgument,
                  "keep_going: an AsyncEngine does not ask; cancel requests, or set deadlines");
    }
    bf_engine_options raw;
    internal::Require(bf_engine_options_init(&raw, sizeof(raw)));
    raw.device = options.device.c_str();
    raw.dtype = options.dtype.c_str();
    raw.kv_dtype = options.kv_dtype.c_str();
    raw.score_padding = options.score_padding.c_str();
    raw.max_sequences = options.max_sequences;
    raw.max_length = options.max_length;
    raw.max_waiting = options.max_waiting;
    raw.memory_bytes = options.memory_bytes;
    raw.score_batch_tokens = options.score_batch_tokens;
    raw.threads = options.threads;
    raw.plain_text = options.plain_text ? 1 : 0;
    bf_engine* engine = nullptr;
    internal::Require(bf_engine_load(model_directory.c_str(), &raw, &engine));
    return AsyncEngine(engine);
  }

  // Queues a request, whose events go to `queue`, and returns its number; nothing while
  // info().capacity requests are open.
  std::optional<int64_t> Submit(std::string_view prompt, const RequestOptions& options,
                                RequestQueue* queue) {
    if (options.raw_prompt) return Submit(Tokenize(prompt), options, queue);
    return SubmitWith(options, [&](const bf_request_options* raw, int64_t* request) {
      return bf_submit_text(get(), queue->get(), internal::ToText(prompt), raw, request);
    });
  }
  std::optional<int64_t> Submit(std::span<const int32_t> prompt, const RequestOptions& options,
                                RequestQueue* queue) {
    return SubmitWith(options, [&](const bf_request_options* raw, int64_t* request) {
      return bf_submit_ids(get(), queue->get(), prompt.data(), prompt.size(), raw, request);
    });
  }
  // `messages` is JSON, see bf_chat_text.
  std::optional<int64_t> SubmitChat(std::string_view messages, const RequestOptions& options,
                                    RequestQueue* queue) {
    return SubmitWith(options, [&](const bf_request_options* raw, int64_t* request) {
      return bf_submit_chat(get(), queue->get(), internal::ToText(messages), raw, request);
    });
  }

  // Ends a request within a step; its last event says so.
  void Cancel(int64_t request) { internal::Require(bf_cancel(get(), request)); }

  std::vector<int32_t> Tokenize(std::string_view text, int32_t flags = 0) const {
    size_t count = 0;
    internal::Require(bf_tokenize(get(), internal::ToText(text), flags, nullptr, 0, &count));
    std::vector<int32_t> ids(count);
    internal::Require(bf_tokenize(get(), internal::ToText(text), flags, ids.data(), count, &count));
    return ids;
  }

  std::string Detokenize(std::span<const int32_t> ids, bool skip_special = false) const {
    size_t count = 0;
    const int32_t skip = skip_special ? 1 : 0;
    internal::Require(bf_detokenize(get(), ids.data(), ids.size(), skip, nullptr, 0, &count));
    std::string text(count, '\0');
    internal::Require(
        bf_detokenize(get(), ids.data(), ids.size(), skip, text.data(), count, &count));
    return text;
  }

  // The log-likelihood of a continuation given a context, in nats.
  double Score(std::string_view context, std::string_view continuation) {
    const bf_score_input input = {1, internal::ToText(context), internal::ToText(continuation)};
    bf_score_result* result = nullptr;
    internal::Require(bf_score(get(), &input, 1, &result));
    const double log_likelihood = result->log_likelihood;
    bf_scores_free(result);
    return log_likelihood;
  }

  bf_engine_info info() const {
    bf_engine_info info;
    info.struct_size = sizeof(info);
    internal::Require(bf_engine_get_info(get(), &info));
    return info;
  }
  bf_engine_stats stats() const {
    bf_engine_stats stats;
    stats.struct_size = sizeof(stats);
    internal::Require(bf_engine_get_stats(get(), &stats));
    return stats;
  }

  // The handle, for functions that this class does not have.
  bf_engine* get() const { return engine_.get(); }

 private:
  explicit AsyncEngine(bf_engine* engine) : engine_(engine, bf_engine_free) {}

  template <typename SubmitRaw>
  std::optional<int64_t> SubmitWith(const RequestOptions& options, const SubmitRaw& submit) {
    if (options.too_long == TooLong::kSkip) {
      throw Error(ErrorCode::kInvalidArgument, "too_long: kSkip is for batches alone");
    }
    std::vector<int32_t> bias_ids;
    std::vector<double> bias_values;
    for (const auto& [id, value] : options.logit_bias) {
      bias_ids.push_back(id);
      bias_values.push_back(value);
    }
    std::vector<bf_text> stops;
    for (const std::string& stop : options.stop) stops.push_back(internal::ToText(stop));
    bf_request_options raw;
    internal::Require(bf_request_options_init(&raw, sizeof(raw)));
    raw.max_tokens = options.max_tokens;
    raw.bias_ids = bias_ids.data();
    raw.bias_values = bias_values.data();
    raw.num_biases = bias_ids.size();
    raw.repetition_penalty = options.repetition_penalty;
    raw.frequency_penalty = options.frequency_penalty;
    raw.presence_penalty = options.presence_penalty;
    raw.temperature = options.temperature;
    raw.top_k = options.top_k;
    raw.top_p = options.top_p;
    raw.min_p = options.min_p;
    raw.seed = options.seed;
    raw.stream = options.stream;
    raw.stops = stops.data();
    raw.num_stops = stops.size();
    raw.stop_ids = options.stop_ids.data();
    raw.num_stop_ids = options.stop_ids.size();
    raw.excluded_ids = options.excluded_ids.data();
    raw.num_excluded_ids = options.excluded_ids.size();
    raw.log_probabilities = options.log_probabilities.value_or(-1);
    raw.left_padding = options.left_padding.value_or(-1);
    raw.deadline_seconds = options.deadline.count();
    raw.priority = options.priority;
    raw.ignore_end_of_text = options.ignore_end_of_text ? 1 : 0;
    raw.too_long =
        options.too_long == TooLong::kError ? BF_TOO_LONG_ERROR : BF_TOO_LONG_TRUNCATE_LEFT;
    raw.at_end = options.at_end ? 1 : 0;
    if (!options.json_schema.empty()) raw.format = BF_FORMAT_JSON_SCHEMA;
    if (options.json_object) raw.format = BF_FORMAT_JSON_OBJECT;
    raw.json_schema = internal::ToText(options.json_schema);
    int64_t request = 0;
    const bf_status status = submit(&raw, &request);
    if (status == BF_FULL) return std::nullopt;
    internal::Require(status);
    return request;
  }

  std::unique_ptr<bf_engine, void (*)(bf_engine*)> engine_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ASYNC_ENGINE_H_
