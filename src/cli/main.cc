// blockformer: one program, a command a file.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/program.h"
#include "blockformer/version.h"
#include "cli/commands.h"
#include "cli/eval_old_form.h"
#include "cli/help_formatter.h"
#include "cli/option_checks.h"
#include "kernels/kernel_isa.h"

namespace blockformer {
namespace {

// Names a command that is not known also where --help or --version stands beside it, and an option
// that stands before the command's name and is not one of --help and --version.
void CheckCommands(const CLI::App& app, const std::vector<std::string>& arguments) {
  const CLI::App* command = &app;
  for (const std::string& argument : arguments) {
    const std::vector<const CLI::App*> commands =
        command->get_subcommands([](const CLI::App*) { return true; });
    if (commands.empty()) return;
    if (argument.starts_with("-")) {
      Require(command->get_option_no_throw(argument) != nullptr, ErrorCode::kInvalidArgument,
              "{} is not an option of {}; a command comes first, then its options", argument,
              command->get_display_name());
      continue;
    }
    std::vector<std::string> names;
    const CLI::App* next = nullptr;
    for (const CLI::App* inner : commands) {
      names.push_back(inner->get_name());
      if (inner->get_name() == argument) next = inner;
    }
    RequireCommand(command->get_display_name(), argument, names);
    command = next;
  }
}

// CLI11 takes `--name=`, as an unset variable of a shell leaves it, for `--name`, whose value is
// the next argument.
std::vector<std::string> WithEmptyValues(const std::vector<std::string>& arguments) {
  std::vector<std::string> result;
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
    if (*argument == "--") {
      result.insert(result.end(), argument, arguments.end());
      break;
    }
    const bool is_empty =
        argument->starts_with("--") && argument->find('=') + 1 == argument->size();
    result.push_back(is_empty ? argument->substr(0, argument->size() - 1) : *argument);
    if (is_empty) result.emplace_back();
  }
  return result;
}

int Main(int argc, char** argv) {
  CLI::App app("Trains, evaluates and serves Block Transformers (arXiv 2406.02657).",
               "blockformer");
  app.formatter(std::make_shared<HelpFormatter>());  // commands take it over
  app.set_version_flag("--version", fmt::format("blockformer {}", kVersion));
  app.require_subcommand(1);
  AddPrepareCommand(app);
  AddTokenizerCommand(app);
  AddTrainCommand(app);
  AddGenerateCommand(app);
  AddServeCommand(app);
  AddInspectCommand(app);
  AddConvertCommand(app);
  AddScoreCommand(app);
  AddEvalCommand(app);
  AddBenchCommand(app);
  AddEvalDataCommand(app);
  AddDoctorCommand(app);
  CheckOptionValues(&app);
  std::vector<std::string> arguments = WithEmptyValues(WithEvalCommand({argv + 1, argv + argc}));
  CheckCommands(app, arguments);
  std::ranges::reverse(arguments);  // as CLI11 wants them
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    // An option that is not known may be a misspelt one that is missing.
    std::vector<std::string> words = app.remaining(/*recurse=*/true);
    const bool is_incomplete = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr ||
                               dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
    if (!is_incomplete || words.empty()) return app.exit(error) == 0 ? 0 : 2;
    std::ranges::reverse(words);  // the message has them from the last to the first
    app.exit(CLI::ExtrasError(std::move(words)));
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace blockformer

int main(int argc, char** argv) {
  return blockformer::RunProgram("blockformer", [&] {
    blockformer::ChooseIsa();
    return blockformer::Main(argc, argv);
  });
}
