#ifndef BLOCKFORMER_ENGINE_ENGINE_H_
#define BLOCKFORMER_ENGINE_ENGINE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "blockformer/error.h"
#include "engine/scheduler.h"
#include "runner/model.h"

namespace blockformer {

struct EngineOptions {
  int64_t max_sequences = 32;  // decoded together
  int64_t max_length = 0;      // tokens a sequence, prompt included; 0 for the trained context
  int64_t max_prefill_tokens = 2048;      // prompt tokens computed in one step
  NumberType kv_type = NumberType::kF32;  // of the KV cache: kF32, kF16 or kInt8
  // Of the KV cache, all of it reserved at the start; 0 for what max_sequences of max_length take,
  // but at most 80 % of what is available.
  int64_t memory_bytes = 0;
  bool share_prefixes = true;  // compute the same beginning of several prompts once
  // For benchmarks: of prompts only the last unit is computed, on a cache of arbitrary values, none
  // of which are shared.
  bool synthetic_prompts = false;
  PositionRule position_rule = PositionRule::kTrained;
  // Ids from here on are never chosen; 0 for the model's vocabulary size. The vocabulary tables are
  // often padded beyond the tokenizer's ids.
  int64_t num_sampled_ids = 0;
  std::vector<int32_t> excluded_ids;  // below that, never chosen either
};

struct GenerationRequest {
  std::vector<int32_t> prompt;  // empty stands for the end-of-text token alone
  // 0 on prompt tokens that are padding on the left; empty if there are none. In a block model they
  // still take up positions, as in the published implementation.
  std::vector<uint8_t> prompt_mask;
  // Padding that the engine puts before the prompt of a block model, 0 to L - 1. Without one, as
  // much as makes the prompt whole blocks. With another, generation begins inside a block: so a
  // longer prompt that goes on from this one's text finds its blocks in the cache if it has the
  // same padding. A prompt and padding that do not fill a block get the first sort.
  std::optional<int64_t> left_padding;
  int64_t max_tokens = 0;
  bool stop_at_eos = true;
  std::vector<int32_t> stop_ids;      // end the text as the end-of-text token does
  std::vector<int32_t> excluded_ids;  // never chosen, beside those of EngineOptions; not all
  // Says what else may not be chosen, if there is one. Only for models that obey constraints.
  TokenConstraintFactory make_constraint;
  SamplingOptions sampling;
  uint64_t stream = 0;   // sequences with equal seed and stream draw alike
  int32_t priority = 0;  // higher ones go first; equal ones as they came
  // How many of the likeliest tokens to tell of beside each generated one, 0 to
  // kMaxTopLogProbabilities; without a number, no log-probabilities are computed.
  std::optional<int64_t> log_probabilities;
};

// Throws Error(kInvalidArgument) for ids out of range or bad options, Error(kExhausted) if prompt
// and max_tokens exceed max_length, Error(kUnsupported) for a constraint that the model's runners
// do not obey. `options` are those of an engine of `model`.
void ValidateRequest(const GenerationRequest& request, const Model& model,
                     const EngineOptions& options);

// What a step has made for a sequence.
struct GeneratedTokens {
  std::span<const int32_t> ids;
  std::span<const TokenLogProbabilities> log_probabilities;  // of `ids`, or empty if not asked for
  bool finished = false;  // the sequence has ended: no further call comes
  // If it ended for an end-of-text token or one of the stop ids: which; it is not among `ids`.
  std::optional<int32_t> stop_id;
};

// Called with what each step has made, in order; the last call has `finished` set and may bring no
// tokens. Returning false ends the sequence: no further call comes.
using TokenCallback = std::function<bool(const GeneratedTokens& tokens)>;

// Called once, in place of the last TokenCallback, if a sequence fails: the model computed numbers
// for it that are not finite (kCorrupt), or its constraint allows none of the tokens
// (kUnsupported).
using FailureCallback = std::function<void(const Error& error)>;

// Generates for many sequences at once. Every step carries all of them forward by one unit: a
// block, or a token of a vanilla model; sequences join and leave between steps. What a sequence
// generates does not depend on the others. Not thread-safe; several engines may share one model.
class Engine {
 public:
  // Throws Error(kInvalidArgument) for options out of range, Error(kExhausted) if the KV cache
  // cannot hold a sequence of max_length; the message names the largest that fits.
  Engine(std::shared_ptr<const Model> model, const EngineOptions& options);
  ~Engine();

  // Queues a request and returns its number. Without `on_failure`, a failure is thrown by Step().
  // Throws as ValidateRequest does.
  int64_t Submit(GenerationRequest request, TokenCallback callback,
                 FailureCallback on_failure = {});

  // Ends a sequence; no further call of its callback comes. Not for use by callbacks, which return
  // false instead.
  void Cancel(int64_t id);

  // Carries out one step. Returns false if there was nothing to do. A sequence that fails, or whose
  // callback throws, ends alone: the others get their tokens, then the first failure that nobody is
  // told of, or what the first callback threw, is thrown, and further steps are possible. If
  // the step itself throws, as a device's fault or std::bad_alloc do, nothing is left of any
  // sequence, and the engine has failed.
  bool Step();

  // Steps until all sequences have ended.
  void Run();

  const Model& model() const { return *model_; }
  // Whether a step has thrown: nobody knows what the runner holds then, and Submit() and Step()
  // throw Error(kInternal) ever after.
  bool has_failed() const { return runner_ == nullptr; }

  // With all that was left open filled in.
  const EngineOptions& options() const { return options_; }
  EngineStats stats() const { return scheduler_.stats(); }

 private:
  struct Sequence;

  void WarnBeyondContext(int64_t length);
  // For the scheduler; nothing if no prefixes are shared.
  Scheduler::ReadUnits UnitReader() const;
  std::unique_ptr<Sequence> MakeSequence(GenerationRequest request) const;
  // Starts as many steps as the runner takes.
  void StartSteps();
  void StartStep(const StepPlan& plan);
  // Starts what can be started, and takes over what the oldest step has made. Returns what
  // generated in it; nothing if there is none.
  std::optional<std::vector<int64_t>> RunStep();
  std::vector<int64_t> FinishStep();
  void RequireNotFailed() const;
  void OpenSequence(const Sequence& sequence, int64_t place);
  // Takes over what a step has made for its generating sequence number `index`.
  void Append(int64_t id, int64_t index, const StepResult& result);
  // Hands a unit's new tokens on, and ends the sequence if they or its callback say so. Throws what
  // a callback throws, or the failure of a sequence of which nobody wants to be told.
  void Deliver(int64_t id);
  // Why no token could be chosen behind so many.
  Error FailureAfter(int64_t generated, bool is_constrained) const;

  std::shared_ptr<const Model> model_;
  EngineOptions options_;
  Scheduler scheduler_;
  std::unique_ptr<Runner> runner_;  // null after one of its steps has thrown
  std::map<int64_t, std::unique_ptr<Sequence>> sequences_;
  std::deque<std::vector<int64_t>> under_way_;  // of each started step, what generates in it
  bool warned_beyond_context_ = false;
};

// Submits all requests, runs them to their end, and returns the tokens of each. Throws
// Error(kCorrupt) if one fails.
std::vector<std::vector<int32_t>> GenerateAll(Engine* engine,
                                              std::vector<GenerationRequest> requests);

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_ENGINE_H_
