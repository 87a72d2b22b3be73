// blockformer-train: the trainer, the only program that uses libtorch.
#include <CLI/CLI.hpp>
#include <string>

#include "base/parallel.h"
#include "base/program.h"
#include "blockformer/version.h"
#include "train/commands.h"

namespace blockformer {
namespace {

int Run(int argc, char** argv) {
  CLI::App app("Trains Block Transformers and vanilla GPT-NeoX models.", "blockformer-train");
  app.set_version_flag("--version", std::string("blockformer-train ") + kVersion);
  app.require_subcommand(1);
  AddTrainCommand(app);
  AddGenerateCommand(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& error) {
    return error.get_exit_code();  // of the processes that --nproc started
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return 0;
}

}  // namespace
}  // namespace blockformer

int main(int argc, char** argv) {
  blockformer::LimitSpinning(argv);
  return blockformer::RunProgram("blockformer-train", [&] { return blockformer::Run(argc, argv); });
}
