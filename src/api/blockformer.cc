// The functions of the C interface.
#include "blockformer/blockformer.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "api/event_queue.h"
#include "api/loaded_engine.h"
#include "api/options.h"
#include "api/request.h"
#include "api/status.h"
#include "base/log.h"
#include "blockformer/version.h"

// NOLINTBEGIN(readability-identifier-naming): the names of the C interface.
struct bf_engine {
  blockformer::LoadedEngine loaded;
};

struct bf_queue {
  std::shared_ptr<blockformer::EventQueue> events;
};
// NOLINTEND(readability-identifier-naming)

namespace blockformer {
namespace {

constexpr double kLongestWait = 1e8;  // seconds

template <typename Value, typename Values>
void CopyOut(const Values& values, Value* target, size_t capacity, size_t* count) {
  *count = values.size();
  const size_t copied = std::min(capacity, values.size());
  if (copied > 0) std::memcpy(target, values.data(), copied * sizeof(Value));
}

void RequireRoom(const void* target, size_t capacity, const size_t* count, const char* name) {
  RequireNotNull(count, "count");
  if (capacity > 0) RequireNotNull(target, name);
}

template <typename ReadPrompt>
bf_status Submit(bf_engine* engine, bf_queue* queue, const bf_request_options* options,
                 int64_t* request, const ReadPrompt& read_prompt) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    RequireNotNull(request, "request");
    *request = 0;
    RequestSettings settings = ReadRequestOptions(options);
    Require((queue != nullptr) != (settings.callback != nullptr), ErrorCode::kInvalidArgument,
            "queue and callback: exactly one of them is wanted");
    std::vector<int32_t> prompt = read_prompt(&settings);
    *request = engine->loaded.Submit(std::move(prompt), std::move(settings),
                                     queue == nullptr ? nullptr : queue->events);
    return BF_OK;
  });
}

ScoredText ReadScoreInput(const bf_score_input& input) {
  ScoredText text;
  if (ReadFlag(input.has_context, "has_context")) text.context = ReadText(input.context, "context");
  text.text = ReadText(input.text, "text");
  return text;
}

// One piece of memory: the results, then their tokens.
bf_score_result* CopyScores(const std::vector<LoadedEngine::Score>& scores) {
  size_t tokens = 0;
  for (const LoadedEngine::Score& score : scores) tokens += score.tokens.size();
  // At least one, so that no scores are not NULL.
  const size_t bytes = (scores.size() + 1) * sizeof(bf_score_result) + tokens * sizeof(double);
  auto* results = static_cast<bf_score_result*>(std::malloc(bytes));
  if (results == nullptr) throw std::bad_alloc();
  auto* values = reinterpret_cast<double*>(results + scores.size() + 1);
  for (size_t i = 0; i < scores.size(); ++i) {
    const LoadedEngine::Score& score = scores[i];
    results[i] = {score.log_likelihood, values, score.tokens.size(), score.cut_tokens,
                  score.is_greedy ? 1 : 0};
    values = std::ranges::copy(score.tokens, values).out;
  }
  return results;
}

std::optional<std::chrono::steady_clock::time_point> ReadTimeout(double seconds) {
  Require(!std::isnan(seconds), ErrorCode::kInvalidArgument, "timeout_seconds: is not a number");
  if (seconds < 0 || seconds > kLongestWait) return std::nullopt;
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(
             std::chrono::duration<double>(seconds));
}

}  // namespace
}  // namespace blockformer

using namespace blockformer;  // NOLINT(google-build-using-namespace)

// NOLINTBEGIN(readability-identifier-naming)
const char* bf_version(void) { return kVersion; }

int32_t bf_interface_version(void) { return BF_INTERFACE_VERSION; }

const char* bf_last_error(void) { return LastError(); }

const char* bf_status_name(bf_status status) {
  switch (status) {
    case BF_OK:
      return "ok";
    case BF_INVALID_ARGUMENT:
      return "invalid argument";
    case BF_NOT_FOUND:
      return "not found";
    case BF_CORRUPT:
      return "corrupt";
    case BF_UNSUPPORTED:
      return "unsupported";
    case BF_IO:
      return "input or output";
    case BF_EXHAUSTED:
      return "exhausted";
    case BF_INTERRUPTED:
      return "interrupted";
    case BF_INTERNAL:
      return "internal";
    case BF_FULL:
      return "full";
    case BF_TIMEOUT:
      return "timeout";
    case BF_IDLE:
      return "idle";
    default:
      return "unknown";
  }
}

bf_status bf_engine_options_init(bf_engine_options* options, size_t struct_size) {
  return Guarded([&] {
    WriteStruct(DefaultEngineOptions(), struct_size, "options", options);
    return BF_OK;
  });
}

bf_status bf_request_options_init(bf_request_options* options, size_t struct_size) {
  return Guarded([&] {
    WriteStruct(DefaultRequestOptions(), struct_size, "options", options);
    return BF_OK;
  });
}

bf_status bf_engine_load(const char* model_directory, const bf_engine_options* options,
                         bf_engine** engine) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    *engine = nullptr;
    RequireNotNull(model_directory, "model_directory");
    *engine = new bf_engine{LoadedEngine(model_directory, ReadEngineOptions(options))};
    return BF_OK;
  });
}

bf_status bf_engine_stop(bf_engine* engine) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    engine->loaded.Stop();
    return BF_OK;
  });
}

void bf_engine_free(bf_engine* engine) {
  if (InCallback()) {
    LogWarning("bf_engine_free: called from a callback, which it would wait for; nothing is freed");
    return;
  }
  delete engine;
}

bf_status bf_engine_get_info(const bf_engine* engine, bf_engine_info* info) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    RequireNotNull(info, "info");
    WriteStruct(engine->loaded.info(), info->struct_size, "info", info);
    return BF_OK;
  });
}

bf_status bf_engine_get_stats(const bf_engine* engine, bf_engine_stats* stats) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    RequireNotNull(stats, "stats");
    WriteStruct(engine->loaded.stats(), stats->struct_size, "stats", stats);
    return BF_OK;
  });
}

bf_status bf_tokenize(const bf_engine* engine, bf_text text, int32_t flags, int32_t* ids,
                      size_t capacity, size_t* count) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    RequireRoom(ids, capacity, count, "ids");
    Require((flags & ~(BF_NO_PREFIX | BF_PARSE_SPECIAL)) == 0, ErrorCode::kInvalidArgument,
            "flags: {} has unknown ones", flags);
    CopyOut(engine->loaded.Tokenize(ReadText(text, "text"), (flags & BF_NO_PREFIX) == 0,
                                    (flags & BF_PARSE_SPECIAL) != 0),
            ids, capacity, count);
    return BF_OK;
  });
}

bf_status bf_detokenize(const bf_engine* engine, const int32_t* ids, size_t num_ids,
                        int32_t skip_special, char* text, size_t capacity, size_t* count) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    RequireRoom(text, capacity, count, "text");
    const bool skip = ReadFlag(skip_special, "skip_special");
    CopyOut(engine->loaded.Detokenize(ReadArray(ids, num_ids, "ids"), skip), text, capacity, count);
    return BF_OK;
  });
}

bf_status bf_chat_text(const bf_engine* engine, bf_text messages, int32_t add_generation_prompt,
                       char* text, size_t capacity, size_t* count) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    RequireRoom(text, capacity, count, "text");
    const bool add = ReadFlag(add_generation_prompt, "add_generation_prompt");
    CopyOut(engine->loaded.ChatText(ReadText(messages, "messages"), add), text, capacity, count);
    return BF_OK;
  });
}

bf_status bf_chat_ids(const bf_engine* engine, bf_text messages, int32_t add_generation_prompt,
                      int32_t* ids, size_t capacity, size_t* count) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    RequireRoom(ids, capacity, count, "ids");
    const bool add = ReadFlag(add_generation_prompt, "add_generation_prompt");
    CopyOut(engine->loaded.MakePrompt(ReadText(messages, "messages"), add).ids, ids, capacity,
            count);
    return BF_OK;
  });
}

bf_status bf_queue_create(bf_queue** queue) {
  return Guarded([&] {
    RequireNotNull(queue, "queue");
    *queue = nullptr;
    *queue = new bf_queue{std::make_shared<EventQueue>()};
    return BF_OK;
  });
}

void bf_queue_free(bf_queue* queue) {
  if (queue == nullptr) return;
  Guarded([&] {
    queue->events->Close();
    return BF_OK;
  });
  delete queue;
}

bf_status bf_queue_next(bf_queue* queue, double timeout_seconds, bf_event** event) {
  return Guarded([&] {
    RequireNotNull(event, "event");
    *event = nullptr;
    RequireNotNull(queue, "queue");
    Require(!InCallback(), ErrorCode::kInvalidArgument,
            "bf_queue_next: called from a callback, which it might wait for");
    std::unique_ptr<Event> next;
    const bf_status status = queue->events->Next(ReadTimeout(timeout_seconds), &next);
    *event = next.release();
    return status;
  });
}

void bf_event_free(bf_event* event) { delete static_cast<Event*>(event); }

bf_status bf_submit_text(bf_engine* engine, bf_queue* queue, bf_text prompt,
                         const bf_request_options* options, int64_t* request) {
  return Submit(engine, queue, options, request, [&](RequestSettings*) {
    return engine->loaded.Tokenize(ReadText(prompt, "prompt"), /*add_prefix=*/true,
                                   /*parse_special=*/false);
  });
}

bf_status bf_submit_ids(bf_engine* engine, bf_queue* queue, const int32_t* ids, size_t num_ids,
                        const bf_request_options* options, int64_t* request) {
  return Submit(engine, queue, options, request, [&](RequestSettings*) {
    const auto prompt = ReadArray(ids, num_ids, "ids");
    return std::vector<int32_t>(prompt.begin(), prompt.end());
  });
}

bf_status bf_check_ids(const bf_engine* engine, const int32_t* ids, size_t num_ids,
                       const bf_request_options* options) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    const RequestSettings settings = ReadRequestOptions(options);
    const auto prompt = ReadArray(ids, num_ids, "ids");
    engine->loaded.Check({prompt.begin(), prompt.end()}, settings);
    return BF_OK;
  });
}

bf_status bf_submit_chat(bf_engine* engine, bf_queue* queue, bf_text messages,
                         const bf_request_options* options, int64_t* request) {
  return Submit(engine, queue, options, request, [&](RequestSettings* settings) {
    ChatPrompt prompt = engine->loaded.MakePrompt(ReadText(messages, "messages"),
                                                  /*add_generation_prompt=*/true);
    if (!settings->left_padding) settings->left_padding = prompt.left_padding;
    return std::move(prompt.ids);
  });
}

bf_status bf_cancel(bf_engine* engine, int64_t request) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    engine->loaded.Cancel(request);
    return BF_OK;
  });
}

bf_status bf_score(bf_engine* engine, const bf_score_input* inputs, size_t count,
                   bf_score_result** results) {
  return Guarded([&] {
    RequireNotNull(results, "results");
    *results = nullptr;
    RequireNotNull(engine, "engine");
    std::vector<ScoredText> texts;
    for (const bf_score_input& input : ReadArray(inputs, count, "inputs")) {
      texts.push_back(ReadScoreInput(input));
    }
    *results = CopyScores(engine->loaded.ScoreTexts(texts));
    return BF_OK;
  });
}

bf_status bf_check_score(const bf_engine* engine, const bf_score_input* input) {
  return Guarded([&] {
    RequireNotNull(engine, "engine");
    RequireNotNull(input, "input");
    engine->loaded.CheckText(ReadScoreInput(*input));
    return BF_OK;
  });
}

void bf_scores_free(bf_score_result* results) { std::free(results); }
// NOLINTEND(readability-identifier-naming)
