#ifndef BLOCKFORMER_CLI_HELP_FORMATTER_H_
#define BLOCKFORMER_CLI_HELP_FORMATTER_H_

#include <CLI/CLI.hpp>
#include <string>

namespace blockformer {

// CLI11's form of --help, in which an argument that may also stand behind a flag is described and
// required once, by its place.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_HELP_FORMATTER_H_
