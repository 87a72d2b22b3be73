// blockformer-train: the trainer, the only program that uses libtorch.
#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/isa.h"
#include "base/parallel.h"
#include "base/program.h"
#include "blockformer/version.h"
#include "train/commands.h"

namespace blockformer::train {
namespace {

// Says in one line what libtorch says with a backtrace.
[[noreturn]] void FailAsLibtorch(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  const std::string line = text.substr(0, text.find('\n'));
  const bool out_of_memory = line.find("can't allocate") != std::string::npos ||
                             line.find("out of memory") != std::string::npos;
  if (out_of_memory) {
    Fail(ErrorCode::kExhausted, "{}; a smaller training.micro_batch_size is wanted", line);
  }
  Fail(ErrorCode::kInternal, "libtorch: {}", line);
}

int Run(int argc, char** argv) {
  CLI::App app("Trains Block Transformers and vanilla models.", "blockformer-train");
  app.set_version_flag("--version", std::string("blockformer-train ") + kVersion);
  app.require_subcommand(1);
  AddTrainCommand(app);
  if (argc > 1 && argv[1][0] != '-') {
    RequireCommand("blockformer-train", argv[1], {"train"});
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError&) {
    std::vector<std::string> words = app.remaining(/*recurse=*/true);
    std::reverse(words.begin(), words.end());  // the message has them from the last to the first
    app.exit(CLI::ExtrasError(std::move(words)));
    return 2;
  } catch (const CLI::RuntimeError& error) {
    return error.get_exit_code();  // of the processes that --nproc started
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const c10::Error& error) {
    FailAsLibtorch(error);
  }
  return 0;
}

}  // namespace
}  // namespace blockformer::train

int main(int argc, char** argv) {
  blockformer::LimitSpinning(argv);
  return blockformer::RunProgram("blockformer-train", [&] {
    blockformer::ReadIsaLimit();
    return blockformer::train::Run(argc, argv);
  });
}
