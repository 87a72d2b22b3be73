#ifndef BLOCKFORMER_SERVER_TEXT_ANSWER_H_
#define BLOCKFORMER_SERVER_TEXT_ANSWER_H_

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/completion_request.h"
#include "server/connection.h"
#include "server/generation.h"
#include "server/log_probabilities.h"
#include "server/server_context.h"

namespace blockformer {

// A text that is being generated: all of it so far, or in a stream what was not yet sent.
struct TextChoice {
  std::string text;
  bool has_tokens = false;
  std::optional<LogProbabilities> log_probabilities;  // of its tokens, if they were asked for
  FinishReason reason = FinishReason::kLength;

  const LogProbabilities* Values() const {
    return log_probabilities ? &*log_probabilities : nullptr;
  }
};

// What stands in "choices": a choice, or a part of one in an event.
struct ChoicePart {
  OrderedJson text;                                     // an object of the member that holds it
  const LogProbabilities* log_probabilities = nullptr;  // "logprobs"
  bool ended = false;                                   // "finish_reason" is not null
};

// Answers a request for generated texts, at once or as a stream of events. Derived classes decide
// what the texts look like in JSON.
class TextAnswer {
 public:
  virtual ~TextAnswer() = default;

  // Throws ApiError, and boost::system::system_error if the client goes away.
  boost::asio::awaitable<void> Run();

 protected:
  // The arguments outlive the answer.
  TextAnswer(ServerContext* context, Exchange* exchange, const GenerationSettings& settings);

  // One for each choice; none if nothing is to be generated.
  virtual std::vector<Generation::Sequence> Sequences() const = 0;
  virtual size_t NumChoices() const = 0;
  // Called after the sequences were queued and before anything is answered.
  virtual boost::asio::awaitable<void> Prepare();
  // A choice before its first token. If it holds anything, a stream begins with it.
  virtual TextChoice Begin(size_t index) const = 0;
  // The member that holds a whole choice's text.
  virtual OrderedJson TextMember(const TextChoice& choice) const = 0;
  // The parts of a choice that are sent in events, in order.
  virtual std::vector<ChoicePart> EventParts(const TextChoice& choice, bool begins,
                                             bool ended) const = 0;
  // The fields before "choices".
  virtual OrderedJson Envelope(bool is_event) const = 0;

  const ServedModel& model() const { return *context_->model; }
  const GenerationSettings& settings() const { return settings_; }
  const std::string& request_id() const { return exchange_->request().id; }
  int64_t created() const { return created_; }
  void CountPrompt(int64_t tokens);

  ServerContext* context_;
  Exchange* exchange_;

 private:
  // Throws ApiError(400) if more texts are asked for than the server ever has places for.
  void RequirePlaces() const;
  boost::asio::awaitable<void> Collect(Generation* generation);
  boost::asio::awaitable<void> SendWhole(const std::vector<TextChoice>& choices);
  boost::asio::awaitable<void> Stream(Generation* generation);
  // Writes to `choice` what an event has added to it.
  boost::asio::awaitable<void> Append(GenerationEvent event, TextChoice* choice);
  OrderedJson Usage() const;
  // The text of the events with what a choice holds so far, which is then removed from it.
  std::string Emit(size_t index, bool begins, bool ended, TextChoice* choice) const;
  std::string UsageEvent() const;

  const GenerationSettings& settings_;
  int64_t created_;
  int64_t prompt_tokens_ = 0;
  int64_t generated_tokens_ = 0;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_TEXT_ANSWER_H_
