#ifndef BLOCKFORMER_CLI_EVAL_FLAGS_H_
#define BLOCKFORMER_CLI_EVAL_FLAGS_H_

#include <CLI/CLI.hpp>
#include <string>

#include "config/json.h"
#include "data/corpus.h"
#include "devices/devices.h"
#include "engine/scorer.h"
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

  void AddTo(CLI::App* command);
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

// The same with what was left open filled in: what a scorer does, whatever asked for it.
OrderedJson ScoringSettings(const Scorer& scorer);

// Says in the log how many texts have a context that is longer than what the model reads, if any
// has.
void WarnOfCutContexts(int64_t cut, int64_t texts, int64_t max_length);

const char* PaddingName(ScoringPadding padding);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_FLAGS_H_
