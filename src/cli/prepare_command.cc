#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/program.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "config/json.h"
#include "data/prepare.h"

namespace blockformer {
namespace {

constexpr char kDescription[] =
    "Turns text into a token file: PREFIX.bin and PREFIX.idx in the Megatron / Pythia form, and "
    "PREFIX.json with its counts.";

constexpr char kFooter[] =
    "Inputs, by name: .jsonl and .json are JSON lines, one document a line; anything else is plain "
    "text, one document a file; .zst after either is decompressed; - reads JSON lines from "
    "standard "
    "input. A document or line may be 1 GiB long. End-of-text tokens are not stored: training adds "
    "them when it packs documents. The result does not depend on the number of threads.\n\n"
    "Example: blockformer prepare --tokenizer tokenizer.json --output data/books "
    "--validation-fraction 0.01 books.jsonl.zst";

struct Flags {
  PrepareOptions options;
  bool replace_invalid = false;
  bool json = false;
};

OrderedJson ToJson(const std::string& prefix, const TokenFileInfo& info) {
  return {{"prefix", prefix},
          {"documents", info.documents},
          {"tokens", info.tokens},
          {"bytes", info.text_bytes}};
}

void PrintSplit(const char* name, const std::string& prefix, const TokenFileInfo& info) {
  fmt::print("{:<10} {:>10} documents {:>14} tokens {:>14} bytes  {}.bin\n", name, info.documents,
             info.tokens, info.text_bytes, prefix);
}

void PrintJson(const PrepareOptions& options, const PrepareSummary& summary, double seconds) {
  TokenFileInfo total = summary.train;
  OrderedJson splits = {{"train", ToJson(options.output_prefix, summary.train)}};
  if (summary.validation) {
    total.documents += summary.validation->documents;
    total.tokens += summary.validation->tokens;
    total.text_bytes += summary.validation->text_bytes;
    splits["validation"] = ToJson(ValidationPrefix(options.output_prefix), *summary.validation);
  }
  const OrderedJson json = {{"documents", total.documents},
                            {"empty_documents", summary.empty_documents},
                            {"tokens", total.tokens},
                            {"bytes", total.text_bytes},
                            {"tokens_per_byte", static_cast<double>(total.tokens) /
                                                    static_cast<double>(total.text_bytes)},
                            {"vocab_size", total.vocab_size},
                            {"seconds", seconds},
                            {"splits", splits}};
  fmt::print("{}\n", ToText(json, 2));
}

void PrintText(const PrepareOptions& options, const PrepareSummary& summary) {
  PrintSplit("train", options.output_prefix, summary.train);
  if (summary.validation) {
    PrintSplit("validation", ValidationPrefix(options.output_prefix), *summary.validation);
  }
  if (summary.empty_documents > 0) {
    fmt::print("{} empty documents were left out\n", summary.empty_documents);
  }
}

// A split that this run does not write would keep documents that this run trains on.
void WarnOfOlderValidation(const PrepareOptions& options) {
  const std::string prefix = ValidationPrefix(options.output_prefix);
  if (options.validation_fraction > 0 || !FileExists(prefix + ".idx")) return;
  LogWarning("{}.idx is there from an earlier run and may hold documents of this one", prefix);
}

void MakeParentDirectory(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (!parent.empty()) MakeDirectories(parent);
}

PrepareSummary PrepareWithProgress(const PrepareOptions& options) {
  const Tokenizer tokenizer = Tokenizer::Load(options.tokenizer_path);
  std::optional<ProgressBar> bar;
  return PrepareTokenFiles(tokenizer, options, [&](const PrepareProgress& progress) {
    if (StopRequested()) {
      if (bar) bar->Clear();
      Fail(ErrorCode::kInterrupted, "prepare: interrupted; nothing was written to {}",
           options.output_prefix);
    }
    if (!bar) bar.emplace("prepare", static_cast<int64_t>(progress.total_bytes), "bytes");
    bar->Update(static_cast<int64_t>(progress.bytes_read),
                fmt::format("{} documents, {} tokens", progress.documents, progress.tokens));
  });
}

void RunPrepare(const Flags& flags) {
  PrepareOptions options = flags.options;
  options.corpus.invalid_utf8 = flags.replace_invalid ? InvalidUtf8::kReplace : InvalidUtf8::kError;
  CatchStopSignals();
  WarnOfOlderValidation(options);
  MakeParentDirectory(options.output_prefix);
  const auto begin = std::chrono::steady_clock::now();
  const PrepareSummary summary = PrepareWithProgress(options);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (flags.json) {
    PrintJson(options, summary, seconds);
  } else {
    PrintText(options, summary);
  }
}

}  // namespace

void AddPrepareCommand(CLI::App& app) {
  const auto flags = std::make_shared<Flags>();
  PrepareOptions& options = flags->options;
  options.threads = NumThreads();
  CLI::App* command = app.add_subcommand("prepare", kDescription);
  command->footer(kFooter);
  command->add_option("files", options.inputs, "Text, JSON lines, or either compressed by zstd")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--tokenizer", options.tokenizer_path,
                   "tokenizer.json, or a directory that holds one")
      ->type_name("FILE|DIR")
      ->required();
  command->add_option("--output", options.output_prefix, "Path and name to which .bin is added")
      ->type_name("PREFIX")
      ->required();
  command
      ->add_option("--validation-fraction", options.validation_fraction,
                   "Share of the documents that goes to PREFIX-valid instead, 0 to 0.5; 0.01 holds "
                   "out one document of every 100")
      ->capture_default_str();
  command->add_option("--seed", options.seed, "Which documents are held out")
      ->capture_default_str();
  command->add_option("--field", options.corpus.text_field, "Field of a JSON line with the text")
      ->capture_default_str();
  command->add_flag("--replace-invalid", flags->replace_invalid,
                    "Replace invalid UTF-8 by U+FFFD; otherwise it is an error");
  command->add_option("--threads", options.threads, "Threads that tokenise")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_flag("--force", options.force, "Replace files of this name that are there");
  command->add_flag("--json", flags->json, "Print the summary as JSON");
  command->callback([flags] { RunPrepare(*flags); });
}

}  // namespace blockformer
