// `blockformer convert`: checkpoints in and out, and vanilla models to block models.
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/program.h"
#include "base/progress.h"
#include "checkpoint/convert.h"
#include "checkpoint/formats/format.h"
#include "checkpoint/model_directory.h"
#include "cli/commands.h"
#include "cli/model_argument.h"
#include "cli/sanity_check.h"
#include "config/parameters.h"

namespace blockformer {
namespace {

constexpr char kConvertDescription[] =
    "Reads a checkpoint of any format and writes it in any other; with --uptrain, turns a vanilla "
    "model into a block model to be trained further.";

constexpr char kConvertFooter[] =
    "Formats: blockformer, a model directory; hf, a Hugging Face directory of a "
    "GPT-NeoX model such as Pythia's, or of Llama, Mistral, Qwen2 or Qwen3, or, written only, of a "
    "block model with the Python code that runs it; gguf, read only, a file of llama.cpp's format "
    "of architecture llama, qwen2, qwen3 or gptneox, with its tokenizer and chat template, whose "
    "quantised weights become f32; published-block, model.safetensors and the "
    "trainer YAML of the published Block Transformers.\n\n"
    "Examples:\n"
    "  blockformer convert pythia-70m models/pythia-70m\n"
    "  blockformer convert --dtype bf16 SmolLM2-135M-Instruct.Q4_1.gguf models/smollm2\n"
    "  blockformer convert --config block_main_b4_300.yaml checkpoint-570000 models/block-300m\n"
    "  blockformer convert --dtype int8 models/block-300m models/block-300m-int8\n"
    "  blockformer convert --to hf models/block-300m export/block-300m\n"
    "  blockformer convert --uptrain partition --block-length 4 models/pythia-70m models/block-70m";

// The sanity check runs in a copy of the weights in F32. A larger one could end the process for
// want of memory after a long conversion, so it has to be asked for; Pythia-410m has 1.6 GB.
constexpr int64_t kMaxCheckBytes = 2'000'000'000;

enum class Check { kIfSmall, kAlways, kNever };

struct ConvertFlags {
  ConvertOptions options;
  UptrainOptions uptrain;
  CLI::Option* method = nullptr;
  Check check = Check::kIfSmall;
  bool json = false;
};

// What became of the sanity check.
struct CheckOutcome {
  std::optional<SanityCheck> result;
  std::string skipped;  // why there is no result
};

CheckOutcome RunCheck(const ConvertFlags& flags, const std::string& directory,
                      const ConvertReport& report) {
  const auto bytes = CountParameters(report.config).used * static_cast<int64_t>(sizeof(float));
  if (flags.check == Check::kNever) return {{}, "not wanted"};
  if (!EntryOf(flags.options.to).is_run) {
    return {{}, fmt::format("{} is not run as it lies", FormatName(flags.options.to))};
  }
  if (!report.has_tokenizer) return {{}, "there is no tokenizer"};
  if (flags.check == Check::kIfSmall && bytes > kMaxCheckBytes) {
    return {{},
            fmt::format("it would take {:.1f} GB of memory; --check always does it",
                        static_cast<double>(bytes) / 1e9)};
  }
  return {CheckLoss(directory, report.config), ""};
}

OrderedJson ToJson(const ConvertOptions& options, const ConvertReport& report,
                   const CheckOutcome& check) {
  OrderedJson json = {{"source", options.source},
                      {"destination", options.destination},
                      {"from", FormatName(report.from)},
                      {"to", FormatName(options.to)},
                      {"kind", KindName(report.config)},
                      {"parameters", CountParameters(report.config).used},
                      {"tensors_read", report.tensors_read},
                      {"tensors_skipped", report.tensors_skipped},
                      {"tensors_written", report.tensors_written},
                      {"bytes", report.bytes},
                      {"files", report.files},
                      {"tokenizer_files", report.tokenizer_files},
                      {"checksum", fmt::format("{:016x}", report.checksum)}};
  if (check.result) {
    json["check"] = {{"loss", check.result->loss},
                     {"uniform_loss", check.result->uniform_loss},
                     {"tokens", check.result->tokens}};
  } else {
    json["check"] = {{"skipped", check.skipped}};
  }
  return json;
}

void PrintRow(const char* name, const std::string& text) { fmt::print("{:<14}{}\n", name, text); }

// Skipped tensors with the same reason go into one line: old buffers stand in every layer.
void PrintSkipped(const ConvertReport& report) {
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const auto& [name, reason] : report.tensors_skipped) by_reason[reason].push_back(name);
  for (const auto& [reason, names] : by_reason) {
    const std::string more =
        names.size() > 1 ? fmt::format(" and {} more", names.size() - 1) : std::string();
    PrintRow("skipped", fmt::format("{}{}: {}", names.front(), more, reason));
  }
}

void PrintText(const ConvertOptions& options, const ConvertReport& report,
               const CheckOutcome& check) {
  PrintRow("from", fmt::format("{} ({})", options.source, FormatName(report.from)));
  PrintRow("to", fmt::format("{} ({})", options.destination, FormatName(options.to)));
  PrintRow("model", fmt::format("{}, {} parameters", KindName(report.config),
                                CountParameters(report.config).used));
  PrintRow("tensors", fmt::format("{} read, {} skipped, {} written", report.tensors_read,
                                  report.tensors_skipped.size(), report.tensors_written));
  PrintSkipped(report);
  PrintRow("weights", fmt::format("{} bytes in {}", report.bytes, fmt::join(report.files, ", ")));
  PrintRow("tokenizer", report.tokenizer_files.empty()
                            ? "none"
                            : fmt::format("{}", fmt::join(report.tokenizer_files, ", ")));
  PrintRow("checksum",
           fmt::format("{:016x} (FNV-1a of the weights' names and data)", report.checksum));
  PrintRow("check", check.result
                        ? fmt::format("loss {:.3f} on a short text; a uniform guess has {:.3f}",
                                      check.result->loss, check.result->uniform_loss)
                        : "skipped: " + check.skipped);
}

// A bad loss is no error: the model may be untrained. One made for uptraining always is.
void WarnOfLoss(const ConvertOptions& options, const CheckOutcome& check) {
  if (!check.result || options.uptrain || check.result->loss < check.result->uniform_loss) return;
  LogWarning(
      "the loss {:.3f} is not below that of a uniform guess, {:.3f}: the model is untrained, "
      "or the weights, the configuration and the tokenizer do not belong together",
      check.result->loss, check.result->uniform_loss);
}

void Convert(ConvertFlags flags) {
  if (flags.method->count() > 0) flags.options.uptrain = flags.uptrain;
  CatchStopSignals();
  std::optional<ProgressBar> bar;
  CheckOutcome check;
  ConvertCallbacks callbacks;
  const auto stop_if_requested = [] {
    Require(!StopRequested(), ErrorCode::kInterrupted, "convert: interrupted; nothing was written");
  };
  callbacks.progress = [&](uint64_t done, uint64_t total) {
    if (!bar) bar.emplace("convert", static_cast<int64_t>(total), "bytes");
    bar->Update(static_cast<int64_t>(done));
    stop_if_requested();
  };
  callbacks.check = [&](const std::string& directory, const ConvertReport& report) {
    bar.reset();
    check = RunCheck(flags, directory, report);
    stop_if_requested();
  };
  const ConvertReport report = ConvertCheckpoint(flags.options, callbacks);
  if (flags.json) {
    fmt::print("{}\n", ToJson(flags.options, report, check).dump(2));
  } else {
    PrintText(flags.options, report, check);
  }
  WarnOfLoss(flags.options, check);
}

template <typename Enum>
using Choices = std::map<std::string, Enum>;

// `value` is an Enum or an optional one. CLI11's own transformer would take the enumerators'
// numbers as well.
template <typename Value, typename Enum>
CLI::Option* AddChoice(CLI::App* command, const std::string& name, Value& value,
                       const Choices<Enum>& choices, const std::string& description,
                       const std::string& type_name) {
  const auto to_number = [choices, type_name](std::string& text) -> std::string {
    const auto found = choices.find(text);
    if (found == choices.end()) {
      std::vector<std::string> names;
      for (const auto& choice : choices) names.push_back(choice.first);
      return fmt::format("\"{}\" is not possible; one of {} is wanted", text,
                         fmt::join(names, ", "));
    }
    text = std::to_string(static_cast<int>(found->second));
    return "";
  };
  return command->add_option(name, value, description)
      ->transform(CLI::Validator(to_number, "", ""))
      ->type_name(type_name);
}

void AddUptrainFlags(CLI::App* command, ConvertFlags* flags) {
  flags->method = AddChoice(command, "--uptrain", flags->uptrain.method,
                            Choices<UptrainMethod>{{"partition", UptrainMethod::kPartition},
                                                   {"skip", UptrainMethod::kSkip},
                                                   {"duplicate", UptrainMethod::kDuplicate}},
                            "Make a block model of a vanilla one: its decoders share the layers "
                            "out, take every second, or take all",
                            "partition|skip|duplicate");
  CLI::Option* length = command->add_option("--block-length", flags->uptrain.block_length,
                                            "Tokens a block of the uptrained model");
  length->check(CLI::Range(1, 64))->needs(flags->method);
  flags->method->needs(length);
  command
      ->add_option("--prefix-length", flags->uptrain.prefix_length,
                   "Prefix vectors of its token decoder")
      ->check(CLI::Range(1, 64))
      ->capture_default_str()
      ->needs(flags->method);
  command
      ->add_option("--block-layers", flags->uptrain.block_layers,
                   "Layers of its block decoder with partition; by default half, and the odd one")
      ->check(CLI::Range(1, 1024))
      ->needs(flags->method);
}

}  // namespace

void AddConvertCommand(CLI::App& app) {
  const auto flags = std::make_shared<ConvertFlags>();
  ConvertOptions& options = flags->options;
  CLI::App* command = app.add_subcommand("convert", kConvertDescription);
  command->footer(kConvertFooter);
  Choices<CheckpointFormat> formats;
  // Its name when there was one family.
  Choices<CheckpointFormat> targets = {{"hf-gpt-neox", CheckpointFormat::kHuggingFace}};
  for (const FormatEntry* entry : CheckpointFormats()) {
    formats[entry->name] = entry->format;
    if (entry->write != nullptr) targets[entry->name] = entry->format;
  }
  formats.insert(targets.begin(), targets.end());
  const Choices<DataType> types = {{"f32", DataType::kF32},
                                   {"bf16", DataType::kBF16},
                                   {"f16", DataType::kF16},
                                   {"int8", DataType::kI8}};
  command
      ->add_option("source", options.source,
                   "A checkpoint's directory, or its GGUF or safetensors file")
      ->type_name("SOURCE")
      ->required();
  command->add_option("destination", options.destination, "The directory to make")
      ->type_name("DEST")
      ->required();
  AddChoice(command, "--from", options.from, formats, "Format of SOURCE; recognised if not given",
            "FORMAT");
  AddChoice(command, "--to", options.to, targets, "Format of DEST; blockformer if not given",
            "FORMAT");
  AddChoice(command, "--dtype", options.type, types,
            "Type of the weights, kept if not given, but f32 for quantised ones of GGUF; int8 "
            "makes a model to run, not to train",
            "f32|bf16|f16|int8");
  command
      ->add_option("--config", options.trainer_yaml,
                   "Trainer YAML of a published checkpoint; by default the one beside the weights")
      ->type_name("YAML");
  command
      ->add_option("--tokenizer", options.tokenizer,
                   "tokenizer.json, or a directory with one; by default that of SOURCE")
      ->type_name("FILE|DIR");
  command->add_flag("--no-padding", options.without_padding,
                    "The model was trained without padding of documents, as the released block "
                    "models of 300M parameters and more were, though their YAMLs do not say so");
  AddUptrainFlags(command, flags.get());
  const auto set_shard_size = [&options](const std::string& text) {
    options.max_shard_bytes = static_cast<uint64_t>(ParseSize("--max-shard-size", text));
  };
  command
      ->add_option_function<std::string>(
          "--max-shard-size", set_shard_size,
          "Weights that are larger are divided into files of this size")
      ->default_str("5GB")
      ->type_name("SIZE");
  AddChoice(command, "--check", flags->check,
            Choices<Check>{
                {"auto", Check::kIfSmall}, {"always", Check::kAlways}, {"never", Check::kNever}},
            "Measure the loss on a short text: unless that takes more than 2 GB, always or never",
            "auto|always|never");
  command->add_flag("--force", options.replace, "Replace the model in DEST");
  command->add_flag("--json", flags->json, "Print the report as JSON");
  command->callback([flags] { Convert(*flags); });
}

}  // namespace blockformer
