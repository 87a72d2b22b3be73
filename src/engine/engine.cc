#include "engine/engine.h"

#include <algorithm>
#include <exception>
#include <numeric>
#include <optional>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"

namespace blockformer {
namespace {

constexpr int64_t kPageSize = 16;
constexpr int64_t kMemoryPercent = 80;
constexpr int64_t kMaxSequences = 1 << 16;

int64_t CeilDivide(int64_t value, int64_t divisor) { return (value + divisor - 1) / divisor; }

int64_t UnitsOfLength(const Model& model, int64_t tokens) {
  return CeilDivide(tokens, model.unit_length()) + 1;  // one more for an unaligned prompt
}

int64_t BytesPerPage(const Model& model, const EngineOptions& options) {
  const StackConfig& config = model.config().decoder;
  return KvCache::BytesPerPage(
      {config.num_layers, config.KvHeads(), config.HeadSize(), options.kv_type}, kPageSize);
}

// Returns the budget of the KV cache, whole pages. Refuses one that is too small or not there.
int64_t CompleteMemory(const Model& model, const EngineOptions& options) {
  const int64_t available = AvailableMemoryBytes();
  Require(options.memory_bytes >= 0 && options.memory_bytes <= available,
          ErrorCode::kInvalidArgument,
          "memory_bytes: {} is out of range; {} bytes are available, and 0 leaves the choice",
          options.memory_bytes, available);
  const int64_t page_bytes = BytesPerPage(model, options);
  const int64_t sequence_pages = CeilDivide(UnitsOfLength(model, options.max_length), kPageSize);
  const int64_t pages = options.memory_bytes > 0
                            ? options.memory_bytes / page_bytes
                            : std::min(options.max_sequences * sequence_pages,
                                       available / 100 * kMemoryPercent / page_bytes);
  const int64_t largest = std::max<int64_t>(0, (pages * kPageSize - 1) * model.unit_length());
  Require(pages >= sequence_pages, ErrorCode::kExhausted,
          "max_length: {} tokens take {} bytes of KV cache, and the budget holds pages of {}; the "
          "largest that fits is {}",
          options.max_length, sequence_pages * page_bytes, pages * page_bytes, largest);
  return pages * page_bytes;
}

EngineOptions Complete(const Model& model, EngineOptions options) {
  if (options.max_length == 0) options.max_length = model.config().max_length;
  if (options.num_sampled_ids == 0) options.num_sampled_ids = model.config().vocab_size;
  const auto require = [](int64_t value, int64_t max, const char* name) {
    Require(value >= 1 && value <= max, ErrorCode::kInvalidArgument,
            "{}: {} is out of range; 1 to {} is wanted", name, value, max);
  };
  require(options.max_sequences, kMaxSequences, "max_sequences");
  require(options.max_length, int64_t{1} << 24, "max_length");
  require(options.max_prefill_tokens, int64_t{1} << 24, "max_prefill_tokens");
  require(options.num_sampled_ids, model.config().vocab_size, "num_sampled_ids");
  for (const int32_t id : options.excluded_ids) {
    Require(id >= 0 && id < options.num_sampled_ids, ErrorCode::kInvalidArgument,
            "excluded_ids: {} is not in [0, {})", id, options.num_sampled_ids);
  }
  options.memory_bytes = CompleteMemory(model, options);
  return options;
}

SchedulerLimits LimitsOf(const Model& model, const EngineOptions& options) {
  SchedulerLimits limits;
  limits.max_sequences = options.max_sequences;
  limits.max_units_per_step = CeilDivide(options.max_prefill_tokens, model.unit_length());
  limits.page_size = kPageSize;
  limits.num_pages = options.memory_bytes / BytesPerPage(model, options);
  return limits;
}

void CheckRequest(const Model& model, const EngineOptions& options,
                  const GenerationRequest& request) {
  ValidateSampling(request.sampling);
  Require(request.max_tokens >= 1, ErrorCode::kInvalidArgument,
          "max_tokens: {} is out of range; 1 or more is wanted", request.max_tokens);
  for (const int32_t id : request.prompt) {
    Require(id >= 0 && id < model.config().vocab_size, ErrorCode::kInvalidArgument,
            "prompt: token id {} is not in [0, {})", id, model.config().vocab_size);
  }
  Require(request.prompt_mask.empty() || request.prompt_mask.size() == request.prompt.size(),
          ErrorCode::kInvalidArgument, "prompt_mask: has {} entries for {} tokens",
          request.prompt_mask.size(), request.prompt.size());
  const int64_t prompt_length = static_cast<int64_t>(request.prompt.size());
  Require(request.max_tokens <= options.max_length - prompt_length, ErrorCode::kExhausted,
          "a prompt of {} tokens and max_tokens {} exceed the maximal length {}", prompt_length,
          request.max_tokens, options.max_length);
}

// The mask of `units` units: those of the prompt are masked if all of their tokens are.
std::vector<uint8_t> UnitMask(const std::vector<uint8_t>& prompt_mask, int64_t unit_length,
                              int64_t units) {
  std::vector<uint8_t> unit_mask(static_cast<size_t>(units), 1);
  const int64_t prompt_units = static_cast<int64_t>(prompt_mask.size()) / unit_length;
  for (int64_t unit = 0; unit < prompt_units; ++unit) {
    const auto mask = prompt_mask.begin() + unit * unit_length;
    unit_mask[static_cast<size_t>(unit)] =
        std::any_of(mask, mask + unit_length, [](uint8_t value) { return value != 0; });
  }
  return unit_mask;
}

}  // namespace

// What the engine knows of one request.
struct Engine::Sequence {
  GenerationRequest request;
  TokenCallback callback;
  FailureCallback on_failure;
  // The prompt, padded on the left to whole units, and what was generated.
  std::vector<int32_t> tokens;
  int64_t prompt_begin = 0;          // where the prompt begins in `tokens`
  std::vector<uint8_t> prompt_mask;  // of the prompt's units; 0 on padding
  std::vector<uint8_t> unit_mask;    // empty if no unit is masked
  int64_t generated = 0;
  // The first step of the unit at hand whose token could not be chosen.
  std::optional<int64_t> failed_step;
};

Engine::Engine(std::shared_ptr<const Model> model, const EngineOptions& options)
    : model_(std::move(model)),
      options_(Complete(*model_, options)),
      scheduler_(LimitsOf(*model_, options_), UnitReader()),
      sampled_ids_{options_.num_sampled_ids, options_.excluded_ids},
      stack_(model_->config().decoder, options_.kv_type, LimitsOf(*model_, options_).num_pages,
             kPageSize, UnitsOfLength(*model_, options_.max_length)) {
  std::sort(sampled_ids_.excluded.begin(), sampled_ids_.excluded.end());
  if (options_.synthetic_prompts) stack_.cache.FillForBenchmark();
}

Engine::~Engine() = default;

int64_t Engine::Submit(GenerationRequest request, TokenCallback callback,
                       FailureCallback on_failure) {
  if (request.prompt.empty()) {
    request.prompt.push_back(static_cast<int32_t>(model_->config().eos_token_id));
    request.prompt_mask.clear();
  }
  CheckRequest(*model_, options_, request);
  WarnBeyondContext(static_cast<int64_t>(request.prompt.size()) + request.max_tokens);

  const int64_t length = model_->unit_length();
  const int64_t prompt_length = static_cast<int64_t>(request.prompt.size());
  auto sequence = std::make_unique<Sequence>();
  const int64_t prompt_units = CeilDivide(prompt_length, length);
  sequence->prompt_begin = prompt_units * length - prompt_length;
  sequence->tokens.assign(static_cast<size_t>(sequence->prompt_begin),
                          static_cast<int32_t>(model_->config().PromptPadId()));
  sequence->tokens.insert(sequence->tokens.end(), request.prompt.begin(), request.prompt.end());
  sequence->prompt_mask.assign(static_cast<size_t>(prompt_units * length), 1);
  std::fill_n(sequence->prompt_mask.begin(), sequence->prompt_begin, 0);
  std::copy(request.prompt_mask.begin(), request.prompt_mask.end(),
            sequence->prompt_mask.begin() + sequence->prompt_begin);
  const int64_t total_units = prompt_units + CeilDivide(request.max_tokens, length);
  if (!request.prompt_mask.empty()) {
    sequence->unit_mask = UnitMask(sequence->prompt_mask, length, total_units);
  }
  sequence->request = std::move(request);
  sequence->callback = std::move(callback);
  sequence->on_failure = std::move(on_failure);
  const int64_t given_units = options_.synthetic_prompts ? prompt_units - 1 : 0;
  const int64_t id =
      scheduler_.Submit({prompt_units, total_units, given_units}, sequence->request.priority);
  sequences_.emplace(id, std::move(sequence));
  return id;
}

void Engine::Cancel(int64_t id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  const bool failed = found->second->failed_step.has_value();
  scheduler_.Finish(id, failed ? Scheduler::Ending::kFailed : Scheduler::Ending::kDone);
  sequences_.erase(found);
}

bool Engine::Step() {
  const std::vector<StepItem> step = scheduler_.Plan();
  if (step.empty()) return false;
  RunDecoder(step);
  std::vector<Sequence*> generating;
  std::vector<int64_t> ids;
  for (const StepItem& item : step) {
    if (!item.generates) continue;
    generating.push_back(sequences_.at(item.id).get());
    ids.push_back(item.id);
  }
  if (!generating.empty()) GenerateUnits(generating);
  scheduler_.StepDone();
  const int64_t length = model_->unit_length();
  std::exception_ptr failure;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto tokens =
        std::span(new_ids_).subspan(i * static_cast<size_t>(length), static_cast<size_t>(length));
    try {
      Deliver(ids[i], tokens);
    } catch (...) {
      Cancel(ids[i]);
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
  return true;
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
    const size_t first = static_cast<size_t>(begin * model_->unit_length());
    const size_t end = static_cast<size_t>((begin + count) * model_->unit_length());
    std::vector<int32_t> contents;
    for (size_t i = first; i < end; ++i) {
      const bool is_padding = i < sequence.prompt_mask.size() && sequence.prompt_mask[i] == 0;
      contents.push_back(is_padding ? ~sequence.tokens[i] : sequence.tokens[i]);
    }
    return contents;
  };
}

// Passes the step's units through the decoder. contexts_ then holds what to generate from.
void Engine::RunDecoder(const std::vector<StepItem>& step) {
  const int64_t length = model_->unit_length();
  const int64_t width = model_->config().decoder.hidden_size;
  rows_.clear();
  unit_ids_.clear();
  unit_mask_.clear();
  std::vector<int64_t> last_rows;
  for (const StepItem& item : step) {
    const Sequence& sequence = *sequences_.at(item.id);
    const int64_t end = item.begin + item.units;
    for (int64_t unit = item.begin; unit < end; ++unit) {
      rows_.push_back({item.pages, unit, unit,
                       sequence.unit_mask.empty() ? nullptr : sequence.unit_mask.data(), false});
    }
    const auto tokens = sequence.tokens.begin();
    unit_ids_.insert(unit_ids_.end(), tokens + item.begin * length, tokens + end * length);
    const int64_t prompt_length = static_cast<int64_t>(sequence.prompt_mask.size());
    const auto mask = sequence.prompt_mask.begin();
    unit_mask_.insert(unit_mask_.end(), mask + std::min(item.begin * length, prompt_length),
                      mask + std::min(end * length, prompt_length));
    unit_mask_.resize(unit_ids_.size(), 1);  // what was generated is no padding
    if (item.generates) last_rows.push_back(static_cast<int64_t>(rows_.size()) - 1);
  }
  contexts_.resize(rows_.size() * static_cast<size_t>(width));
  model_->embedder().Embed(unit_ids_.data(), unit_mask_.data(), static_cast<int64_t>(rows_.size()),
                           &embedder_state_, contexts_.data());
  model_->decoder().Forward(rows_, last_rows, contexts_.data(), &stack_);
  model_->decoder().FinalNorm(contexts_.data(), static_cast<int64_t>(last_rows.size()),
                              contexts_.data());
}

// Fills new_ids_ [sequences, L] from contexts_.
void Engine::GenerateUnits(const std::vector<Sequence*>& sequences) {
  const int64_t count = static_cast<int64_t>(sequences.size());
  const int64_t length = model_->unit_length();
  new_ids_.resize(static_cast<size_t>(count * length));
  if (!model_->is_block()) return Choose(sequences, 0, contexts_.data(), new_ids_.data());
  int64_t steps = 0;
  for (const Sequence* sequence : sequences) {
    steps = std::max(steps, sequence->request.max_tokens - sequence->generated);
  }
  const auto choose = [&](int64_t step, const float* hidden, int32_t* ids) {
    Choose(sequences, step, hidden, ids);
  };
  model_->token_decoder().Generate(contexts_.data(), count, std::min(steps, length),
                                   options_.position_rule, choose, &token_state_, new_ids_.data());
}

void Engine::Choose(const std::vector<Sequence*>& sequences, int64_t step, const float* hidden,
                    int32_t* ids) {
  draws_.clear();
  for (const Sequence* sequence : sequences) {
    draws_.push_back(
        {&sequence->request.sampling, sequence->request.stream,
         static_cast<uint64_t>(sequence->generated + step),
         std::span(sequence->tokens).subspan(static_cast<size_t>(sequence->prompt_begin))});
  }
  model_->head().Choose(hidden, draws_, sampled_ids_, ids);
  for (size_t i = 0; i < sequences.size(); ++i) {
    Sequence* sequence = sequences[i];
    if (ids[i] == kNoToken) {
      if (!sequence->failed_step) sequence->failed_step = step;
      ids[i] = 0;  // any token, for the rest of the unit
    }
    sequence->tokens.push_back(ids[i]);
  }
}

void Engine::Deliver(int64_t id, std::span<const int32_t> tokens) {
  Sequence* sequence = sequences_.at(id).get();
  const GenerationRequest& request = sequence->request;
  const int64_t left = request.max_tokens - sequence->generated;
  const int64_t chosen = sequence->failed_step.value_or(static_cast<int64_t>(tokens.size()));
  auto fresh = tokens.first(static_cast<size_t>(std::min(left, chosen)));
  sequence->generated += static_cast<int64_t>(fresh.size());
  bool finished = sequence->generated == request.max_tokens;
  if (request.stop_at_eos) {
    const auto eos = std::find_if(fresh.begin(), fresh.end(),
                                  [&](int32_t token) { return model_->config().EndsText(token); });
    if (eos != fresh.end()) {
      fresh = fresh.first(static_cast<size_t>(eos - fresh.begin()));
      finished = true;
    }
  }
  const bool failed = sequence->failed_step && !finished;
  const bool wanted = (failed && fresh.empty()) || sequence->callback(fresh, finished);
  if (wanted && !finished && !failed) return;
  const int64_t generated = sequence->generated;
  const FailureCallback on_failure = std::move(sequence->on_failure);
  Cancel(id);
  if (!wanted || !failed) return;
  const bool is_f16 = options_.kv_type == NumberType::kF16;
  const Error error(
      ErrorCode::kCorrupt,
      fmt::format("after {} generated tokens the model computed numbers that are not finite; its "
                  "weights are damaged, or its training diverged{}",
                  generated, is_f16 ? ", or it needs a KV cache of f32 instead of f16" : ""));
  if (!on_failure) throw error;
  on_failure(error);
}

std::vector<std::vector<int32_t>> GenerateAll(Engine* engine,
                                              std::vector<GenerationRequest> requests) {
  std::vector<std::vector<int32_t>> results(requests.size());
  std::vector<int64_t> ids;
  try {
    for (size_t i = 0; i < requests.size(); ++i) {
      ids.push_back(engine->Submit(
          std::move(requests[i]), [&results, i](std::span<const int32_t> tokens, bool) {
            results[i].insert(results[i].end(), tokens.begin(), tokens.end());
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
