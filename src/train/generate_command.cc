#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "checkpoint/model_directory.h"
#include "config/json.h"
#include "data/prompt_reader.h"
#include "text/tokenizer.h"
#include "train/commands.h"
#include "train/device.h"
#include "train/generate.h"
#include "train/weights.h"

namespace blockformer::train {
namespace {

struct GenerateFlags {
  std::string model;
  std::vector<std::string> prompts;
  std::string input;
  std::string output;
  std::string device = "auto";
  std::string dtype = "f32";
  std::string compat;
  int64_t batch_size = 32;
  GenerateOptions options;
};

DeviceChoice DeviceOf(const std::string& name) {
  if (name == "cpu") return DeviceChoice::kCpu;
  return name == "cuda" ? DeviceChoice::kCuda : DeviceChoice::kAuto;
}

std::vector<std::string> ReadPrompts(const std::string& path) {
  PromptReader reader(path);
  std::vector<std::string> prompts;
  for (std::string prompt; reader.Next(&prompt);) prompts.push_back(prompt);
  return prompts;
}

// A model directory, ready to continue text.
class TextModel {
 public:
  explicit TextModel(const GenerateFlags& flags)
      : config_(ReadModelConfig(flags.model)),
        tokenizer_(Tokenizer::Load(flags.model)),
        model_(MakeLanguageModel(
            config_, flags.dtype == "bf16" ? ComputeType::kBFloat16 : ComputeType::kFloat32,
            /*seed=*/0)) {
    RequireVocabularyFits(tokenizer_, config_.vocab_size, flags.model);
    LoadWeights(flags.model, *model_);
    model_->to(SelectDevice(DeviceOf(flags.device), /*local_rank=*/0));
  }

  // Continues prompts [begin, end); their numbers key what is drawn.
  std::vector<std::string> Continue(const std::vector<std::string>& prompts, size_t begin,
                                    size_t end, GenerateOptions options) const {
    std::vector<std::vector<int32_t>> ids;
    options.streams.clear();
    for (size_t i = begin; i < end; ++i) {
      ids.push_back(tokenizer_.EncodeWithPrefix(prompts[i]));
      if (ids.back().empty()) ids.back().push_back(static_cast<int32_t>(config_.eos_token_id));
      options.streams.push_back(i);
    }
    options.num_choices = tokenizer_.VocabSize();
    options.excluded_ids = tokenizer_.MissingIds();
    options.eos_ids = EosIds(config_);
    std::vector<std::string> texts;
    for (const auto& row : GenerateTokens(*model_, ids, options)) {
      texts.push_back(tokenizer_.DecodeContinuation(row));
    }
    return texts;
  }

 private:
  ModelConfig config_;
  Tokenizer tokenizer_;
  std::shared_ptr<LanguageModel> model_;
};

std::string ToLines(const std::vector<std::string>& prompts,
                    const std::vector<std::string>& texts) {
  std::string lines;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const OrderedJson line = {{"prompt", prompts[i]}, {"text", texts[i]}};
    // A text may end inside a character.
    lines += ToText(line) + "\n";
  }
  return lines;
}

void RunGenerate(GenerateFlags flags) {
  Require(flags.prompts.empty() != flags.input.empty(), ErrorCode::kInvalidArgument,
          "either --prompt or --input is wanted");
  SetTrainingThreads(/*threads=*/0, /*local_processes=*/1);
  flags.options.published = flags.compat == "published";
  const TextModel model(flags);
  const std::vector<std::string> prompts =
      flags.input.empty() ? flags.prompts : ReadPrompts(flags.input);
  std::vector<std::string> texts;
  ProgressBar progress("generating", static_cast<int64_t>(prompts.size()), "prompts");
  const auto batch_size = static_cast<size_t>(flags.batch_size);
  for (size_t begin = 0; begin < prompts.size(); begin += batch_size) {
    const size_t end = std::min(prompts.size(), begin + batch_size);
    for (std::string& text : model.Continue(prompts, begin, end, flags.options)) {
      texts.push_back(std::move(text));
    }
    progress.Update(static_cast<int64_t>(end));
  }
  progress.Finish();
  if (!flags.output.empty()) {
    WriteFileAtomically(flags.output, ToLines(prompts, texts));
  } else if (!flags.input.empty()) {
    fmt::print("{}", ToLines(prompts, texts));
  } else {
    for (size_t i = 0; i < prompts.size(); ++i) fmt::print("{}{}\n", prompts[i], texts[i]);
  }
}

}  // namespace

void AddGenerateCommand(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "generate", "Continues prompts with the trainer's own model, on the CPU or a GPU.");
  auto flags = std::make_shared<GenerateFlags>();
  GenerateOptions& options = flags->options;
  command->add_option("--model", flags->model, "Model directory")->required();
  command->add_option("--prompt", flags->prompts, "Text to continue; may stand several times")
      ->allow_extra_args(false);
  command->add_option("--input", flags->input, "JSON lines with a field \"prompt\"");
  command->add_option("--output", flags->output, "Where JSON lines go; standard output otherwise");
  command->add_option("--batch", flags->batch_size, "Prompts at once")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16))
      ->capture_default_str();
  command->add_option("--max-tokens", options.max_tokens, "New tokens a prompt")
      ->capture_default_str();
  command->add_option("--temperature", options.sampling.temperature, "0 takes the likeliest token")
      ->capture_default_str();
  command->add_option("--top-k", options.sampling.top_k, "Keep the k likeliest tokens; 0: all")
      ->capture_default_str();
  command->add_option("--top-p", options.sampling.top_p, "Keep tokens of this much probability")
      ->capture_default_str();
  command->add_option("--seed", options.sampling.seed, "Of the draws")->capture_default_str();
  command->add_option("--device", flags->device, "Where to compute")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  command->add_option("--dtype", flags->dtype, "Type of matrix products")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  command->add_option("--compat", flags->compat, "\"published\": as the published implementation")
      ->check(CLI::IsMember({"published"}));
  command->callback([flags] { RunGenerate(*flags); });
}

}  // namespace blockformer::train
