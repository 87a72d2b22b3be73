#include "api/loaded_engine.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <future>
#include <limits>
#include <utility>

#include "api/request.h"
#include "api/status.h"
#include "base/error.h"
#include "base/parallel.h"
#include "eval/request_encoder.h"
#include "text/conversation.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

std::atomic<int64_t> last_request = 0;

void RequireNoCallback(const char* function) {
  Require(!InCallback(), ErrorCode::kInvalidArgument,
          "{}: called from a callback, which it would wait for", function);
}

Json ParseMessages(std::string_view text) {
  return ReadConversation(ParseJson(text, "messages"), UnknownFields::kKeep);
}

TextModel LoadWithThreads(const std::string& directory, const GeneratorOptions& options) {
  const ThreadLimit limit(options.threads);
  return TextModel::Load(directory, options);
}

LoadedEngine::Score SumUp(std::span<const std::vector<TokenScore>> windows) {
  RequestScore sum;
  LoadedEngine::Score score;
  for (const std::vector<TokenScore>& window : windows) {
    sum.Add(window);
    for (const TokenScore& token : window) score.tokens.push_back(token.log_likelihood);
  }
  score.is_greedy = sum.is_greedy;
  score.log_likelihood = std::isfinite(sum.log_likelihood)
                             ? sum.log_likelihood
                             : std::numeric_limits<double>::quiet_NaN();
  return score;
}

}  // namespace

LoadedEngine::LoadedEngine(const std::string& directory, const LoadSettings& settings)
    : LoadedEngine(LoadWithThreads(directory, settings.generator), directory, settings) {}

LoadedEngine::LoadedEngine(TextModel loaded, const std::string& directory,
                           const LoadSettings& settings)
    : process_(getpid()),
      directory_(directory),
      tokenizer_(std::move(loaded.tokenizer)),
      model_(std::move(loaded.model)),
      prefix_id_(PrefixTokenId(directory, tokenizer_, model_->config())),
      chat_(ChatFormat::Load(directory, settings.generator.plain_text)),
      device_(model_->device()),
      scorer_(std::make_unique<Scorer>(model_, settings.scorer)),
      loop_(std::make_unique<EngineLoop>(std::make_unique<Engine>(model_, loaded.engine_options),
                                         settings.loop)),
      open_(std::make_shared<OpenRequests>(loop_.get())) {}

LoadedEngine::~LoadedEngine() {
  open_->Detach();
  // What a forked process cannot stop, it leaves as it is.
  if (IsHere()) return;
  static_cast<void>(loop_.release());
  static_cast<void>(scorer_.release());
}

bool LoadedEngine::IsHere() const { return getpid() == process_; }

void LoadedEngine::RequireHere() const {
  Require(IsHere(), ErrorCode::kUnsupported,
          "the engine was loaded by process {}, from which this one was forked; it has to load one "
          "of its own",
          process_);
}

void LoadedEngine::Stop() {
  RequireHere();
  RequireNoCallback("bf_engine_stop");
  loop_->Stop();
}

bf_engine_info LoadedEngine::info() const {
  const EngineOptions& options = loop_->engine_options();
  const ModelConfig& config = model_->config();
  bf_engine_info info = {};
  info.device = device_.c_str();
  info.dtype = NumberTypeName(model_->weight_type());
  info.kv_dtype = NumberTypeName(options.kv_type);
  info.max_sequences = options.max_sequences;
  info.max_length = options.max_length;
  info.capacity = loop_->capacity();
  info.vocab_size = config.vocab_size;
  info.block_length = model_->unit_length();
  info.end_of_text_id = static_cast<int32_t>(config.eos_token_id);
  info.has_chat_template = chat_.chat_template ? 1 : 0;
  return info;
}

bf_engine_stats LoadedEngine::stats() const {
  const EngineLoopStats loop = loop_->stats();
  bf_engine_stats stats = {};
  stats.open = loop.open;
  stats.running = loop.engine.running;
  stats.steps = loop.engine.steps;
  stats.generated_tokens = loop.generated_tokens;
  stats.computed_prompt_units = loop.engine.computed_prompt_units;
  stats.cached_prompt_units = loop.engine.cached_prompt_units;
  stats.preemptions = loop.engine.preemptions;
  stats.cache_pages = loop.engine.pages;
  stats.cache_pages_in_use = loop.engine.pages_in_use;
  stats.accepting = loop.accepting ? 1 : 0;
  return stats;
}

std::vector<int32_t> LoadedEngine::Tokenize(std::string_view text, bool add_prefix,
                                            bool parse_special) const {
  const Tokenizer& tokenizer = parse_special ? parsing_tokenizer() : tokenizer_;
  return add_prefix ? tokenizer.EncodeWithPrefix(text) : tokenizer.Encode(text);
}

std::string LoadedEngine::Detokenize(std::span<const int32_t> ids, bool skip_special) const {
  return ReplaceInvalidUtf8(tokenizer_.Decode(ids, skip_special));
}

const ChatTemplate& LoadedEngine::RequireChatTemplate() const {
  Require(chat_.chat_template.has_value(), ErrorCode::kUnsupported, "{}",
          chat_.problem.empty() ? directory_ + ": the model has no chat template" : chat_.problem);
  return *chat_.chat_template;
}

std::string LoadedEngine::ChatText(std::string_view messages, bool add_generation_prompt) const {
  return RequireChatTemplate().Render(ParseMessages(messages), add_generation_prompt);
}

ChatPrompt LoadedEngine::MakePrompt(std::string_view messages, bool add_generation_prompt) const {
  RequireChatTemplate();
  return MakeChatPrompt(chat_, ParseMessages(messages), add_generation_prompt,
                        model_->unit_length(),
                        [this](const std::string& text) { return chat_.Encode(text, tokenizer_); });
}

LoadedEngine::Prepared LoadedEngine::Prepare(std::vector<int32_t> prompt,
                                             const RequestSettings& settings) const {
  const EngineOptions& options = loop_->engine_options();
  const int64_t taken = std::max<int64_t>(1, std::ssize(prompt));  // an empty one is one token
  Prepared prepared;
  GenerationRequest& generation = prepared.request.generation;
  generation.max_tokens =
      settings.max_tokens.value_or(std::max<int64_t>(1, options.max_length - taken));
  if (settings.text.too_long == TooLong::kTruncateLeft) {
    prepared.cut = ExcessTokens(std::ssize(prompt), generation.max_tokens, options.max_length);
  }
  prompt.erase(prompt.begin(), prompt.begin() + prepared.cut);
  generation.prompt = std::move(prompt);
  generation.stop_at_eos = !settings.text.ignore_end_of_text;
  generation.sampling = settings.text;
  generation.stream = settings.stream;
  generation.priority = settings.priority;
  generation.left_padding = settings.left_padding;
  generation.stop_ids = settings.stop_ids;
  generation.excluded_ids = settings.excluded_ids;
  generation.log_probabilities = settings.log_probabilities;
  generation.make_constraint = formats_->Constraint(settings.text, tokenizer_, model_->config());
  prepared.request.deadline = settings.deadline;
  ValidateRequest(generation, *model_, options);
  return prepared;
}

int64_t LoadedEngine::Submit(std::vector<int32_t> prompt, RequestSettings settings,
                             std::shared_ptr<EventQueue> queue) {
  RequireHere();
  Prepared prepared = Prepare(std::move(prompt), settings);
  const GenerationRequest& generation = prepared.request.generation;
  settings.text.max_tokens = generation.max_tokens;
  const int64_t number = ++last_request;
  const auto events =
      std::make_shared<Request>(number, settings, tokenizer_, open_, std::move(queue));
  events->SetPrompt(std::ssize(generation.prompt), prepared.cut);
  prepared.request.on_tokens = [events](const GeneratedTokens& tokens) {
    return events->Take(tokens);
  };
  prepared.request.on_failure = [events](const Error& error) { events->Fail(error); };
  try {
    open_->Submit(number, std::move(prepared.request));
  } catch (const Error& error) {
    events->Forget();
    if (error.code() == ErrorCode::kExhausted) throw FullError(error.what());
    throw;
  }
  return number;
}

void LoadedEngine::Check(std::vector<int32_t> prompt, const RequestSettings& settings) const {
  RequireHere();
  Prepare(std::move(prompt), settings);
}

void LoadedEngine::Cancel(int64_t request) {
  RequireHere();
  open_->Cancel(request);
}

std::vector<ScoreRequest> LoadedEngine::EncodeForScore(const ScoredText& text) const {
  return EncodeScored(tokenizer_, text, scorer_->options().max_length, prefix_id_);
}

LoadedEngine::EncodedTexts LoadedEngine::EncodeTexts(std::span<const ScoredText> texts) const {
  EncodedTexts encoded;
  for (size_t i = 0; i < texts.size(); ++i) {
    try {
      std::vector<ScoreRequest> requests = EncodeForScore(texts[i]);
      encoded.counts.push_back(requests.size());
      std::ranges::move(requests, std::back_inserter(encoded.requests));
    } catch (const Error& error) {
      Fail(error.code(), "inputs[{}]: {}", i, error.what());
    }
  }
  return encoded;
}

void LoadedEngine::CheckText(const ScoredText& text) const {
  RequireHere();
  EncodeForScore(text);
}

std::vector<std::vector<TokenScore>> LoadedEngine::ScoreOnEngine(
    std::vector<ScoreRequest> requests) {
  using Scores = std::vector<std::vector<TokenScore>>;
  const auto task = std::make_shared<std::packaged_task<Scores()>>(
      [this, requests = std::move(requests)] { return ScoreAll(scorer_.get(), requests); });
  std::future<Scores> done = task->get_future();
  try {
    loop_->Post([task] { (*task)(); });
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kExhausted) throw FullError(error.what());
    throw;
  }
  try {
    return done.get();
  } catch (const std::future_error&) {  // the loop has let go of it
    Fail(ErrorCode::kInterrupted, "the engine was stopped before this request ended");
  }
}

std::vector<LoadedEngine::Score> LoadedEngine::ScoreTexts(std::span<const ScoredText> texts) {
  RequireHere();
  RequireNoCallback("bf_score");
  const auto [requests, windows] = EncodeTexts(texts);
  const int64_t piece_tokens =
      loop_->stats().open > 0 ? kTokensBetweenSteps : scorer_->options().batch_tokens;
  std::vector<std::vector<TokenScore>> values;
  while (values.size() < requests.size()) {
    const auto left = std::span<const ScoreRequest>(requests).subspan(values.size());
    const auto piece = left.first(CountWithin(left, piece_tokens));
    std::ranges::move(ScoreOnEngine({piece.begin(), piece.end()}), std::back_inserter(values));
  }
  std::vector<Score> scores;
  size_t next = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    scores.push_back(SumUp(std::span(values).subspan(next, windows[i])));
    scores.back().cut_tokens =
        CutTokens(std::span(requests).subspan(next, windows[i]), scorer_->options().max_length);
    next += windows[i];
  }
  return scores;
}

}  // namespace blockformer
