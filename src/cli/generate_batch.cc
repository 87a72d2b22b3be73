#include "cli/generate_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/resumable_lines.h"
#include "cli/line_errors.h"
#include "cli/model_argument.h"
#include "config/json.h"
#include "data/prompt_reader.h"

namespace blockformer {
namespace {

struct InputSummary {
  int64_t prompts = 0;
  uint64_t hash = 0;  // of the contents
};

// Reads all of the input and checks that every prompt fits, before anything is generated.
InputSummary CheckInput(const std::string& path, const TextGenerator& generator,
                        const TextOptions& options) {
  Require(!FileExists(path) || std::filesystem::is_regular_file(path), ErrorCode::kInvalidArgument,
          "{}: is not a regular file; --input is read twice, so that one is wanted", path);
  PromptReader reader(path);
  std::string prompt;
  InputSummary summary;
  while (reader.Next(&prompt)) {
    ++summary.prompts;
    // An empty prompt stands for one token.
    const int64_t tokens = std::max<int64_t>(1, generator.CountTokens(prompt));
    Require(options.max_tokens <= generator.max_length() - tokens, ErrorCode::kInvalidArgument,
            "{}: a prompt of {} tokens and max_tokens {} exceed the maximal length {}",
            reader.place(), tokens, options.max_tokens, generator.max_length());
  }
  summary.hash = reader.hash();
  return summary;
}

// What must be equal for a partial output to be continued.
std::string SettingsKey(const InputSummary& input, const TextOptions& options, int64_t samples,
                        const std::string& model) {
  const OrderedJson key = {{"prompts", input.prompts},
                           {"input_hash", input.hash},
                           {"model", ModelIdentity(model)},
                           {"samples", samples},
                           {"max_tokens", options.max_tokens},
                           {"repetition_penalty", options.repetition_penalty},
                           {"temperature", options.temperature},
                           {"top_k", options.top_k},
                           {"top_p", options.top_p},
                           {"min_p", options.min_p},
                           {"seed", options.seed},
                           {"stop", options.stop},
                           {"ignore_eos", options.ignore_end_of_text}};
  return ToText(key) + "\n";
}

std::string ToLine(OrderedJson record, const GeneratedText& result, int64_t sample,
                   int64_t samples) {
  if (samples > 1) record["sample"] = sample;
  record["text"] = result.text;
  record["tokens"] = result.tokens.size();
  record["finish_reason"] = FinishReasonName(result.reason);
  if (result.reason == FinishReason::kError) record["error"] = result.error;
  return ToText(record);
}

}  // namespace

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
    case FinishReason::kError:
      return "error";
  }
  return "unknown";
}

void GenerateFile(TextGenerator* generator, const BatchFiles& files, const TextOptions& options,
                  int64_t samples, const std::string& model) {
  Require(files.force || !FileExists(files.output), ErrorCode::kInvalidArgument,
          "{}: is there already; --force replaces it", files.output);
  const InputSummary input = CheckInput(files.input, *generator, options);
  const int64_t total = input.prompts * samples;
  ResumableLines output(files.output, SettingsKey(input, options, samples, model), total);
  const int64_t begin = output.lines_done();
  if (begin > 0) LogInfo("{}: {} of {} are done, going on", files.output, begin, total);

  PromptReader reader(files.input);
  std::map<int64_t, OrderedJson> records;  // of the lines in flight
  std::map<int64_t, std::string> waiting;  // results whose predecessors are not done
  OrderedJson record;
  std::string prompt;
  int64_t line = 0;  // of output, asked for so far
  const auto next = [&]() -> std::optional<std::string> {
    do {
      if (line % samples == 0 && !reader.Next(&prompt, &record)) return std::nullopt;
    } while (line++ < begin);
    records[line - 1] = record;
    return prompt;
  };
  ProgressBar progress("generating", total, "texts");
  progress.StartAt(begin);
  int64_t tokens = 0;
  const auto start = std::chrono::steady_clock::now();
  const auto on_result = [&](int64_t index, const GeneratedText& result) {
    const int64_t position = begin + index;
    tokens += static_cast<int64_t>(result.tokens.size());
    waiting[position] = ToLine(records.at(position), result, position % samples, samples);
    records.erase(position);
    while (!waiting.empty() && waiting.begin()->first == output.lines_done()) {
      output.Append(waiting.begin()->second);
      waiting.erase(waiting.begin());
    }
    progress.Update(output.lines_done());
    return true;
  };
  generator->GenerateBatch(next, options, on_result, static_cast<uint64_t>(begin));
  progress.Finish();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (output.lines_done() < total) {
    Fail(ErrorCode::kInterrupted, "{}: stopped after {} of {}; the same command goes on",
         files.output, output.lines_done(), total);
  }
  output.Finish();
  fmt::print(stderr, "{} texts, {} tokens, {:.1f} tokens/s\n", total - begin, tokens,
             static_cast<double>(tokens) / seconds);
  RequireNoErrors(files.output, [](const OrderedJson& done) {
    return done["finish_reason"] == FinishReasonName(FinishReason::kError);
  });
}

}  // namespace blockformer
