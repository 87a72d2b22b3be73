// blockformer: one program, a command a file.
#include <fmt/format.h>

#include "base/parallel.h"
#include "base/program.h"
#include "blockformer/version.h"
#include "cli/commands.h"
#include "kernels/isa.h"

namespace blockformer {
namespace {

int Main(int argc, char** argv) {
  CLI::App app("Trains, evaluates and serves Block Transformers (arXiv 2406.02657).",
               "blockformer");
  app.set_version_flag("--version", fmt::format("blockformer {}", kVersion));
  app.require_subcommand(1);
  AddPrepareCommand(app);
  AddTokenizerCommand(app);
  AddTrainCommand(app);
  AddGenerateCommand(app);
  AddInspectCommand(app);
  AddConvertCommand(app);
  AddScoreCommand(app);
  AddEvalCommand(app);
  AddBenchCommand(app);
  AddEvalDataCommand(app);
  AddDoctorCommand(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return 0;
}

}  // namespace
}  // namespace blockformer

int main(int argc, char** argv) {
  blockformer::LimitSpinning(argv);
  return blockformer::RunProgram("blockformer", [&] {
    blockformer::ChooseIsa();
    return blockformer::Main(argc, argv);
  });
}
