#include "engine/engine.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/integer.h"
#include "base/log.h"
#include "base/matrix.h"

namespace blockformer {
namespace {

constexpr int64_t kPageSize = 16;
constexpr int64_t kMemoryPercent = 80;
constexpr int64_t kMaxSequences = 1 << 16;

int64_t UnitsOfLength(const Model& model, int64_t tokens) {
  return DivideUp(tokens, model.unit_length()) + 1;  // one more for an unaligned prompt
}

// Returns the budget of the KV cache, whole pages. Refuses one that is too small or not there.
int64_t CompleteMemory(const Model& model, const EngineOptions& options) {
  const int64_t available = model.AvailableBytes();
  Require(options.memory_bytes >= 0 && options.memory_bytes <= available,
          ErrorCode::kInvalidArgument, "`memory_bytes`: {} is out of range; {} bytes are available",
          options.memory_bytes, available);
  const int64_t page_bytes = model.BytesPerPage(options.kv_type, kPageSize);
  const int64_t sequence_pages = DivideUp(UnitsOfLength(model, options.max_length), kPageSize);
  const int64_t pages = options.memory_bytes > 0
                            ? options.memory_bytes / page_bytes
                            : std::min(options.max_sequences * sequence_pages,
                                       available / 100 * kMemoryPercent / page_bytes);
  Require(pages >= 1, ErrorCode::kExhausted,
          "`memory_bytes`: {} bytes hold no page of the KV cache, which has {}; a sequence of "
          "`max_length` {} takes {}",
          options.memory_bytes > 0 ? options.memory_bytes : available / 100 * kMemoryPercent,
          page_bytes, options.max_length, sequence_pages * page_bytes);
  const int64_t largest = (pages * kPageSize - 1) * model.unit_length();
  Require(
      pages >= sequence_pages, ErrorCode::kExhausted,
      "`max_length`: {} tokens take {} bytes of KV cache, and the budget holds pages of {}; the "
      "largest that fits is {}",
      options.max_length, sequence_pages * page_bytes, pages * page_bytes, largest);
  return pages * page_bytes;
}

// Throws if a request's ids and the engine's are all that could be generated.
void RequireSomeLeft(std::vector<int32_t> excluded, const EngineOptions& options) {
  if (std::ssize(excluded) + std::ssize(options.excluded_ids) < options.num_sampled_ids) return;
  excluded.insert(excluded.end(), options.excluded_ids.begin(), options.excluded_ids.end());
  std::erase_if(excluded, [&](int32_t id) { return id >= options.num_sampled_ids; });
  std::ranges::sort(excluded);
  const auto repeated = std::ranges::unique(excluded);
  excluded.erase(repeated.begin(), repeated.end());
  Require(
      std::ssize(excluded) < options.num_sampled_ids, ErrorCode::kInvalidArgument,
      "excluded_ids: all {} tokens that could be generated are excluded; one at least is wanted",
      options.num_sampled_ids);
}

EngineOptions WithDefaults(const Model& model, EngineOptions options) {
  if (options.max_length == 0) options.max_length = model.config().max_length;
  if (options.num_sampled_ids == 0) options.num_sampled_ids = model.config().vocab_size;
  const auto require = [](int64_t value, int64_t max, const char* name) {
    Require(value >= 1 && value <= max, ErrorCode::kInvalidArgument,
            "{}: {} is out of range; 1 to {} is wanted", name, value, max);
  };
  require(options.max_sequences, kMaxSequences, "`max_sequences`");
  require(options.max_length, int64_t{1} << 24, "`max_length`");
  require(options.max_prefill_tokens, int64_t{1} << 24, "max_prefill_tokens");
  require(options.num_sampled_ids, model.config().vocab_size, "num_sampled_ids");
  for (const int32_t id : options.excluded_ids) {
    Require(id >= 0 && id < options.num_sampled_ids, ErrorCode::kInvalidArgument,
            "excluded_ids: {} is not in [0, {})", id, options.num_sampled_ids);
  }
  RequireSomeLeft({}, options);
  options.memory_bytes = CompleteMemory(model, options);
  return options;
}

SchedulerLimits LimitsOf(const Model& model, const EngineOptions& options) {
  SchedulerLimits limits;
  limits.max_sequences = options.max_sequences;
  limits.max_units_per_step = DivideUp(options.max_prefill_tokens, model.unit_length());
  limits.page_size = kPageSize;
  limits.num_pages = options.memory_bytes / model.BytesPerPage(options.kv_type, kPageSize);
  return limits;
}

RunnerOptions RunnerOptionsOf(const Model& model, const EngineOptions& options) {
  RunnerOptions runner;
  runner.places = options.max_sequences;
  runner.num_pages = LimitsOf(model, options).num_pages;
  runner.page_size = kPageSize;
  runner.max_units = UnitsOfLength(model, options.max_length);
  runner.kv_type = options.kv_type;
  runner.position_rule = options.position_rule;
  runner.token_filter = {options.num_sampled_ids, options.excluded_ids};
  std::ranges::sort(runner.token_filter.excluded);
  runner.fill_cache = options.synthetic_prompts;
  return runner;
}

void CheckIds(const std::vector<int32_t>& ids, int64_t vocab_size, const char* name) {
  for (const int32_t id : ids) {
    Require(id >= 0 && id < vocab_size, ErrorCode::kInvalidArgument,
            "{}: token id {} is not in [0, {})", name, id, vocab_size);
  }
}

}  // namespace

void ValidateRequest(const GenerationRequest& request, const Model& model,
                     const EngineOptions& options) {
  const int64_t vocab_size = model.config().vocab_size;
  ValidateSampling(request.sampling, vocab_size);
  Require(request.max_tokens >= 1, ErrorCode::kInvalidArgument,
          "`max_tokens`: {} is out of range; 1 or more is wanted", request.max_tokens);
  CheckIds(request.prompt, vocab_size, "prompt");
  CheckIds(request.stop_ids, vocab_size, "stop_ids");
  CheckIds(request.excluded_ids, vocab_size, "excluded_ids");
  RequireSomeLeft(request.excluded_ids, options);
  Require(request.prompt_mask.empty() || request.prompt_mask.size() == request.prompt.size(),
          ErrorCode::kInvalidArgument, "prompt_mask: has {} entries for {} tokens",
          request.prompt_mask.size(), request.prompt.size());
  Require(request.left_padding.value_or(0) >= 0 &&
              request.left_padding.value_or(0) < model.unit_length(),
          ErrorCode::kInvalidArgument, "left_padding: {} is out of range; 0 to {} is wanted",
          request.left_padding.value_or(0), model.unit_length() - 1);
  Require(request.log_probabilities.value_or(0) >= 0 &&
              request.log_probabilities.value_or(0) <= kMaxTopLogProbabilities,
          ErrorCode::kInvalidArgument, "log_probabilities: {} is out of range; 0 to {} is wanted",
          request.log_probabilities.value_or(0), kMaxTopLogProbabilities);
  Require(!request.make_constraint || model.obeys_constraints(), ErrorCode::kUnsupported,
          "texts of a given form cannot be generated on the device {}; on the device cpu they can",
          model.device());
  const int64_t prompt_length = std::max<int64_t>(1, std::ssize(request.prompt));
  Require(request.max_tokens <= options.max_length - prompt_length, ErrorCode::kExhausted,
          "a prompt of {} tokens and max_tokens {} exceed the maximal length {}", prompt_length,
          request.max_tokens, options.max_length);
}

// What the engine knows of one request.
struct Engine::Sequence {
  int64_t length() const { return std::ssize(tokens); }

  GenerationRequest request;
  TokenCallback callback;
  FailureCallback on_failure;
  // The prompt, padded on the left, and what was generated. Whole units, but for a prompt that ends
  // inside one, until that is full.
  std::vector<int32_t> tokens;
  int64_t prompt_begin = 0;          // where the prompt begins in `tokens`
  int64_t prompt_end = 0;            // and where it ends
  std::vector<uint8_t> prompt_mask;  // of `tokens` up to there; 0 on padding
  // Of the last step, not delivered yet.
  std::vector<int32_t> fresh;
  std::vector<TokenLogProbabilities> fresh_log_probabilities;
  int64_t delivered = 0;        // generated tokens
  bool failed = false;          // behind `fresh` no token could be chosen
  bool is_constrained = false;  // since the constraint allowed none
};

Engine::Engine(std::shared_ptr<const Model> model, const EngineOptions& options)
    : model_(std::move(model)),
      options_(WithDefaults(*model_, options)),
      scheduler_(LimitsOf(*model_, options_), UnitReader()),
      runner_(model_->MakeRunner(RunnerOptionsOf(*model_, options_))) {}

Engine::~Engine() = default;

int64_t Engine::Submit(GenerationRequest request, TokenCallback callback,
                       FailureCallback on_failure) {
  RequireNotFailed();
  if (request.prompt.empty()) {
    request.prompt.push_back(static_cast<int32_t>(model_->config().eos_token_id));
    request.prompt_mask.clear();
  }
  ValidateRequest(request, *model_, options_);
  WarnBeyondContext(static_cast<int64_t>(request.prompt.size()) + request.max_tokens);

  const int64_t length = model_->unit_length();
  auto sequence = MakeSequence(std::move(request));
  sequence->callback = std::move(callback);
  sequence->on_failure = std::move(on_failure);
  SequenceSize size;
  size.prompt_units = sequence->prompt_end / length;
  size.total_units = DivideUp(sequence->prompt_end + sequence->request.max_tokens, length);
  size.given_units = options_.synthetic_prompts ? size.prompt_units - 1 : 0;
  const int64_t id = scheduler_.Submit(size, sequence->request.priority);
  sequences_.emplace(id, std::move(sequence));
  return id;
}

std::unique_ptr<Engine::Sequence> Engine::MakeSequence(GenerationRequest request) const {
  const int64_t length = model_->unit_length();
  const int64_t prompt_length = std::ssize(request.prompt);
  const int64_t whole = RoundUp(prompt_length, length) - prompt_length;
  auto sequence = std::make_unique<Sequence>();
  sequence->prompt_begin = request.left_padding.value_or(whole);
  if (sequence->prompt_begin + prompt_length < length) sequence->prompt_begin = whole;
  sequence->prompt_end = sequence->prompt_begin + prompt_length;
  sequence->tokens.assign(sequence->prompt_begin,
                          static_cast<int32_t>(model_->config().PromptPadId()));
  sequence->tokens.insert(sequence->tokens.end(), request.prompt.begin(), request.prompt.end());
  sequence->prompt_mask.assign(sequence->tokens.size(), 1);
  std::fill_n(sequence->prompt_mask.begin(), sequence->prompt_begin, 0);
  std::ranges::copy(request.prompt_mask, sequence->prompt_mask.begin() + sequence->prompt_begin);
  std::ranges::sort(request.excluded_ids);
  sequence->request = std::move(request);
  return sequence;
}

void Engine::Cancel(int64_t id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  const bool failed = found->second->failed;
  scheduler_.Finish(id, failed ? Scheduler::Ending::kFailed : Scheduler::Ending::kDone);
  sequences_.erase(found);
}

void Engine::RequireNotFailed() const {
  Require(!has_failed(), ErrorCode::kInternal, "the engine failed in an earlier step");
}

std::vector<int64_t> Engine::FinishStep() {
  const StepResult result = runner_->Wait();
  std::vector<int64_t> ids = std::move(under_way_.front());
  under_way_.pop_front();
  for (size_t i = 0; i < ids.size(); ++i) Append(ids[i], static_cast<int64_t>(i), result);
  scheduler_.StepDone();
  return ids;
}

std::optional<std::vector<int64_t>> Engine::RunStep() {
  RequireNotFailed();
  try {
    StartSteps();
    if (under_way_.empty()) return std::nullopt;
    return FinishStep();
  } catch (...) {
    for (const auto& [id, sequence] : sequences_) {
      scheduler_.Finish(id, Scheduler::Ending::kFailed);
    }
    sequences_.clear();
    runner_.reset();
    throw;
  }
}

bool Engine::Step() {
  const std::optional<std::vector<int64_t>> ids = RunStep();
  if (!ids) return false;
  std::exception_ptr failure;
  for (const int64_t id : *ids) {
    try {
      Deliver(id);
    } catch (...) {
      Cancel(id);
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  return true;
}

void Engine::StartSteps() {
  while (std::ssize(under_way_) < runner_->MaxStepsInFlight()) {
    const StepPlan plan = scheduler_.Plan(/*may_stop=*/under_way_.empty());
    if (plan.step.parts.empty()) return;
    StartStep(plan);
  }
}

void Engine::StartStep(const StepPlan& plan) {
  std::vector<int64_t> generating;
  for (size_t i = 0; i < plan.sequences.size(); ++i) {
    const StepPart& part = plan.step.parts[i];
    const auto [id, opens] = plan.sequences[i];
    if (opens) OpenSequence(*sequences_.at(id), part.place);
    if (part.generates) generating.push_back(id);
  }
  runner_->Start(plan.step);
  scheduler_.StepStarted();
  under_way_.push_back(std::move(generating));
}

void Engine::OpenSequence(const Sequence& sequence, int64_t place) {
  SequenceStart start;
  start.tokens = sequence.tokens;
  start.mask = sequence.prompt_mask;
  start.prompt_begin = sequence.prompt_begin;
  start.generated = sequence.length() - sequence.prompt_end;
  start.max_tokens = sequence.request.max_tokens;
  start.sampling = sequence.request.sampling;
  start.excluded_ids = sequence.request.excluded_ids;
  start.make_constraint = sequence.request.make_constraint;
  start.stream = sequence.request.stream;
  start.top_log_probabilities = sequence.request.log_probabilities.value_or(-1);
  runner_->Open(place, std::move(start));
}

void Engine::Run() {
  while (Step()) {
  }
}

void Engine::WarnBeyondContext(int64_t length) {
  const int64_t context = model_->config().max_length;
  if (length <= context || std::exchange(warned_beyond_context_, true)) return;
  LogWarning(
      "a text of up to {} tokens exceeds the context of {} that the model was trained with; "
      "what comes behind it may be poor",
      length, context);
}

// Keys and values depend on the tokens, and on which of them are padding: those are made negative.
Scheduler::ReadUnits Engine::UnitReader() const {
  if (!options_.share_prefixes || options_.synthetic_prompts) return {};
  return [this](int64_t id, int64_t begin, int64_t count) {
    const Sequence& sequence = *sequences_.at(id);
    const size_t first = begin * model_->unit_length();
    const size_t end = (begin + count) * model_->unit_length();
    std::vector<int32_t> contents;
    for (size_t i = first; i < end; ++i) {
      const bool is_padding = i < sequence.prompt_mask.size() && sequence.prompt_mask[i] == 0;
      contents.push_back(is_padding ? ~sequence.tokens[i] : sequence.tokens[i]);
    }
    return contents;
  };
}

void Engine::Append(int64_t id, int64_t index, const StepResult& result) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;  // it ended while the step was under way
  Sequence* sequence = found->second.get();
  const int64_t length = model_->unit_length();
  const int64_t given = sequence->length() % length;
  const int64_t chosen = result.chosen[index];
  const int64_t end = std::max(given, chosen);
  const auto ids = MatrixView<const int32_t>(result.ids, length).Row(index).begin();
  sequence->tokens.insert(sequence->tokens.end(), ids + given, ids + length);
  sequence->failed = chosen < length;
  sequence->is_constrained = sequence->request.make_constraint && result.is_constrained[index] != 0;
  sequence->fresh.assign(ids + given, ids + end);
  sequence->fresh_log_probabilities.clear();
  if (!sequence->request.log_probabilities) return;
  const auto rated =
      MatrixView<const TokenLogProbabilities>(result.log_probabilities, length).Row(index).begin();
  sequence->fresh_log_probabilities.assign(rated + given, rated + end);
}

void Engine::Deliver(int64_t id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  Sequence* sequence = found->second.get();
  const GenerationRequest& request = sequence->request;
  const int64_t left = request.max_tokens - sequence->delivered;
  const auto ends = [&](int32_t token) {
    return (request.stop_at_eos && model_->config().EndsText(token)) ||
           std::ranges::find(request.stop_ids, token) != request.stop_ids.end();
  };
  GeneratedTokens tokens;
  tokens.ids = std::span(sequence->fresh);
  if (std::ssize(tokens.ids) > left) tokens.ids = tokens.ids.first(left);
  sequence->delivered += std::ssize(tokens.ids);
  tokens.finished = sequence->delivered == request.max_tokens;
  const auto end = std::ranges::find_if(tokens.ids, ends);
  if (end != tokens.ids.end()) {
    tokens.stop_id = *end;
    tokens.ids = tokens.ids.first(end - tokens.ids.begin());
    tokens.finished = true;
  }
  if (request.log_probabilities) {
    tokens.log_probabilities =
        std::span(sequence->fresh_log_probabilities).first(tokens.ids.size());
  }
  const bool failed = sequence->failed && !tokens.finished;
  const bool wanted = (failed && tokens.ids.empty()) || sequence->callback(tokens);
  if (wanted && !tokens.finished && !failed) return;
  const int64_t generated = sequence->delivered;
  const bool is_constrained = sequence->is_constrained;
  const FailureCallback on_failure = std::move(sequence->on_failure);
  Cancel(id);
  if (!wanted || !failed) return;
  const Error error = FailureAfter(generated, is_constrained);
  if (!on_failure) throw error;
  on_failure(error);
}

Error Engine::FailureAfter(int64_t generated, bool is_constrained) const {
  if (is_constrained) {
    return Error(
        ErrorCode::kUnsupported,
        fmt::format("after {} generated tokens the vocabulary has no token that goes on as "
                    "the text's form wants it",
                    generated));
  }
  const bool is_f16 = options_.kv_type == NumberType::kF16;
  return Error(
      ErrorCode::kCorrupt,
      fmt::format("after {} generated tokens the model computed numbers that are not finite; its "
                  "weights are damaged, or its training diverged{}",
                  generated, is_f16 ? ", or it needs a KV cache of f32 instead of f16" : ""));
}

std::vector<std::vector<int32_t>> GenerateAll(Engine* engine,
                                              std::vector<GenerationRequest> requests) {
  std::vector<std::vector<int32_t>> results(requests.size());
  std::vector<int64_t> ids;
  try {
    for (size_t i = 0; i < requests.size(); ++i) {
      ids.push_back(
          engine->Submit(std::move(requests[i]), [&results, i](const GeneratedTokens& tokens) {
            results[i].insert(results[i].end(), tokens.ids.begin(), tokens.ids.end());
            return true;
          }));
    }
    engine->Run();
  } catch (...) {
    for (const int64_t id : ids) engine->Cancel(id);  // their callbacks are about to dangle
    throw;
  }
  return results;
}

}  // namespace blockformer
