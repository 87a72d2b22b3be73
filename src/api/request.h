#ifndef BLOCKFORMER_API_REQUEST_H_
#define BLOCKFORMER_API_REQUEST_H_

#include <cstdint>
#include <memory>

#include "api/event_queue.h"
#include "api/open_requests.h"
#include "api/options.h"
#include "engine/engine_loop.h"
#include "engine/text_stream.h"

namespace blockformer {

// Whether the calling thread is inside a caller's callback, from where some functions would wait
// for themselves.
bool InCallback();

// A submitted request on its way: makes events of tokens. Of the engine's thread, once it was
// submitted.
class Request {
 public:
  // `queue` is null for a request with a callback. The tokenizer outlives the engine's thread.
  Request(int64_t number, const RequestSettings& settings, const Tokenizer& tokenizer,
          std::shared_ptr<OpenRequests> open, std::shared_ptr<EventQueue> queue);
  // Tells of an end that nobody has told.
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  // What its events say of the prompt.
  void SetPrompt(int64_t tokens, int64_t cut);

  // As TokenCallback and FailureCallback.
  bool Take(const GeneratedTokens& tokens);
  void Fail(const Error& error);

  // It was not submitted: no event comes.
  void Forget();

 private:
  void TakeLogProbabilities(std::span<const TokenLogProbabilities> values);
  void End(int32_t finish);
  // Hands the event on and begins the next one. Returns false if nobody wants more.
  bool Send();

  const int64_t number_;
  const bool at_end_;
  const bf_callback callback_;
  void* const user_;
  TextStream stream_;
  std::shared_ptr<OpenRequests> open_;
  std::shared_ptr<EventQueue> queue_;
  int64_t prompt_tokens_ = 0;
  int64_t cut_tokens_ = 0;
  std::unique_ptr<Event> event_;
  bool ended_ = false;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_API_REQUEST_H_
