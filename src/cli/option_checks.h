#ifndef BLOCKFORMER_CLI_OPTION_CHECKS_H_
#define BLOCKFORMER_CLI_OPTION_CHECKS_H_

#include <CLI/CLI.hpp>

namespace blockformer {

// Makes all options of a program and of its commands take values as people write them. To CLI11 an
// empty value, as an unset variable of a shell has it, is 0, and 010 is 8: now the first is refused
// where it is no text, and integers are decimal.
void CheckOptionValues(CLI::App* app);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_OPTION_CHECKS_H_
