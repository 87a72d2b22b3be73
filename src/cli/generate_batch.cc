#include "cli/generate_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/resumable_lines.h"
#include "base/stopwatch.h"
#include "cli/model_argument.h"
#include "config/json.h"
#include "data/corpus.h"
#include "data/json_record.h"
#include "data/prompt_reader.h"
#include "data/result_fields.h"

namespace blockformer {
namespace {

struct InputSummary {
  int64_t prompts = 0;
  uint64_t hash = 0;  // of the contents
};

// Tells of prompts that leave no room for max_tokens: in the log or, if they are an error, in that.
class TooLongPrompts {
 public:
  void Add(const std::string& place, int64_t tokens) {
    if (++count_ > kMostNamed) return;
    names_.push_back(fmt::format("{} ({} tokens)", place, tokens));
  }

  void Report(const std::string& path, int64_t prompts, int64_t max_length,
              const TextOptions& options) const {
    if (count_ == 0) return;
    std::string problem =
        fmt::format("{}: {} of {} prompts exceed the maximal length {} with max_tokens {}: {}",
                    path, count_, prompts, max_length, options.max_tokens, fmt::join(names_, ", "));
    if (count_ > kMostNamed) problem += fmt::format(" and {} more", count_ - kMostNamed);
    Require(options.too_long != TooLong::kError, ErrorCode::kInvalidArgument,
            "{}; --too-long skip leaves them out, --too-long truncate-left cuts them", problem);
    LogWarning("{}; they are {}", problem,
               options.too_long == TooLong::kSkip ? "skipped" : "cut on the left");
  }

 private:
  static constexpr int64_t kMostNamed = 20;

  int64_t count_ = 0;
  std::vector<std::string> names_;
};

// Reads all of the input and checks that every prompt fits, before anything is generated.
InputSummary CheckInput(const BatchFiles& files, const TextGenerator& generator,
                        const TextOptions& options, const ResultFields& results) {
  const std::string& path = files.input;
  RequireReadableTwice(path);
  PromptReader reader(path, files.invalid_utf8);
  std::string prompt;
  JsonRecord record;
  InputSummary summary;
  TooLongPrompts too_long;
  const int64_t room = generator.max_length() - options.max_tokens;
  Require(room >= 1, ErrorCode::kInvalidArgument,
          "max_tokens: {} leaves no room for a prompt in the maximal length {}", options.max_tokens,
          generator.max_length());
  while (reader.Next(&prompt, &record)) {
    ++summary.prompts;
    results.RequireFree(record);
    const int64_t tokens = generator.CountPromptTokens(prompt, options);
    if (tokens > room) too_long.Add(reader.place(), tokens);
  }
  too_long.Report(path, summary.prompts, generator.max_length(), options);
  summary.hash = reader.hash();
  return summary;
}

// What must be equal for a partial output to be continued: all that its lines depend on.
RunSettings SettingsOf(const BatchFiles& files, const InputSummary& input,
                       const TextGenerator& generator, const TextOptions& options, int64_t samples,
                       const std::string& model) {
  RunSettings settings = ModelSettings(model);
  settings["input"] = fmt::format("{} prompts with hash {:016x}", input.prompts, input.hash);
  const OrderedJson flags = {{"--dtype", generator.dtype()},
                             {"--kv-dtype", generator.kv_dtype()},
                             {"--max-length", generator.max_length()},
                             {"--n", samples},
                             {"--result-prefix", files.result_prefix},
                             {"--max-tokens", options.max_tokens},
                             {"--repetition-penalty", options.repetition_penalty},
                             {"--frequency-penalty", options.frequency_penalty},
                             {"--presence-penalty", options.presence_penalty},
                             {"--temperature", options.temperature},
                             {"--top-k", options.top_k},
                             {"--top-p", options.top_p},
                             {"--min-p", options.min_p},
                             {"--seed", options.seed},
                             {"--stop", options.stop},
                             {"--json-object", options.json_object},
                             {"--json-schema", options.json_schema},
                             {"--ignore-eos", options.ignore_end_of_text},
                             {"--too-long", TooLongName(options.too_long)},
                             {"--plain-text", files.plain_text},
                             {"--replace-invalid", files.invalid_utf8 == InvalidUtf8::kReplace}};
  AddSettings(flags, &settings);
  return settings;
}

ResultFields FieldsOf(const BatchFiles& files, int64_t samples) {
  std::vector<std::string> names = {"text", "tokens", "finish_reason", "cut_tokens", kErrorField};
  if (samples > 1) names.insert(names.begin(), "sample");
  return {files.result_prefix, names};
}

OrderedJson ToJson(const GeneratedText& result, int64_t sample, int64_t samples) {
  OrderedJson values;
  if (samples > 1) values["sample"] = sample;
  values["text"] = result.text;
  values["tokens"] = result.tokens.size();
  values["finish_reason"] = FinishReasonName(result.reason);
  if (result.cut_tokens > 0) values["cut_tokens"] = result.cut_tokens;
  if (result.reason == FinishReason::kError) values[kErrorField] = result.error;
  return values;
}

}  // namespace

const char* TooLongName(TooLong too_long) {
  switch (too_long) {
    case TooLong::kError:
      return "error";
    case TooLong::kSkip:
      return "skip";
    case TooLong::kTruncateLeft:
      return "truncate-left";
  }
  return "unknown";
}

const char* FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kLength:
      return "length";
    case FinishReason::kEndOfText:
      return "end_of_text";
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kTooLong:
      return "prompt_too_long";
    case FinishReason::kError:
      return "error";
  }
  return "unknown";
}

void GenerateFile(TextGenerator* generator, const BatchFiles& files, const TextOptions& options,
                  int64_t samples, const std::string& model) {
  const ResultFields results = FieldsOf(files, samples);
  const InputSummary input = CheckInput(files, *generator, options, results);
  const int64_t total = input.prompts * samples;
  ResumableLines output(files.output, SettingsOf(files, input, *generator, options, samples, model),
                        total);
  const int64_t begin = output.lines_done();
  if (begin > 0) LogInfo("{}: {} of {} are done, going on", files.output, begin, total);

  ResultErrors errors(results);
  errors.AddFile(output.partial_path());
  PromptReader reader(files.input, files.invalid_utf8);
  std::map<int64_t, JsonRecord> records;   // of the results in flight
  std::map<int64_t, std::string> waiting;  // results whose predecessors are not done
  JsonRecord record;
  std::string prompt;
  int64_t line = 0;  // of output, asked for so far
  const auto next = [&]() -> std::optional<TextGenerator::Prompt> {
    do {
      if (line % samples == 0 && !reader.Next(&prompt, &record)) return std::nullopt;
    } while (line++ < begin);
    records[line - 1] = record;
    return prompt;
  };
  ProgressBar progress("generating", total, "texts");
  progress.StartAt(begin);
  int64_t tokens = 0;
  const Stopwatch watch;
  const auto on_result = [&](int64_t index, const GeneratedText& result) {
    const int64_t position = begin + index;
    tokens += static_cast<int64_t>(result.tokens.size());
    waiting[position] =
        results.Append(records.at(position), ToJson(result, position % samples, samples));
    records.erase(position);
    while (!waiting.empty() && waiting.begin()->first == output.lines_done()) {
      output.Append(waiting.begin()->second);
      errors.Add(waiting.begin()->second);
      waiting.erase(waiting.begin());
    }
    progress.Update(output.lines_done());
    return true;
  };
  generator->GenerateBatch(next, options, on_result, static_cast<uint64_t>(begin));
  progress.Finish();
  const double seconds = watch.Seconds();
  if (output.lines_done() < total) {
    Fail(ErrorCode::kInterrupted, "{}: stopped after {} of {}{}", files.output, output.lines_done(),
         total, output.partial_path().empty() ? "" : "; the same command goes on");
  }
  output.Finish();
  PrintMessage("{} texts, {} tokens, {:.1f} tokens/s\n", total - begin, tokens,
               static_cast<double>(tokens) / seconds);
  errors.RequireNone(files.output);
}

}  // namespace blockformer
