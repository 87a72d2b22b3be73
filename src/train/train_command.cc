#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/program.h"
#include "base/shell_word.h"
#include "config/train_recipe.h"
#include "train/commands.h"
#include "train/loop/trainer.h"
#include "train/processes/distributed.h"
#include "train/processes/launcher.h"

namespace blockformer::train {
namespace {

constexpr char kFooter[] =
    "Overrides name a field of the recipe: training.steps=100 output=runs/trial. Continues by "
    "itself "
    "when the output directory holds a checkpoint; a stop signal (Ctrl-C, SIGTERM, SIGHUP) saves "
    "one.\n\n"
    "Several machines: start one process on each with RANK, WORLD_SIZE, MASTER_ADDR and "
    "MASTER_PORT set, or use torchrun --no-python. GLOO_SOCKET_IFNAME names the network interface "
    "to use.\n\n"
    "blockformer train --sweep FILE trains a grid of recipes, see docs/training.md.\n\n"
    "Example: blockformer train recipes/small/block_5m.yaml training.steps=1000 --nproc 2";

constexpr int kMaxLocalProcesses = 1024;

struct Flags {
  std::string recipe;
  std::vector<std::string> overrides;
  int processes = 1;
  bool restart = false;
};

std::vector<std::string> CommandLine() {
  const std::string joined = ReadFile("/proc/self/cmdline");  // each argument ends with a zero byte
  std::vector<std::string> arguments;
  for (size_t begin = 0; begin < joined.size();) {
    arguments.emplace_back(joined.c_str() + begin);
    begin += arguments.back().size() + 1;
  }
  return arguments;
}

// The command that starts the same run from a shell, by the name of the program that starts this
// one.
std::string ShellCommand(const std::vector<std::string>& arguments) {
  std::string command = "blockformer";
  for (size_t i = 1; i < arguments.size(); ++i) {
    command += ' ';
    command += ShellWord(arguments[i]);
  }
  return command;
}

void RunTrain(const Flags& flags) {
  CatchStopSignals();
  // A log that nobody reads any more, such as a pipe to tee in a closed terminal, ends no training.
  std::signal(SIGPIPE, SIG_IGN);
  const TrainRecipe recipe = ReadTrainRecipe(flags.recipe, flags.overrides);
  const std::vector<std::string> arguments = CommandLine();
  if (flags.processes > 1 && !IsLaunchedHere()) {
    Require(!HasRankInEnvironment(), ErrorCode::kInvalidArgument,
            "--nproc {}: RANK is set in the environment, which says that this is one process of "
            "another launcher's; leave out --nproc, or unset RANK",
            flags.processes);
    const int exit_code = RunLocalProcesses(flags.processes, arguments);
    if (exit_code != 0) throw CLI::RuntimeError(exit_code);
    return;
  }
  TrainOptions options;
  options.command = ShellCommand(arguments);
  options.restart = flags.restart;
  Train(recipe, options, ReadRankFromEnvironment());
}

}  // namespace

void AddTrainCommand(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "Trains the model that a recipe describes.");
  auto flags = std::make_shared<Flags>();
  command->footer(kFooter);
  // As the users of `blockformer train`, which starts this program, call it.
  command->formatter_fn([](const CLI::App* train, const std::string&, CLI::AppFormatMode mode) {
    return CLI::Formatter().make_help(train, "blockformer train", mode);
  });
  command->add_option("recipe", flags->recipe, "YAML file, such as those in recipes/")->required();
  command->add_option("overrides", flags->overrides, "section.key=value, any number");
  command->add_option("--nproc", flags->processes, "Processes on this machine that share the work")
      ->check(CLI::Range(1, kMaxLocalProcesses))
      ->capture_default_str();
  command->add_flag("--restart", flags->restart,
                    "Begin anew; an earlier output directory is renamed to DIR.old-N");
  command->callback([flags] { RunTrain(*flags); });
}

}  // namespace blockformer::train
