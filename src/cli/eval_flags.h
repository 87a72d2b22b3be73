#ifndef BLOCKFORMER_CLI_EVAL_FLAGS_H_
#define BLOCKFORMER_CLI_EVAL_FLAGS_H_

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "base/number_type.h"
#include "config/json.h"
#include "eval/scorer.h"

namespace blockformer {

// What commands that score texts have in common.
struct EvalFlags {
  std::string dtype = "auto";
  std::string padding = "auto";
  ScorerOptions scorer;
  int threads = 0;

  void AddTo(CLI::App* command);
  // Checks the flags, takes them over into `scorer`, and sets the number of threads. Throws
  // Error(kInvalidArgument) that names the flag.
  void Apply();
  // Nothing for auto.
  std::optional<NumberType> Type() const;
  // What scores depend on.
  OrderedJson Settings() const;
};

// The same with what was left open filled in: what a scorer does, whatever asked for it.
OrderedJson ScoringSettings(const Scorer& scorer);

const char* PaddingName(ScoringPadding padding);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_EVAL_FLAGS_H_
