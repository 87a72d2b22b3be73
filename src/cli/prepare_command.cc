#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/program.h"
#include "base/progress.h"
#include "base/stopwatch.h"
#include "cli/commands.h"
#include "cli/corpus_flags.h"
#include "cli/flags.h"
#include "config/json.h"
#include "config/token_file_prefix.h"
#include "data/prepare.h"

namespace blockformer {
namespace {

constexpr char kPrepareDescription[] =
    "Turns text into a token file: PREFIX.bin and PREFIX.idx in the Megatron / Pythia form, and "
    "PREFIX.json with its counts.";

constexpr char kPrepareFooter[] =
    "End-of-text tokens are not stored: training adds them when it packs documents. The result "
    "does not depend on the number of threads.\n\n"
    "Example: blockformer prepare --tokenizer tokenizer.json --output data/books "
    "--validation-fraction 0.01 books.jsonl.zst";

struct PrepareFlags {
  PrepareOptions options;
  bool parse_special = false;
  bool json = false;

  SpecialTokens Special() const {
    return parse_special ? SpecialTokens::kParse : SpecialTokens::kPlainText;
  }
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

void PrintJson(const PrepareFlags& flags, const PrepareSummary& summary, double seconds) {
  const PrepareOptions& options = flags.options;
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
                            {"null_documents", summary.null_documents},
                            {"special_tokens", summary.special_tokens},
                            {"special_tokens_are", flags.parse_special ? "tokens" : "text"},
                            {"tokens", total.tokens},
                            {"bytes", total.text_bytes},
                            {"tokens_per_byte", static_cast<double>(total.tokens) /
                                                    static_cast<double>(total.text_bytes)},
                            {"vocab_size", total.vocab_size},
                            {"seconds", seconds},
                            {"splits", splits}};
  fmt::print("{}\n", ToText(json, 2));
}

void PrintText(const PrepareFlags& flags, const PrepareSummary& summary) {
  const PrepareOptions& options = flags.options;
  PrintSplit("train", options.output_prefix, summary.train);
  if (summary.validation) {
    PrintSplit("validation", ValidationPrefix(options.output_prefix), *summary.validation);
  }
  if (summary.empty_documents > 0) {
    fmt::print("{} empty documents were left out\n", summary.empty_documents);
  }
  if (summary.null_documents > 0) {
    fmt::print("{} documents whose text is null were left out\n", summary.null_documents);
  }
  if (summary.special_tokens > 0) {
    fmt::print("special tokens stand {} times in the documents and became {}\n",
               summary.special_tokens,
               flags.parse_special ? "tokens" : "text; --parse-special makes tokens of them");
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

PrepareSummary PrepareWithProgress(const PrepareOptions& options, SpecialTokens special) {
  const Tokenizer tokenizer = Tokenizer::Load(options.tokenizer_path, special);
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

// A prefix, also of somebody who names one of the files.
std::string OutputPrefix(const std::string& output) {
  std::string prefix = TokenFilePrefix(output);
  const std::string name = std::filesystem::path(prefix).filename().string();
  const std::initializer_list<const char*> kNoNames = {"", "-", ".", ".."};
  Require(std::ranges::find(kNoNames, name) == kNoNames.end(), ErrorCode::kInvalidArgument,
          "--output: {}: names no file; a folder and the name to which .bin, .idx and .json are "
          "added are wanted, such as data/books",
          output);
  return prefix;
}

void RunPrepare(const PrepareFlags& flags) {
  const PrepareOptions& options = flags.options;
  CatchStopSignals();
  WarnOfOlderValidation(options);
  MakeParentDirectory(options.output_prefix);
  const Stopwatch watch;
  const PrepareSummary summary = PrepareWithProgress(options, flags.Special());
  const double seconds = watch.Seconds();
  if (flags.json) {
    PrintJson(flags, summary, seconds);
  } else {
    PrintText(flags, summary);
  }
}

}  // namespace

void AddPrepareCommand(CLI::App& app) {
  const auto flags = std::make_shared<PrepareFlags>();
  PrepareOptions& options = flags->options;
  options.threads = NumThreads();
  CLI::App* command = app.add_subcommand("prepare", kPrepareDescription);
  command->footer(std::string(kCorpusHelp) + "\n\n" + kPrepareFooter);
  command->add_option("files", options.inputs, "Text, JSON lines, or either compressed")
      ->type_name("FILE")
      ->required();
  command
      ->add_option("--tokenizer", options.tokenizer_path,
                   "tokenizer.json, or a directory that holds one")
      ->type_name("FILE|DIR")
      ->required();
  command
      ->add_option("--output", options.output_prefix,
                   "Path and name to which .bin, .idx and .json are added")
      ->type_name("PREFIX")
      ->required();
  command
      ->add_option("--validation-fraction", options.validation_fraction,
                   "Share of the documents that goes to PREFIX-valid instead, 0 to 0.5; 0.01 holds "
                   "out one document of every 100")
      ->capture_default_str();
  AddSeedFlag(command, "Which documents are held out", &options.seed);
  AddCorpusFlags(command, &options.corpus);
  command->add_flag("--parse-special", flags->parse_special,
                    "The text of a special token in a document is the token; otherwise it is text");
  command->add_option("--threads", options.threads, "Threads that tokenise")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_flag("--force", options.force, "Replace files of this name that are there");
  command->add_flag("--json", flags->json, "Print the summary as JSON");
  command->callback([flags] {
    flags->options.output_prefix = OutputPrefix(flags->options.output_prefix);
    RunPrepare(*flags);
  });
}

}  // namespace blockformer
