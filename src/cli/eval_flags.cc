#include "cli/eval_flags.h"

#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "cli/flags.h"

namespace blockformer {

void EvalFlags::AddModelTo(CLI::App* command) {
  AddDeviceFlag(command, &device);
  command
      ->add_option("--dtype", dtype, "Weights in memory: f32, bf16 or int8; auto: as in the files")
      ->capture_default_str();
  command->add_option("--threads", threads, "0: one a processor")->capture_default_str();
}

void EvalFlags::AddScoringTo(CLI::App* command, bool has_max_length) {
  command
      ->add_option("--padding", padding,
                   "Where a text begins in a block model: pad (behind L - 1 pads, so that all "
                   "tokens are scored), nopad (at a block's start, the first L are not scored); "
                   "auto: as the model was trained")
      ->capture_default_str();
  if (has_max_length) {
    command
        ->add_option("--max-length", scorer.max_length,
                     "Tokens that the model reads of a text; 0: its context")
        ->capture_default_str();
  }
  command
      ->add_option("--batch-tokens", scorer.batch_tokens,
                   "Tokens computed together; at least one request is")
      ->capture_default_str();
}

void EvalFlags::AddTextTo(CLI::App* command) {
  command->add_flag("--plain-text", plain_text,
                    "The text of a special token in a text is text; otherwise it is the token");
}

DeviceOptions EvalFlags::Device() const {
  return {ResolveDevice(device), ParseNumberTypeOrAuto("--dtype", dtype, kWeightTypes)};
}

void EvalFlags::Apply() {
  Device();
  scorer.padding = ParseScoringPadding("--padding", padding);
  RequireInRange("--max-length", scorer.max_length, 0, kMaxScorerTokens);
  RequireInRange("--batch-tokens", scorer.batch_tokens, 1, kMaxScorerTokens);
  RequireInRange("--threads", threads, 0, kMaxThreads);
  if (threads != 0) SetNumThreads(threads);
}

void AddLimit(CLI::App* command, const std::string& what, std::optional<int64_t>* limit) {
  command->add_option("--limit", *limit, "Only N " + what)->type_name("N");
}

void CheckLimit(const std::optional<int64_t>& limit) {
  constexpr int64_t kMaxLimit = int64_t{1} << 40;
  if (limit) RequireInRange("--limit", *limit, 1, kMaxLimit);
}

void AddTextData(CLI::App* command, std::vector<std::string>* data) {
  command->add_option("--data", *data, "Text or JSON lines, also compressed; may be repeated")
      ->required()
      ->allow_extra_args(false)
      ->type_name("FILE");
}

void AddModels(CLI::App* command, std::vector<std::string>* models) {
  command->add_option(kModelsArgument, *models, "Model directories, compared in the table")
      ->required()
      ->type_name("DIR");
}

std::vector<OpenedEvalModel> OpenModels(const std::vector<std::string>& models,
                                        const EvalFlags& flags) {
  std::vector<OpenedEvalModel> opened;
  for (const std::string& directory : models) {
    opened.push_back(OpenedEvalModel::Open(directory, flags.Device(), flags.Special()));
  }
  return opened;
}

SpecialTokens EvalFlags::Special() const {
  return plain_text ? SpecialTokens::kPlainText : SpecialTokens::kParse;
}

OrderedJson EvalFlags::Settings() const {
  return {{"dtype", dtype},
          {"padding", padding},
          {"max_length", scorer.max_length},
          {"plain_text", plain_text},
          {"replace_invalid", corpus.invalid_utf8 == InvalidUtf8::kReplace}};
}

OrderedJson EvalFlags::ReadingSettings() const {
  return {{"--plain-text", plain_text},
          {"--replace-invalid", corpus.invalid_utf8 == InvalidUtf8::kReplace}};
}

void WarnOfCutContexts(int64_t cut, int64_t texts, int64_t max_length) {
  if (cut == 0) return;
  LogWarning(
      "{} of {} contexts are longer than the {} tokens that the model reads; they are cut on "
      "the left",
      cut, texts, max_length);
}

OrderedJson ScoringSettings(const Scorer& scorer) {
  const ScorerOptions& options = scorer.options();
  OrderedJson settings = {{"--dtype", NumberTypeName(scorer.model().weight_type())},
                          {"--max-length", options.max_length}};
  if (options.padding) settings["--padding"] = PaddingName(*options.padding);
  return settings;
}

const char* PaddingName(ScoringPadding padding) {
  return padding == ScoringPadding::kPadded ? "pad" : "nopad";
}

}  // namespace blockformer
