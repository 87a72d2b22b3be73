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
#include "server/server_context.h"

namespace blockformer {

// One entry for each token of a text; nothing where the token is not scored.
using OptionalLogProbabilities = std::vector<std::optional<TokenLogProbabilities>>;

// A text that is being generated: all of it so far, or in a stream what was not yet sent.
struct TextChoice {
  std::string text;
  std::vector<int32_t> ids;
  OptionalLogProbabilities log_probabilities;  // of the ids, if they were asked for
  FinishReason reason = FinishReason::kLength;
  int64_t first_character = 0;  // where `text` begins in the choice, with log_probabilities alone
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
  virtual TextChoice Begin(size_t index) const;
  virtual OrderedJson ChoiceJson(size_t index, const TextChoice& choice) const = 0;
  // The events about a choice, in order: what each has in "choices".
  virtual std::vector<OrderedJson> EventChoices(size_t index, const TextChoice& choice, bool begins,
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
  boost::asio::awaitable<void> Collect(Generation* generation);
  boost::asio::awaitable<void> Stream(Generation* generation);
  void Append(GenerationEvent event, TextChoice* choice);
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
