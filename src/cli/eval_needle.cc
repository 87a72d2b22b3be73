#include "cli/eval_needle.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/gnuplot.h"
#include "base/program.h"
#include "checkpoint/model_directory.h"
#include "cli/bench_flags.h"
#include "cli/model_argument.h"
#include "eval/needle.h"

namespace blockformer {
namespace {

void CheckPaths(const std::vector<std::string>& data, const std::string& json_path,
                const std::string& plot_path) {
  Require(!data.empty(), ErrorCode::kInvalidArgument,
          "--data: is missing; --needle wants text to hide needles in");
  RequireWritable("--json", json_path);
  if (plot_path.empty()) return;
  RequireWritable("--plot", plot_path);
  PlotTerminal("--plot", plot_path, 1, 1);  // refuses other endings
  RequireGnuplot("--plot");
}

std::vector<int64_t> DefaultLengths(const std::vector<std::string>& models) {
  constexpr int64_t kShortest = 256;
  int64_t context = std::numeric_limits<int64_t>::max();
  for (const std::string& model : models) {
    context = std::min(context, ReadModelConfig(model).max_length);
  }
  std::vector<int64_t> lengths;
  for (int64_t length = kShortest; length <= context; length *= 2) lengths.push_back(length);
  if (lengths.empty()) lengths.push_back(context);
  return lengths;
}

// A short name for each, or its path where that would not tell it from another.
std::vector<std::string> NamesOf(const std::vector<std::string>& models) {
  std::vector<std::string> names;
  for (const std::string& model : models) names.push_back(ModelName(model));
  std::vector<std::string> unique = names;
  for (size_t i = 0; i < names.size(); ++i) {
    if (std::ranges::count(names, names[i]) > 1) unique[i] = models[i];
  }
  return unique;
}

std::vector<std::vector<NeedlePrompt>> MakePrompts(const std::vector<std::string>& models,
                                                   const std::vector<std::string>& data,
                                                   const NeedleOptions& options) {
  const std::string text = ReadHaystack(data);
  std::vector<std::vector<NeedlePrompt>> prompts;
  for (const std::string& model : models) {
    const Tokenizer tokenizer = Tokenizer::Load(model);
    prompts.push_back(MakeNeedlePrompts(tokenizer, EncodeHaystack(tokenizer, text), options));
  }
  return prompts;
}

void WriteReport(const OrderedJson& report, const std::string& json_path,
                 const std::string& plot_path) {
  const bool is_json = json_path == "-";
  fmt::print(is_json ? stderr : stdout, "{}", NeedleTable(report));
  if (is_json) fmt::print("{}\n", ToText(report, 2));
  if (!is_json && !json_path.empty()) WriteFileAtomically(json_path, ToText(report, 2) + "\n");
  if (plot_path.empty()) return;
  DrawPlot(plot_path,
           NeedlePlotScript(report, std::filesystem::path(plot_path).filename().string()));
}

}  // namespace

void NeedleFlags::AddTo(CLI::App* command) {
  command->add_flag("--needle", is_wanted,
                    "Needle in a haystack: hits by depth and length in the text of --data");
  command
      ->add_option("--needle-form", form,
                   "Ending of a prompt: question, or continuation (the beginning of the needle)")
      ->capture_default_str();
  command
      ->add_option("--lengths", options.lengths,
                   "Tokens of prompt and answer, separated by commas; default: powers of two from "
                   "256 to the models' smallest context")
      ->delimiter(',')
      ->type_name("N,...");
  command
      ->add_option("--depths", options.depths,
                   "Shares of the haystack before the needle, separated by commas")
      ->delimiter(',')
      ->capture_default_str()
      ->type_name("X,...");
  command->add_option("--samples", options.samples, "Prompts for each length and depth")
      ->capture_default_str();
  command
      ->add_option("--seed", options.seed, "Of cities, numbers and places; the same for all models")
      ->capture_default_str();
}

void EvaluateNeedle(const std::vector<std::string>& models, const std::vector<std::string>& data,
                    const NeedleFlags& flags, const EvalFlags& eval, const std::string& json_path,
                    const std::string& plot_path) {
  CheckPaths(data, json_path, plot_path);
  NeedleOptions options = flags.options;
  options.form = ParseNeedleForm("--needle-form", flags.form);
  if (options.lengths.empty()) options.lengths = DefaultLengths(models);
  const std::vector<std::vector<NeedlePrompt>> prompts = MakePrompts(models, data, options);
  CatchStopSignals();
  OrderedJson report = {{"task", "needle"},
                        {"form", NeedleFormName(options.form)},
                        {"data", data},
                        {"seed", options.seed},
                        {"new_tokens", kNeedleNewTokens},
                        {"dtype", eval.dtype},
                        {"results", OrderedJson::array()}};
  const std::vector<std::string> names = NamesOf(models);
  for (size_t i = 0; i < models.size(); ++i) {
    const EvalModel model = EvalModel::Load(models[i], eval.Type());
    report["results"].push_back(RunNeedle(model, names[i], options, prompts[i]));
  }
  WriteReport(report, json_path, plot_path);
}

}  // namespace blockformer
