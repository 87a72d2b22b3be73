#include "cli/sweep.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "cli/option_checks.h"
#include "sweep/sweep_config.h"
#include "sweep/sweep_report.h"
#include "sweep/sweep_runner.h"

namespace blockformer {
namespace {

constexpr char kSweepFooter[] =
    "Overrides name a field of the base recipe: data.train=data/books/train; output=DIR is the "
    "sweep's. The same command continues a sweep that was stopped; a finished run is not repeated.";

constexpr int kMaxProcesses = 1024;

struct SweepFlags {
  std::string sweep;
  std::vector<std::string> overrides;
  int processes = 1;
  bool report_only = false;
};

void AddFlags(CLI::App* app, SweepFlags* flags) {
  app->footer(kSweepFooter);
  app->add_option("--sweep", flags->sweep, "YAML file such as recipes/ablations/sweep.yaml")
      ->required()
      ->type_name("FILE");
  app->add_option("overrides", flags->overrides, "section.key=value, any number");
  app->add_option("--nproc", flags->processes, "Processes of each training")
      ->check(CLI::Range(1, kMaxProcesses))
      ->capture_default_str();
  app->add_flag("--report-only", flags->report_only,
                "Train nothing; write the table and the plots of what is there");
}

void Train(const std::string& trainer, const SweepFlags& flags) {
  const Sweep sweep = ReadSweep(flags.sweep, flags.overrides);
  if (flags.report_only) {
    Require(IsDirectory(sweep.output), ErrorCode::kNotFound,
            "output: {} is not there; without --report-only the sweep begins", sweep.output);
    return WriteReport(sweep);
  }
  SweepPrograms programs;
  programs.trainer = trainer;
  programs.engine = std::filesystem::read_symlink("/proc/self/exe").string();
  programs.processes = flags.processes;
  const std::vector<std::string> failed = RunSweep(sweep, programs);
  WriteReport(sweep);
  Require(failed.empty(), ErrorCode::kInternal, "{} of {} runs failed: {}", failed.size(),
          sweep.runs.size(), fmt::join(failed, ", "));
}

}  // namespace

bool IsSweep(const std::vector<std::string>& arguments) {
  return std::any_of(arguments.begin(), arguments.end(), [](const std::string& argument) {
    return argument == "--sweep" || argument.starts_with("--sweep=");
  });
}

void TrainSweep(const std::string& trainer, const std::vector<std::string>& arguments) {
  CLI::App app("Trains a grid of recipes one after another and compares them.",
               "blockformer train");
  SweepFlags flags;
  AddFlags(&app, &flags);
  CheckOptionValues(&app);
  // Also behind --sweep, whose value it would be otherwise.
  if (std::ranges::find(arguments, "--help") != arguments.end()) {
    fmt::print("{}", app.help());
    return;
  }
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    throw CLI::RuntimeError(app.exit(error) == 0 ? 0 : 2);
  }
  Train(trainer, flags);
}

}  // namespace blockformer
