#ifndef BLOCKFORMER_CLI_MODEL_ARGUMENT_H_
#define BLOCKFORMER_CLI_MODEL_ARGUMENT_H_

#include <string>
#include <vector>

#include "base/resumable_lines.h"
#include "config/json.h"
#include "config/model_config.h"

namespace blockformer {

// Commands that look at models take either a model directory or a recipe.
bool IsRecipe(const std::string& path);

// The configuration of either. Throws Error that names the path if it is neither.
ModelConfig ReadAnyModelConfig(const std::string& path);

// A short name to show: "quickstart/block" becomes "block", "a/b.yaml" becomes "b".
std::string ModelName(const std::string& path);

// A short name for each, or its path where that would not tell it from another.
std::vector<std::string> ModelNames(const std::vector<std::string>& paths);

// The smallest context that the models in these directories, at least one, were trained for.
int64_t SmallestContext(const std::vector<std::string>& directories);

// What makes a model in a directory the same one, wherever it lies: hashes of its configuration,
// weights and tokenizer, all of which are read; the program's version
// and the instruction set, on which the last digits depend.
RunSettings ModelSettings(const std::string& directory);

// Adds an object's fields, each as JSON.
void AddSettings(const OrderedJson& fields, RunSettings* settings);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_MODEL_ARGUMENT_H_
