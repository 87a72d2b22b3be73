#include "blockformer/text_generator.h"

#include <algorithm>
#include <map>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/json_formats.h"
#include "engine/text_engine.h"
#include "engine/text_stream.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

// Prompts that wait in the engine beside those that run, so that a free place is filled at once.
constexpr int64_t kQueuedPrompts = 8;

}  // namespace

void ValidateTextOptions(const TextOptions& options) {
  ValidateSampling(options);
  Require(options.max_tokens >= 1, ErrorCode::kInvalidArgument,
          "`max_tokens`: {} is out of range; 1 or more is wanted", options.max_tokens);
  for (const std::string& stop : options.stop) {
    Require(!stop.empty(), ErrorCode::kInvalidArgument, "`stop`: a text is empty");
    Require(FindInvalidUtf8(stop) == stop.size(), ErrorCode::kInvalidArgument,
            "`stop`: a text is not valid UTF-8, as all that is generated is");
  }
  Require(!options.json_object || options.json_schema.empty(), ErrorCode::kInvalidArgument,
          "`json_schema`: is set beside json_object; at most one of them is wanted");
  const bool is_json = options.json_object || !options.json_schema.empty();
  Require(!is_json || !options.ignore_end_of_text, ErrorCode::kInvalidArgument,
          "`{}`: its texts end, so that the end of a text cannot be ignored",
          options.json_object ? "json_object" : "json_schema");
}

struct TextGenerator::Impl {
  // A text that is being generated. However it ends, the engine then holds no callback to it.
  struct Job {
    Job(Impl* impl, const TextOptions& options)
        : engine(&impl->engine), text_stream(impl->tokenizer, options.stop, options.max_tokens) {}
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;
    ~Job() {
      if (id) engine->Cancel(*id);
    }

    // Ends the text with what it has.
    void Fail(const Error& error) {
      failure = error;
      result.text += text_stream.Flush();
      result.reason = FinishReason::kError;
      result.error = error.what();
      ended = true;
    }

    // Takes new tokens. Returns false if the text has ended.
    bool Take(std::span<const int32_t> tokens, bool finished) {
      const int64_t before = text_stream.num_tokens();
      const std::string piece = text_stream.Take(tokens, finished);
      const auto taken = tokens.first(text_stream.num_tokens() - before);
      result.tokens.insert(result.tokens.end(), taken.begin(), taken.end());
      result.text += piece;
      result.reason = text_stream.reason();
      ended = text_stream.ended();
      if (!piece.empty() && on_text && !on_text(piece)) {
        ended = true;
        result.reason = FinishReason::kCancelled;
      }
      return !ended;
    }

    Engine* engine;
    std::optional<int64_t> id;  // of the engine, when submitted
    TextStream text_stream;
    OnText on_text;
    std::optional<Error> failure;
    GeneratedText result;
    bool ended = false;
  };

  Impl(const std::string& directory, const GeneratorOptions& options)
      : Impl(TextModel::Load(directory, options), options) {}

  Impl(TextModel loaded, const GeneratorOptions& options)
      : tokenizer(std::move(loaded.tokenizer)),
        model(std::move(loaded.model)),
        engine(model, loaded.engine_options),
        threads(options.threads),
        keep_going(options.keep_going) {}

  // Cuts a prompt that is too long; returns false if it is to be skipped. One that is an error
  // stays as it is, for the engine to refuse.
  bool FitPrompt(const TextOptions& options, std::vector<int32_t>* prompt,
                 GeneratedText* result) const {
    const int64_t excess =
        ExcessTokens(std::ssize(*prompt), options.max_tokens, engine.options().max_length);
    if (options.too_long == TooLong::kError || excess == 0) return true;
    if (options.too_long == TooLong::kSkip) {
      result->prompt_tokens = static_cast<int64_t>(prompt->size());
      result->reason = FinishReason::kTooLong;
      return false;
    }
    prompt->erase(prompt->begin(), prompt->begin() + excess);
    result->cut_tokens = excess;
    return true;
  }

  std::vector<int32_t> EncodePrompt(std::string_view prompt, const TextOptions& options) const {
    return options.raw_prompt ? tokenizer.Encode(prompt) : tokenizer.EncodeWithPrefix(prompt);
  }

  // What all texts of a call have to obey.
  TokenConstraintFactory Constraint(const TextOptions& options) {
    return formats.Constraint(options, tokenizer, model->config());
  }

  std::vector<int32_t> EncodePrompt(Prompt prompt, const TextOptions& options) const {
    if (auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return std::move(*ids);
    return EncodePrompt(std::string_view(std::get<std::string>(prompt)), options);
  }

  void Submit(std::vector<int32_t> prompt, const TextOptions& options,
              const TokenConstraintFactory& constraint, uint64_t stream, Job* job) {
    GenerationRequest request;
    request.prompt = std::move(prompt);
    if (!FitPrompt(options, &request.prompt, &job->result)) {
      job->ended = true;
      return;
    }
    request.max_tokens = options.max_tokens;
    request.stop_at_eos = !options.ignore_end_of_text;
    request.make_constraint = constraint;
    request.sampling = options;
    request.stream = stream;
    job->result.prompt_tokens = static_cast<int64_t>(request.prompt.size());
    job->id = engine.Submit(
        std::move(request),
        [job](const GeneratedTokens& tokens) { return job->Take(tokens.ids, tokens.finished); },
        [job](const Error& error) { job->Fail(error); });
  }

  // Carries out a step. Returns false, without one, if the caller wants no more.
  bool Step() {
    if (keep_going && !keep_going()) return false;
    engine.Step();
    return true;
  }

  Tokenizer tokenizer;
  std::shared_ptr<const Model> model;
  Engine engine;
  JsonFormats formats;
  int threads;
  std::function<bool()> keep_going;
};

TextGenerator::TextGenerator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TextGenerator::TextGenerator(TextGenerator&&) noexcept = default;
TextGenerator& TextGenerator::operator=(TextGenerator&&) noexcept = default;
TextGenerator::~TextGenerator() = default;

TextGenerator TextGenerator::Load(const std::string& model_directory,
                                  const GeneratorOptions& options) {
  const ThreadLimit limit(options.threads);
  return TextGenerator(std::make_unique<Impl>(model_directory, options));
}

GeneratedText TextGenerator::Generate(std::string_view prompt, const TextOptions& options,
                                      const OnText& on_text) {
  return Generate(impl_->EncodePrompt(prompt, options), options, on_text);
}

GeneratedText TextGenerator::Generate(std::span<const int32_t> prompt, const TextOptions& options,
                                      const OnText& on_text) {
  ValidateTextOptions(options);
  const ThreadLimit limit(impl_->threads);
  Impl::Job job(impl_.get(), options);
  job.on_text = on_text;
  impl_->Submit({prompt.begin(), prompt.end()}, options, impl_->Constraint(options), 0, &job);
  while (!job.ended) {
    if (impl_->Step()) continue;
    job.result.reason = FinishReason::kCancelled;
    break;
  }
  if (job.failure) throw *job.failure;
  return std::move(job.result);
}

void TextGenerator::GenerateBatch(const NextPrompt& next, const TextOptions& options,
                                  const OnResult& on_result, uint64_t first_stream) {
  ValidateTextOptions(options);
  const ThreadLimit limit(impl_->threads);
  const TokenConstraintFactory constraint = impl_->Constraint(options);
  std::map<int64_t, std::unique_ptr<Impl::Job>> running;  // by index of the prompt
  const size_t most = impl_->engine.options().max_sequences + kQueuedPrompts;
  int64_t submitted = 0;
  bool more = true;
  const auto is_over = [](const auto& entry) { return entry.second->ended; };
  while (true) {
    for (auto entry = running.begin(); entry != running.end();) {
      if (!is_over(*entry)) {
        ++entry;
        continue;
      }
      if (!on_result(entry->first, entry->second->result)) return;
      entry = running.erase(entry);
    }
    while (more && running.size() < most) {
      std::optional<Prompt> prompt = next();
      if (!prompt) {
        more = false;
        break;
      }
      auto job = std::make_unique<Impl::Job>(impl_.get(), options);
      try {
        impl_->Submit(impl_->EncodePrompt(std::move(*prompt), options), options, constraint,
                      first_stream + static_cast<uint64_t>(submitted), job.get());
      } catch (const Error& error) {
        job->Fail(error);
      }
      running.emplace(submitted++, std::move(job));
    }
    if (running.empty()) return;
    const bool runs = !std::ranges::all_of(running, is_over);  // prompts that are skipped do not
    if (runs && !impl_->Step()) return;
  }
}

int64_t TextGenerator::CountTokens(std::string_view text) const {
  return static_cast<int64_t>(impl_->tokenizer.Encode(text).size());
}

int64_t TextGenerator::CountPromptTokens(std::string_view prompt,
                                         const TextOptions& options) const {
  return std::max<int64_t>(1, std::ssize(impl_->EncodePrompt(prompt, options)));
}

int64_t TextGenerator::max_length() const { return impl_->engine.options().max_length; }
std::string TextGenerator::dtype() const { return NumberTypeName(impl_->model->weight_type()); }
std::string TextGenerator::kv_dtype() const {
  return NumberTypeName(impl_->engine.options().kv_type);
}

}  // namespace blockformer
