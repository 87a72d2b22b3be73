#ifndef BLOCKFORMER_CLI_EVAL_FLAGS_H_
#define BLOCKFORMER_CLI_EVAL_FLAGS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/json.h"
#include "data/corpus.h"
#include "devices/devices.h"
#include "engine/scorer.h"
#include "eval/eval_model.h"
#include "text/tokenizer.h"

namespace blockformer {

// What commands that score texts have in common.
struct EvalFlags {
  std::string device = "auto";
  std::string dtype = "auto";
  std::string padding = "auto";
  ScorerOptions scorer;
  int threads = 0;
  bool plain_text = false;
  CorpusOptions corpus;  // how files of text or JSON lines are read; AddTo() adds no flags for it

  // Flags of where and how a model runs.
  void AddModelTo(CLI::App* command);
  // Of how texts are scored: padding, batches, and with `max_length` how much of a text is read.
  void AddScoringTo(CLI::App* command, bool has_max_length = true);
  // Of how texts become tokens.
  void AddTextTo(CLI::App* command);
  // Checks the flags, takes them over into `scorer`, and sets the number of threads. Throws
  // Error(kInvalidArgument) that names the flag.
  void Apply();
  // Where the model runs, with which type of weights.
  DeviceOptions Device() const;
  // What the text of a special token is in texts.
  SpecialTokens Special() const;
  // What scores depend on.
  OrderedJson Settings() const;
  // The flags that say how texts are read.
  OrderedJson ReadingSettings() const;
};

// The flag --limit: at most so many of `what` ("records of each task"). CheckLimit() throws
// Error(kInvalidArgument) if it is out of range.
void AddLimit(CLI::App* command, const std::string& what, std::optional<int64_t>* limit);
void CheckLimit(const std::optional<int64_t>& limit);

// --data of texts, at least one file.
void AddTextData(CLI::App* command, std::vector<std::string>* data);

// Model directories, at least one.
void AddModels(CLI::App* command, std::vector<std::string>* models);

// Opens all of them before any is measured. Throws Error as OpenedEvalModel::Open does.
std::vector<OpenedEvalModel> OpenModels(const std::vector<std::string>& models,
                                        const EvalFlags& flags);

// The same with what was left open filled in: what a scorer does, whatever asked for it.
OrderedJson ScoringSettings(const Scorer& scorer);

// Says in the log how many texts have a context that is longer than what the model reads, if any
// has.
void WarnOfCutContexts(int64_t cut, int64_t texts, int64_t max_length);

const char* PaddingName(ScoringPadding padding);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_FLAGS_H_
