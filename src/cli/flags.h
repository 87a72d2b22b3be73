#ifndef BLOCKFORMER_CLI_FLAGS_H_
#define BLOCKFORMER_CLI_FLAGS_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/number_type.h"

namespace blockformer {

// What several commands check of their flags. All throw Error(kInvalidArgument) that names the
// flag, the value and what would be right.

// One of `choices` by its name.
NumberType ParseType(const std::string& flag, const std::string& text,
                     std::initializer_list<NumberType> choices);

// --device: where a model runs.
void AddDeviceFlag(CLI::App* command, std::string* device);

void RequireInRange(const std::string& flag, int64_t value, int64_t min, int64_t max);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_FLAGS_H_
