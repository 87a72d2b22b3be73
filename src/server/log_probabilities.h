#ifndef BLOCKFORMER_SERVER_LOG_PROBABILITIES_H_
#define BLOCKFORMER_SERVER_LOG_PROBABILITIES_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runner/sampling.h"
#include "server/served_model.h"

namespace blockformer {

// The log-probabilities of a text's tokens as JSON, which is written as the tokens come: a tree of
// its values would take many times the memory.
class LogProbabilities {
 public:
  using Entries = std::span<const TokenLogProbabilities::Entry>;

  // The form of /v1/completions: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}. Each
  // token itself is among its "top_logprobs" too. Offsets count characters, from `first_offset` on,
  // which is -1 if the first token begins with a space that is not part of the text.
  static LogProbabilities OfCompletion(int64_t first_offset);
  // The form of /v1/chat/completions: {"content": [{"token", "logprob", "bytes", "top_logprobs"}]}.
  static LogProbabilities OfChat();
  // Those of a text that goes on from another one, which outlives them and is not copied.
  static LogProbabilities Behind(const LogProbabilities& beginning);

  // `characters`: how many the token has in the text, which offsets count (ServedModel has it).
  void Add(const ServedModel& model, int32_t id, int64_t characters, double log_probability,
           Entries top);
  // A token of a completion that is not scored: it has null.
  void AddUnscored(const ServedModel& model, int32_t id, int64_t characters);

  // Forgets what was added and what it goes on from; offsets go on.
  void Clear();

  // Appends the JSON in pieces, which are valid until this or the beginning changes.
  void AppendTo(std::vector<std::string_view>* pieces) const;

 private:
  struct List {
    std::string_view opening;  // with its name
    std::string items;         // with commas between them
  };

  void AddToCompletion(const ServedModel& model, int32_t id, int64_t characters,
                       std::string_view log_probability, std::string_view top);
  bool IsOfChat() const { return lists_.size() == 1; }

  std::vector<List> lists_;
  const LogProbabilities* beginning_ = nullptr;
  int64_t offset_ = 0;  // of the next token
};

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_LOG_PROBABILITIES_H_
