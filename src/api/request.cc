#include "api/request.h"

#include <utility>

#include "api/status.h"
#include "base/log.h"

namespace blockformer {
namespace {

thread_local bool in_callback = false;

int32_t FinishOf(FinishReason reason) {
  if (reason == FinishReason::kStop) return BF_FINISH_STOP;
  return reason == FinishReason::kLength ? BF_FINISH_LENGTH : BF_FINISH_END_OF_TEXT;
}

bool CallBack(bf_callback callback, void* user, const Event& event) {
  const bool before = std::exchange(in_callback, true);
  int32_t answer = 1;
  try {
    answer = callback(user, &event);
  } catch (...) {  // against its contract
    LogWarning("the callback of request {} has thrown; the request is cancelled", event.request);
  }
  in_callback = before;
  return answer == 0;
}

}  // namespace

bool InCallback() { return in_callback; }

Request::Request(int64_t number, const RequestSettings& settings, const Tokenizer& tokenizer,
                 std::shared_ptr<OpenRequests> open, std::shared_ptr<EventQueue> queue)
    : number_(number),
      at_end_(settings.at_end),
      callback_(settings.callback),
      user_(settings.user),
      stream_(tokenizer, settings.text.stop, settings.text.max_tokens),
      open_(std::move(open)),
      queue_(std::move(queue)),
      event_(std::make_unique<Event>()) {
  if (queue_) queue_->Open(number_, open_);
}

Request::~Request() {
  if (ended_) return;
  try {
    Fail(Error(ErrorCode::kInternal, "the request was lost"));
  } catch (const std::exception& error) {
    LogWarning("a request ends without an event: {}", error.what());
  }
}

void Request::SetPrompt(int64_t tokens, int64_t cut) {
  prompt_tokens_ = tokens;
  cut_tokens_ = cut;
}

bool Request::Take(const GeneratedTokens& tokens) {
  const int64_t before = stream_.num_tokens();
  event_->text_bytes += stream_.Take(tokens.ids, tokens.finished);
  const auto taken = static_cast<size_t>(stream_.num_tokens() - before);
  const auto ids = tokens.ids.first(taken);
  event_->id_list.insert(event_->id_list.end(), ids.begin(), ids.end());
  if (!tokens.log_probabilities.empty()) {
    TakeLogProbabilities(tokens.log_probabilities.first(taken));
  }
  if (!stream_.ended()) return at_end_ || Send();
  event_->stop_id = tokens.stop_id.value_or(-1);
  End(FinishOf(stream_.reason()));
  return false;
}

void Request::TakeLogProbabilities(std::span<const TokenLogProbabilities> values) {
  for (const TokenLogProbabilities& value : values) {
    event_->values.push_back(value.chosen);
    event_->num_top = value.top.size();
    for (const TokenLogProbabilities::Entry& entry : value.top) {
      event_->top_id_list.push_back(entry.id);
      event_->top_values.push_back(entry.log_probability);
    }
  }
}

void Request::Fail(const Error& error) {
  event_->text_bytes += stream_.Flush();
  event_->error = StatusOf(error.code());
  event_->error_text = error.what();
  End(BF_FINISH_ERROR);
}

void Request::End(int32_t finish) {
  ended_ = true;
  const bool cancelled = open_->Close(number_);
  event_->finish = finish;
  if (cancelled && finish == BF_FINISH_ERROR) {
    event_->finish = BF_FINISH_CANCELLED;
    event_->error = BF_OK;
    event_->error_text.clear();
  }
  Send();
}

bool Request::Send() {
  std::unique_ptr<Event> event = std::exchange(event_, std::make_unique<Event>());
  event->request = number_;
  event->prompt_tokens = prompt_tokens_;
  event->cut_tokens = cut_tokens_;
  if (event->finish != BF_FINISH_END_OF_TEXT) event->stop_id = -1;
  event->Finish();
  if (queue_) return queue_->Push(std::move(event));
  const bool goes_on = CallBack(callback_, user_, *event);
  if (!goes_on && !ended_) {
    ended_ = true;
    open_->Close(number_);
  }
  return goes_on;
}

void Request::Forget() {
  ended_ = true;
  if (queue_) queue_->Forget(number_);
}

}  // namespace blockformer
