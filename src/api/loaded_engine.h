#ifndef BLOCKFORMER_API_LOADED_ENGINE_H_
#define BLOCKFORMER_API_LOADED_ENGINE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/event_queue.h"
#include "api/options.h"
#include "engine/engine_loop.h"
#include "engine/json_formats.h"
#include "engine/scorer.h"
#include "engine/text_engine.h"
#include "eval/scored_text.h"
#include "text/chat_prompt.h"
#include "text/tokenizer.h"

namespace blockformer {

// What the C interface calls an engine. Thread-safe. All functions throw Error.
class LoadedEngine {
 public:
  LoadedEngine(const std::string& directory, const LoadSettings& settings);
  // Stop().
  ~LoadedEngine();
  LoadedEngine(const LoadedEngine&) = delete;
  LoadedEngine& operator=(const LoadedEngine&) = delete;

  // See bf_engine_stop(). Error(kInvalidArgument) from callbacks, as of Score().
  void Stop();

  bf_engine_info info() const;
  bf_engine_stats stats() const;

  std::vector<int32_t> Tokenize(std::string_view text, bool add_prefix, bool parse_special) const;
  std::string Detokenize(std::span<const int32_t> ids, bool skip_special) const;
  // `messages` is JSON, see bf_chat_text().
  std::string ChatText(std::string_view messages, bool add_generation_prompt) const;
  ChatPrompt MakePrompt(std::string_view messages, bool add_generation_prompt) const;

  // Queues a request and returns its number. With a callback in the settings, `queue` is null.
  // Throws FullError if no more can wait.
  int64_t Submit(std::vector<int32_t> prompt, RequestSettings settings,
                 std::shared_ptr<EventQueue> queue);
  // Throws what Submit() would for what is wrong with the request itself. Queues nothing.
  void Check(std::vector<int32_t> prompt, const RequestSettings& settings) const;
  void Cancel(int64_t request);

  struct Score {
    std::vector<double> tokens;  // log-likelihoods
    double log_likelihood = 0;   // NaN if it is not finite
    bool is_greedy = true;
    int64_t cut_tokens = 0;
  };
  std::vector<Score> ScoreTexts(std::span<const ScoredText> texts);
  // Throws what ScoreTexts() would for what is wrong with a text, without its place.
  void CheckText(const ScoredText& text) const;

 private:
  // A request, its events apart.
  struct Prepared {
    LoopRequest request;
    int64_t cut = 0;  // tokens cut off the prompt's beginning
  };
  Prepared Prepare(std::vector<int32_t> prompt, const RequestSettings& settings) const;
  LoadedEngine(TextModel loaded, const std::string& directory, const LoadSettings& settings);
  // Requests of one text, one after the other.
  std::vector<ScoreRequest> EncodeForScore(const ScoredText& text) const;
  // The requests of several texts, and how many each has.
  struct EncodedTexts {
    std::vector<ScoreRequest> requests;
    std::vector<size_t> counts;
  };
  EncodedTexts EncodeTexts(std::span<const ScoredText> texts) const;
  // On the engine's thread, between two of its steps.
  std::vector<std::vector<TokenScore>> ScoreOnEngine(std::vector<ScoreRequest> requests);
  const ChatTemplate& RequireChatTemplate() const;
  const Tokenizer& parsing_tokenizer() const {
    return chat_.tokenizer ? *chat_.tokenizer : tokenizer_;
  }
  // A thread does not follow into a process that was forked.
  bool IsHere() const;
  void RequireHere() const;

  const pid_t process_;
  const std::string directory_;
  Tokenizer tokenizer_;
  std::shared_ptr<const Model> model_;
  int32_t prefix_id_;  // before scored texts, as PrefixTokenId() has it
  ChatFormat chat_;
  // Thread-safe, and of no consequence for what is seen from outside.
  std::unique_ptr<JsonFormats> formats_ = std::make_unique<JsonFormats>();
  std::string device_;
  std::unique_ptr<Scorer> scorer_;  // of the loop's thread
  std::unique_ptr<EngineLoop> loop_;
  std::shared_ptr<OpenRequests> open_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_API_LOADED_ENGINE_H_
