#ifndef BLOCKFORMER_TEXT_GENERATOR_H_
#define BLOCKFORMER_TEXT_GENERATOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "blockformer/sampling.h"

namespace blockformer {

struct GeneratorOptions {
  int64_t max_sequences = 32;  // generated together
  int64_t max_length = 0;      // tokens a sequence, prompt included; 0 for the trained context
  // Where the model runs: "cpu", "cuda" or "cuda:N"; "auto" is the fastest that is there.
  std::string device = "auto";
  // How the linear layers' weights lie in memory: "f32", "bf16" or "int8"; "auto" as in their
  // files.
  std::string dtype = "auto";
  std::string kv_dtype = "auto";  // the same of the KV cache: "f32", "f16" or "int8"
  // Bytes of the KV cache, reserved at the start; 0 for what max_sequences of max_length take, but
  // at most 80 % of the memory that is available.
  int64_t memory_bytes = 0;
  // Special tokens' texts in prompts, such as "<|endoftext|>", are read as plain text.
  bool plain_text = false;
  // Threads that a call of this generator uses, from whichever thread it comes, which is one of
  // them; 0 for as many as the processors that affinity and control groups allow. All generators of
  // a process share one team of threads: while it works for one generator, another one's call runs
  // on its calling thread alone. What is generated does not depend on the number.
  int threads = 0;
  // If it is set, called before every step of the model. Returning false ends what is generated.
  std::function<bool()> keep_going;
};

// What becomes of a prompt that leaves no room for max_tokens.
enum class TooLong {
  kError,         // Error(kExhausted)
  kSkip,          // nothing is generated: FinishReason::kTooLong
  kTruncateLeft,  // its last tokens are continued, as many as there is room for
};

// How text is generated: how its tokens are drawn (the same seed gives the same text), and when it
// ends.
struct TextOptions : SamplingOptions {
  int64_t max_tokens = 128;
  std::vector<std::string> stop;    // UTF-8 that ends generation, itself not part of the result
  bool ignore_end_of_text = false;  // go on after the model ends its text
  // Texts that are JSON and nothing else, and end when that is whole: any JSON object, or what
  // obeys a JSON schema (docs/serving.md says which are taken). At most one of the two, not with
  // ignore_end_of_text, and on the processor only.
  bool json_object = false;
  std::string json_schema = {};  // JSON; empty: none
  // Put nothing before the prompt, such as "<s>", because a chat template has written it already.
  bool raw_prompt = false;
  TooLong too_long = TooLong::kError;
};

// Throws Error(kInvalidArgument) that names the option and its range.
void ValidateTextOptions(const TextOptions& options);

enum class FinishReason {
  kLength,     // max_tokens were made
  kEndOfText,  // the model ended its text
  kStop,       // one of the stop texts came
  kCancelled,  // the caller wanted no more: on_text or keep_going returned false
  kError,      // in a batch: this text failed, and its `error` says why
  kTooLong,    // the prompt was skipped, see TooLong
};

struct GeneratedText {
  std::string text;             // valid UTF-8, without the prompt
  std::vector<int32_t> tokens;  // as generated, those of a stop text included
  int64_t prompt_tokens = 0;
  FinishReason reason = FinishReason::kLength;
  int64_t cut_tokens = 0;  // cut off the prompt, see TooLong; not among prompt_tokens
  std::string error;       // one line; empty but for kError
};

// Generates text from a model directory with a tokenizer. Every function throws Error. Not
// thread-safe: use one generator a thread, or one at a time.
class TextGenerator {
 public:
  // Called with each new piece of text, valid UTF-8. Returning false ends the generation.
  using OnText = std::function<bool(std::string_view piece)>;
  // A text, or ids that are continued as they are.
  using Prompt = std::variant<std::string, std::vector<int32_t>>;
  // Gives the next prompt of a batch, or nothing at its end.
  using NextPrompt = std::function<std::optional<Prompt>()>;
  // Called once a prompt, in the order in which they end; `index` counts prompts from 0. Returning
  // false ends the batch: what still runs is given up.
  using OnResult = std::function<bool(int64_t index, const GeneratedText& result)>;

  static TextGenerator Load(const std::string& model_directory,
                            const GeneratorOptions& options = {});
  TextGenerator(TextGenerator&&) noexcept;
  TextGenerator& operator=(TextGenerator&&) noexcept;
  ~TextGenerator();

  // Continues one prompt. An empty prompt begins a new text. Throws Error(kCorrupt) if the model
  // computes numbers that are not finite; what on_text got before is right.
  GeneratedText Generate(std::string_view prompt, const TextOptions& options,
                         const OnText& on_text = {});
  GeneratedText Generate(std::span<const int32_t> prompt, const TextOptions& options,
                         const OnText& on_text = {});

  // Continues many prompts, max_sequences of them together; `next` is asked as places become free.
  // Prompt i draws from stream first_stream + i of the seed, so its text does not depend on the
  // others. A prompt that cannot be generated from, or for which the model computes numbers that
  // are not finite, ends alone, with the reason kError and the text so far. Returns when all have
  // ended, or without the rest when on_result or keep_going returns false. What they throw is
  // passed on.
  void GenerateBatch(const NextPrompt& next, const TextOptions& options, const OnResult& on_result,
                     uint64_t first_stream = 0);

  // Tokens of a text, to see whether it fits.
  int64_t CountTokens(std::string_view text) const;
  // Tokens of a prompt, with what `options` have put before it; an empty prompt takes one.
  int64_t CountPromptTokens(std::string_view prompt, const TextOptions& options) const;
  int64_t max_length() const;
  // The types that weights and KV cache really have: names as in GeneratorOptions, never "auto".
  std::string dtype() const;
  std::string kv_dtype() const;

 private:
  struct Impl;
  explicit TextGenerator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_GENERATOR_H_
