#include "server/generation.h"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <utility>

#include "engine/json_constraint.h"
#include "server/api_error.h"

namespace blockformer {

const char* ApiFinishReason(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

std::shared_ptr<Generation> Generation::Start(
    const boost::asio::any_io_executor& executor, EngineLoop* loop, const ServedModel& model,
    const GenerationSettings& settings, std::vector<Sequence> sequences,
    std::optional<std::chrono::steady_clock::time_point> deadline) {
  std::shared_ptr<Generation> generation(new Generation(executor, loop));
  const auto now = Clock::now();
  std::vector<LoopRequest> requests;
  for (size_t i = 0; i < sequences.size(); ++i) {
    generation->progress_.push_back(
        {TextStream(model.tokenizer, settings.stop, sequences[i].max_tokens), now});
    requests.push_back(generation->MakeRequest(i, settings, std::move(sequences[i])));
    requests.back().deadline = deadline;
  }
  try {
    generation->ids_ = loop->Submit(std::move(requests));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kExhausted) throw ToApiError(error);
    throw ApiError(429, error.what(), "", "queue_full");
  }
  return generation;
}

LoopRequest Generation::MakeRequest(size_t index, const GenerationSettings& settings,
                                    Sequence sequence) {
  LoopRequest request;
  request.generation.prompt = std::move(sequence.prompt);
  request.generation.max_tokens = sequence.max_tokens;
  request.generation.stop_at_eos = !settings.ignore_eos;
  request.generation.sampling = settings.sampling;
  request.generation.stream = sequence.stream;
  request.generation.left_padding = sequence.left_padding;
  request.generation.stop_ids = settings.stop_ids;
  if (settings.json) request.generation.make_constraint = JsonConstraint(settings.json);
  request.generation.log_probabilities = settings.log_probabilities;
  const auto self = shared_from_this();
  request.on_tokens = [self, index](const GeneratedTokens& tokens) {
    return self->Take(index, tokens);
  };
  request.on_failure = [self](const Error& error) { self->Fail(error); };
  return request;
}

bool Generation::Take(size_t index, const GeneratedTokens& tokens) {
  if (cancelled_) return false;
  Progress& progress = progress_[index];
  const int64_t before = progress.stream.num_tokens();
  GenerationEvent event;
  event.sequence = index;
  event.text = progress.stream.Take(tokens.ids, tokens.finished);
  const auto taken = static_cast<size_t>(progress.stream.num_tokens() - before);
  const auto ids = tokens.ids.first(taken);
  event.ids.assign(ids.begin(), ids.end());
  if (!tokens.log_probabilities.empty()) {
    const auto values = tokens.log_probabilities.first(taken);
    event.log_probabilities.assign(values.begin(), values.end());
  }
  event.ended = progress.stream.ended();
  event.reason = progress.stream.reason();
  const auto now = Clock::now();
  event.seconds = std::chrono::duration<double>(now - progress.last).count();
  event.is_first = !std::exchange(progress.began, true);
  progress.last = now;
  const bool goes_on = !event.ended;
  bool was_empty = false;
  {
    const std::lock_guard lock(mutex_);
    was_empty = events_.empty();
    events_.push_back(std::move(event));
  }
  if (was_empty) Wake();
  return goes_on;
}

void Generation::Fail(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    const bool is_late = dynamic_cast<const DeadlineError*>(&error) != nullptr;
    if (!failure_) failure_ = is_late ? RequestTimeout() : ToApiError(error);
  }
  Wake();
}

void Generation::Wake() {
  boost::asio::post(signal_.get_executor(),
                    [self = shared_from_this()] { self->signal_.cancel(); });
}

boost::asio::awaitable<std::vector<GenerationEvent>> Generation::Next() {
  while (true) {
    if (cancelled_) throw boost::system::system_error(boost::asio::error::connection_reset);
    {
      const std::lock_guard lock(mutex_);
      if (!events_.empty()) co_return std::exchange(events_, {});
      if (failure_) {
        const ApiError error = *failure_;
        throw error;
      }
    }
    boost::system::error_code ignored;
    signal_.expires_at(Clock::time_point::max());
    co_await signal_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
}

void Generation::Cancel() {
  if (cancelled_.exchange(true)) return;
  loop_->Cancel(ids_);
  signal_.cancel();
}

}  // namespace blockformer
