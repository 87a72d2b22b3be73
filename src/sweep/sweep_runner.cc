#include "sweep/sweep_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "base/child_process.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/program.h"
#include "base/progress.h"
#include "base/stopwatch.h"
#include "config/token_file_prefix.h"
#include "sweep/run_record.h"

namespace blockformer {
namespace {

constexpr int kRefreshMilliseconds = 1000;
constexpr std::streamoff kLogTailBytes = 1 << 14;  // of a log, to find its last line
constexpr double kProgressUnit = 1e9;              // of FLOPs

// What a program said last, without a progress bar's carriage returns.
std::string LastLine(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = std::max<std::streamoff>(0, file.tellg());
  file.seekg(std::max<std::streamoff>(0, size - kLogTailBytes));
  std::string text(std::istreambuf_iterator<char>(file), {});
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text.substr(text.find_last_of("\n\r") + 1);
}

void RequireData(const std::string& path, const char* field) {
  if (path.empty()) return;
  const std::string prefix = TokenFilePrefix(path);
  Require(FileExists(prefix + ".idx") && FileExists(prefix + ".bin"), ErrorCode::kNotFound,
          "{}: {}.bin and {}.idx are not there; {}=PREFIX on the command line names others", field,
          prefix, prefix, field);
}

// What a sweep needs before it can begin.
void Prepare(const Sweep& sweep) {
  for (const SweepRun& run : sweep.runs) {
    RequireData(run.recipe.data.train, "data.train");
    RequireData(run.recipe.data.validation, "data.validation");
  }
  for (const char* folder : {"/recipes", "/logs", "/runs"}) MakeDirectories(sweep.output + folder);
}

class SweepRunner {
 public:
  SweepRunner(const Sweep& sweep, const SweepPrograms& programs);

  std::vector<std::string> Run();

 private:
  void Train(size_t index);
  // Follows the trainer until it ends; returns its exit code.
  int Follow(const SweepRun& run, double flops_before, ChildProcess* trainer);
  void ShowProgress(double flops, const std::string& note);
  void MeasureRounds();
  // Measures a model once; returns the program's exit code.
  int MeasureThroughput(const SweepRun& run, size_t round);

  std::string LogPath(const SweepRun& run) const {
    return sweep_.output + "/logs/" + run.name + ".log";
  }
  std::string TimeLeft() const;
  void ReportFailure(const SweepRun& run, const std::string& what);
  void ReportExit(const SweepRun& run, const char* program, int exit_code);
  std::string ExitText(const SweepRun& run, const char* program, int exit_code) const;
  void EndIfAsked(int exit_code) const;

  const Sweep& sweep_;
  const SweepPrograms& programs_;
  double total_flops_ = 0;
  double earlier_flops_ = 0;  // what earlier calls have done
  double done_flops_ = 0;     // that, and the rest of the runs that have ended
  const Stopwatch watch_;
  ProgressBar progress_;
  std::vector<std::string> failed_;
};

double TotalFlops(const Sweep& sweep) {
  double total = 0;
  for (const SweepRun& run : sweep.runs) {
    total += TrainingFlops(run.recipe, run.recipe.training.stop_steps);
  }
  return total;
}

double EarlierFlops(const Sweep& sweep, const SweepRun& run) {
  const int64_t steps = ReadRunRecord(sweep, run).steps_done;
  return TrainingFlops(run.recipe, std::min(steps, run.recipe.training.stop_steps));
}

int64_t ProgressUnits(double flops) { return static_cast<int64_t>(flops / kProgressUnit); }

SweepRunner::SweepRunner(const Sweep& sweep, const SweepPrograms& programs)
    : sweep_(sweep),
      programs_(programs),
      total_flops_(TotalFlops(sweep)),
      progress_("sweep", ProgressUnits(total_flops_), "GFLOP") {
  for (const SweepRun& run : sweep.runs) earlier_flops_ += EarlierFlops(sweep, run);
  done_flops_ = earlier_flops_;
  progress_.StartAt(ProgressUnits(earlier_flops_));
}

void SweepRunner::ShowProgress(double flops, const std::string& note) {
  progress_.Update(ProgressUnits(flops), note);
}

std::string SweepRunner::TimeLeft() const {
  const double here = done_flops_ - earlier_flops_;
  if (here <= 0) return "";
  const double seconds = (total_flops_ - done_flops_) / here * watch_.Seconds();
  return fmt::format("; {} left of the sweep", FormatDuration(seconds));
}

void SweepRunner::ReportFailure(const SweepRun& run, const std::string& what) {
  progress_.Clear();
  LogWarning("run {}: {}", run.name, what);
  failed_.push_back(run.name);
}

std::string SweepRunner::ExitText(const SweepRun& run, const char* program, int exit_code) const {
  return fmt::format("{} ended with exit code {}: {}", program, exit_code, LastLine(LogPath(run)));
}

// `program` has failed, whose last words say why.
void SweepRunner::ReportExit(const SweepRun& run, const char* program, int exit_code) {
  ReportFailure(
      run, fmt::format("{} (all of it is in {})", ExitText(run, program, exit_code), LogPath(run)));
}

// A program that was told to stop without this one stands for the sweep.
void SweepRunner::EndIfAsked(int exit_code) const {
  const bool is_interrupted = StopRequested() || exit_code == kInterruptedExitCode;
  Require(!is_interrupted, ErrorCode::kInterrupted,
          "the sweep is stopped; the same command continues it");
}

int SweepRunner::Follow(const SweepRun& run, double flops_before, ChildProcess* trainer) {
  const std::string directory = sweep_.RunDirectory(run);
  while (!trainer->WaitFor(kRefreshMilliseconds)) {
    if (StopRequested()) trainer->Stop();
    const int64_t step = ReadLastStep(directory);
    ShowProgress(done_flops_ + std::max(0.0, TrainingFlops(run.recipe, step) - flops_before),
                 fmt::format("{}: step {} of {}", run.name, step, run.recipe.training.stop_steps));
  }
  return trainer->exit_code();
}

void SweepRunner::Train(size_t index) {
  const SweepRun& run = sweep_.runs[index];
  const int64_t steps = run.recipe.training.stop_steps;
  const RunRecord before = ReadRunRecord(sweep_, run);
  if (before.finished) {
    LogInfo("run {} of {}, {}: was finished", index + 1, sweep_.runs.size(), run.name);
    return;
  }
  if (!before.changed_field.empty()) {
    return ReportFailure(
        run, fmt::format("{} holds a run of {} steps with another {}; remove it, "
                         "or choose another output",
                         sweep_.RunDirectory(run), before.steps_done, before.changed_field));
  }
  const Stopwatch watch;
  const double flops_before = EarlierFlops(sweep_, run);
  const std::string recipe_path = sweep_.output + "/recipes/" + run.name + ".yaml";
  WriteFileAtomically(recipe_path, run.recipe.document.dump(2) + "\n");  // JSON is YAML too
  std::vector<std::string> arguments = {programs_.trainer, "train", recipe_path};
  if (programs_.processes > 1) {
    arguments.insert(arguments.end(), {"--nproc", std::to_string(programs_.processes)});
  }
  std::error_code ignored;
  std::filesystem::remove(FailurePath(sweep_, run), ignored);  // of an earlier attempt
  ChildProcess trainer(arguments, LogPath(run));
  const int exit_code = Follow(run, flops_before, &trainer);
  EndIfAsked(exit_code);
  Require(exit_code != ChildProcess::kNotStarted, ErrorCode::kUnsupported,
          "{} cannot be started; it is wanted beside blockformer or in PATH, and is built with "
          "-DBLOCKFORMER_TRAIN=ON, which needs libtorch-dev",
          programs_.trainer);
  done_flops_ += TrainingFlops(run.recipe, steps) - flops_before;
  ShowProgress(done_flops_, "");
  if (exit_code != 0) {
    WriteFileAtomically(FailurePath(sweep_, run), ExitText(run, "training", exit_code));
    return ReportExit(run, "training", exit_code);
  }
  const RunRecord record = ReadRunRecord(sweep_, run);
  progress_.Clear();
  LogInfo(
      "run {} of {}, {}: {} steps in {}{}{}", index + 1, sweep_.runs.size(), run.name, steps,
      FormatDuration(watch.Seconds()),
      record.curve.empty() ? "" : fmt::format(", validation loss {:.4f}", record.curve.back().loss),
      TimeLeft());
}

// After all training, so that nothing of the sweep's own runs beside it. A model that fails once is
// not tried again.
void SweepRunner::MeasureRounds() {
  std::vector<const SweepRun*> trained;
  for (const SweepRun& run : sweep_.runs) {
    if (ReadRunRecord(sweep_, run).finished) trained.push_back(&run);
  }
  const size_t rounds = sweep_.throughput.Rounds();
  if (rounds == 0 || trained.empty()) return;
  ProgressBar progress("throughput", static_cast<int64_t>(rounds * trained.size()), "models");
  int64_t done = 0;
  for (size_t round = 0; round < rounds; ++round) {
    for (const SweepRun* run : trained) {
      progress.Update(done++, fmt::format("round {} of {}: {}", round + 1, rounds, run->name));
      const bool has_failed = std::find(failed_.begin(), failed_.end(), run->name) != failed_.end();
      if (has_failed || ReadRunRecord(sweep_, *run).speeds[round]) continue;
      const int exit_code = MeasureThroughput(*run, round);
      if (exit_code == 0) continue;
      progress.Clear();
      ReportExit(*run, "bench throughput", exit_code);
    }
  }
  progress.Update(done);
}

int SweepRunner::MeasureThroughput(const SweepRun& run, size_t round) {
  const SweepThroughput& setting = sweep_.throughput;
  const int exit_code =
      RunProcess({programs_.engine, "bench", "throughput", sweep_.RunDirectory(run), "--batch",
                  std::to_string(setting.batch), "--prompt", std::to_string(setting.prompt),
                  "--generate", std::to_string(setting.generate), "--repetitions", "1", "--force",
                  "--json", ThroughputPath(sweep_, run, round)},
                 LogPath(run));
  EndIfAsked(exit_code);
  return exit_code;
}

std::vector<std::string> SweepRunner::Run() {
  LogInfo("{} runs, {:.3g} FLOPs of training; in {}", sweep_.runs.size(), total_flops_,
          sweep_.output);
  for (size_t i = 0; i < sweep_.runs.size(); ++i) Train(i);
  progress_.Finish();
  MeasureRounds();
  return failed_;
}

}  // namespace

std::vector<std::string> RunSweep(const Sweep& sweep, const SweepPrograms& programs) {
  CatchStopSignals();
  Prepare(sweep);
  return SweepRunner(sweep, programs).Run();
}

}  // namespace blockformer
