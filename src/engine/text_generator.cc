#include "blockformer/text_generator.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/engine.h"
#include "engine/stop_matcher.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace blockformer {
namespace {

// Prompts that wait in the engine beside those that run, so that a free place is filled at once.
constexpr int64_t kQueuedPrompts = 8;

EngineOptions ToEngineOptions(const GeneratorOptions& options, const Model& model,
                              const Tokenizer& tokenizer, const std::string& directory) {
  Require(tokenizer.VocabSize() <= model.config().vocab_size, ErrorCode::kCorrupt,
          "{}: the tokenizer has {} ids, more than the model's vocab_size {}", directory,
          tokenizer.VocabSize(), model.config().vocab_size);
  EngineOptions engine;
  engine.max_sequences = options.max_sequences;
  engine.max_length = options.max_length;
  engine.num_sampled_ids = tokenizer.VocabSize();
  return engine;
}

SamplingOptions ToSampling(const TextOptions& options) {
  return {options.repetition_penalty,
          options.temperature,
          options.top_k,
          options.top_p,
          options.min_p,
          options.seed};
}

}  // namespace

struct TextGenerator::Impl {
  // A text that is being generated.
  struct Job {
    Job(const Tokenizer& tokenizer, const TextOptions& options)
        : decoder(tokenizer, /*skip_special=*/true), stops(options.stop) {}

    // Takes new tokens. Returns false if the text has ended.
    bool Take(std::span<const int32_t> tokens, bool finished, const TextOptions& options) {
      std::string piece;
      for (const int32_t token : tokens) {
        result.tokens.push_back(token);
        piece += stops.Push(decoder.Push(token));
        if (stops.stopped()) break;
      }
      if (finished && !stops.stopped()) piece += stops.Push(decoder.Flush()) + stops.Flush();
      result.text += piece;
      const bool full = static_cast<int64_t>(result.tokens.size()) >= options.max_tokens;
      result.reason = stops.stopped() ? FinishReason::kStop
                      : full          ? FinishReason::kLength
                                      : FinishReason::kEndOfText;
      ended = finished || stops.stopped();
      if (!piece.empty() && on_text && !on_text(piece)) {
        ended = true;
        result.reason = FinishReason::kCancelled;
      }
      return !ended;
    }

    StreamDecoder decoder;
    StopMatcher stops;
    OnText on_text;
    GeneratedText result;
    bool ended = false;
  };

  Impl(const std::string& directory, const GeneratorOptions& options)
      : tokenizer(Tokenizer::Load(directory)),
        model(Model::Load(directory)),
        engine(model, ToEngineOptions(options, *model, tokenizer, directory)) {}

  // Submits a prompt and returns its engine number.
  int64_t Submit(std::string_view prompt, const TextOptions& options, uint64_t stream, Job* job) {
    GenerationRequest request;
    request.prompt = tokenizer.Encode(prompt);
    request.max_tokens = options.max_tokens;
    request.stop_at_eos = !options.ignore_end_of_text;
    request.sampling = ToSampling(options);
    request.stream = stream;
    job->result.prompt_tokens = static_cast<int64_t>(request.prompt.size());
    return engine.Submit(std::move(request),
                         [job, &options](std::span<const int32_t> tokens, bool finished) {
                           return job->Take(tokens, finished, options);
                         });
  }

  Tokenizer tokenizer;
  std::shared_ptr<const Model> model;
  Engine engine;
};

TextGenerator::TextGenerator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TextGenerator::TextGenerator(TextGenerator&&) noexcept = default;
TextGenerator& TextGenerator::operator=(TextGenerator&&) noexcept = default;
TextGenerator::~TextGenerator() = default;

TextGenerator TextGenerator::Load(const std::string& model_directory,
                                  const GeneratorOptions& options) {
  if (options.threads != 0) SetNumThreads(options.threads);
  return TextGenerator(std::make_unique<Impl>(model_directory, options));
}

GeneratedText TextGenerator::Generate(std::string_view prompt, const TextOptions& options,
                                      const OnText& on_text) {
  Impl::Job job(impl_->tokenizer, options);
  job.on_text = on_text;
  const int64_t id = impl_->Submit(prompt, options, 0, &job);
  while (!job.ended && impl_->engine.Step()) {
  }
  impl_->engine.Cancel(id);
  return std::move(job.result);
}

void TextGenerator::GenerateBatch(const NextPrompt& next, const TextOptions& options,
                                  const OnResult& on_result, uint64_t first_stream) {
  struct Running {
    int64_t engine_id;
    std::unique_ptr<Impl::Job> job;
  };
  std::map<int64_t, Running> running;  // by index of the prompt
  const auto give_up = [&] {
    for (const auto& [index, entry] : running) impl_->engine.Cancel(entry.engine_id);
  };
  const size_t most = static_cast<size_t>(impl_->engine.options().max_sequences + kQueuedPrompts);
  int64_t submitted = 0;
  bool more = true;
  try {
    while (true) {
      while (more && running.size() < most) {
        const std::optional<std::string> prompt = next();
        if (!prompt) {
          more = false;
          break;
        }
        auto job = std::make_unique<Impl::Job>(impl_->tokenizer, options);
        const uint64_t stream = first_stream + static_cast<uint64_t>(submitted);
        const int64_t id = impl_->Submit(*prompt, options, stream, job.get());
        running.emplace(submitted++, Running{id, std::move(job)});
      }
      if (running.empty()) return;
      impl_->engine.Step();
      for (auto entry = running.begin(); entry != running.end();) {
        if (!entry->second.job->ended) {
          ++entry;
          continue;
        }
        const bool wanted = on_result(entry->first, entry->second.job->result);
        entry = running.erase(entry);
        if (!wanted) return give_up();
      }
    }
  } catch (...) {
    give_up();
    throw;
  }
}

int64_t TextGenerator::CountTokens(std::string_view text) const {
  return static_cast<int64_t>(impl_->tokenizer.Encode(text).size());
}

int64_t TextGenerator::max_length() const { return impl_->engine.options().max_length; }

}  // namespace blockformer
