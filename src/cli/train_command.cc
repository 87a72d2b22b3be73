// Starts blockformer-train, which is a program of its own because it needs libtorch: once, or once
// for each run of a sweep.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/sweep.h"

namespace blockformer {
namespace {

constexpr char kTrainer[] = "blockformer-train";

// Beside this program, as in the build and bin directories, or where distributions keep programs
// that others start. Otherwise the bare name, to be looked up in PATH.
std::string FindTrainer() {
  std::error_code ignored;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  for (const char* folder : {".", "../libexec"}) {
    std::string path = (self.parent_path() / folder / kTrainer).string();
    if (FileExists(path)) return path;
  }
  return kTrainer;
}

void ExecuteTrainer(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {FindTrainer(), "train"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  Require(errno != ENOENT, ErrorCode::kUnsupported,
          "train: {} is neither beside this program nor in PATH; this build has no trainer "
          "(configure with -DBLOCKFORMER_TRAIN=ON, which needs libtorch-dev)",
          kTrainer);
  Fail(ErrorCode::kIo, "train: cannot start {}: {}", words[0], SystemErrorText(errno));
}

}  // namespace

void AddTrainCommand(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("train", "Trains the model that a recipe describes (blockformer-train).");
  // Everything, --help too, is the trainer's to read.
  command->prefix_command();
  command->set_help_flag();
  command->callback([command] {
    const std::vector<std::string> arguments = command->remaining();
    if (IsSweep(arguments)) return TrainSweep(FindTrainer(), arguments);
    ExecuteTrainer(arguments);
  });
}

}  // namespace blockformer
