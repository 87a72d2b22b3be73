#include "train/loop/trainer.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "base/program.h"
#include "base/progress.h"
#include "base/stopwatch.h"
#include "config/parameters.h"
#include "text/utf8.h"
#include "train/loop/checkpoint.h"
#include "train/loop/checkpoint_store.h"
#include "train/loop/device.h"
#include "train/loop/lr_schedule.h"
#include "train/loop/metrics_log.h"
#include "train/loop/optimizer.h"
#include "train/loop/resume.h"
#include "train/loop/step_gradients.h"
#include "train/loop/text_sample.h"
#include "train/loop/training_data.h"
#include "train/loop/validation.h"
#include "train/model/language_model.h"
#include "train/model/weights.h"

namespace blockformer::train {
namespace {

// A step that takes longer than this shows how far it is.
constexpr double kLongStepSeconds = 2;

// The text of a stop signal's handler. On a terminal the progress bar's line is left before it.
constexpr char kStopNotice[] =
    "\ninfo: asked to stop: as soon as the work at hand is done, what is not saved yet is saved; a "
    "second Ctrl-C or SIGTERM ends the run at once\n";

class Trainer {
 public:
  Trainer(const TrainRecipe& recipe, const TrainOptions& options, const ProcessRank& rank);

  void Run();

 private:
  void PrepareOutput();
  void ShareState();
  void LogSetup() const;

  void WarnOfNothingToDo() const;
  void ValidateIfMissed();
  bool TrainStep();
  StepLossSums ComputeGradients(const Stopwatch& watch);
  void SaveStepsBeforeError();
  void ShowMicroBatch(double seconds, int64_t done, int64_t total);
  [[noreturn]] void StopWithinStep();
  [[noreturn]] void FailAsStopped() const;
  void ReportStep(const StepLossSums& totals, double learning_rate, double norm, double seconds);

  void RequireFinite(bool finite, std::string_view what, int64_t step) const;
  bool ParametersAreFinite() const;
  bool IsDue(int64_t interval) const;
  bool Validate();
  void ReportValidation(const ValidationLoss& loss);
  std::string MakeSample() const;
  // A full disk is an error only if the checkpoint `is_required`.
  void SaveCheckpoint(bool is_required);
  void WriteToStore(int64_t best_step);

  double TokensPerStep() const {
    return static_cast<double>(recipe_.training.batch_size * recipe_.model.max_length);
  }

  TrainRecipe recipe_;
  const TrainOptions& options_;
  const torch::Device device_;
  const int threads_;
  // What can be wrong is looked at before the processes wait for each other.
  const BatchShare share_;
  TrainingData data_;
  ProcessGroup group_;
  std::shared_ptr<LanguageModel> model_;
  StepGradients gradients_;
  AdamW optimizer_;
  TrainingState state_;
  double peak_flops_ = 0;  // of all processes

  // In the main process only.
  std::optional<CheckpointStore> store_;
  TrainingState saved_;  // of the newest checkpoint; step 0 if there is none
  std::optional<MetricsLog> metrics_;
  std::optional<ProgressBar> progress_;
};

ComputeType ComputeTypeOf(const TrainRecipe& recipe) {
  return recipe.training.bfloat16 ? ComputeType::kBFloat16 : ComputeType::kFloat32;
}

AdamWOptions OptimizerOptions(const TrainingRecipe& training) {
  return {training.beta1, training.beta2, training.epsilon, training.weight_decay};
}

// A loss of the state as a number that can be sent to other processes.
double OrNan(const std::optional<double>& loss) {
  return loss.value_or(std::numeric_limits<double>::quiet_NaN());
}

std::optional<double> UnlessNan(double loss) {
  return std::isnan(loss) ? std::nullopt : std::optional(loss);
}

Trainer::Trainer(const TrainRecipe& recipe, const TrainOptions& options, const ProcessRank& rank)
    : recipe_(recipe),
      options_(options),
      device_(SelectDevice(recipe.training.device, rank.local_rank)),
      threads_(SetTrainingThreads(recipe.training.threads, rank.local_world_size)),
      share_(ShareOf(recipe.training, rank.world_size)),
      data_(recipe),
      group_(rank, device_, data_.Describe(recipe)),
      model_(MakeLanguageModel(recipe.model, ComputeTypeOf(recipe), recipe.training.seed)),
      gradients_(recipe_.training, data_.train, share_, device_, &group_, model_.get()),
      optimizer_((model_->to(device_), *model_), OptimizerOptions(recipe.training)) {
  state_.data = data_.fingerprint;
  state_.validation_step = 0;
  state_.validation_set = data_.validation_set;
  model_->set_auxiliary_losses(recipe.training.auxiliary);
  if (group_.IsMain()) PrepareOutput();
  ShareState();
  const torch::Tensor peak =
      torch::tensor({MeasurePeakFlops(device_)}, torch::kFloat64).to(device_);
  group_.Sum({peak});
  peak_flops_ = peak.item<double>();
}

void Trainer::PrepareOutput() {
  if (options_.restart && FileExists(recipe_.output)) SetRunAside(&recipe_);
  RequireLinksOnly(recipe_.output, data_.tokenizer_files);
  store_.emplace(recipe_.output);
  const TrainingTensors tensors = {*model_, optimizer_};
  if (std::optional<TrainingState> state =
          ResumeRun(recipe_, data_.fingerprint, tensors, &*store_)) {
    state_ = *std::move(state);
    state_.data = data_.fingerprint;  // an earlier version's has no sample
    SetValidationSet(data_.validation_set, &state_);
    saved_ = state_;
  } else if (!recipe_.init_from.empty()) {
    LoadInitialWeights(recipe_.init_from, *model_);
    LogInfo("the weights are those of {}", recipe_.init_from);
  }
  metrics_.emplace(recipe_.output + "/metrics.jsonl", state_.step);
}

// Gives all processes what the main one has read.
void Trainer::ShareState() {
  std::vector<torch::Tensor> tensors = model_->parameters();
  for (const auto& [name, tensor] : optimizer_.State()) tensors.push_back(tensor);
  const torch::Tensor steps =
      torch::tensor({state_.step, state_.best_step, state_.validation_step.value_or(-1)},
                    torch::kInt64)
          .to(device_);
  const torch::Tensor losses =
      torch::tensor(
          {OrNan(state_.training_loss), OrNan(state_.validation_loss), OrNan(state_.best_loss)},
          torch::kFloat64)
          .to(device_);
  tensors.insert(tensors.end(), {steps, losses});
  group_.Broadcast(tensors);
  state_.step = steps[0].item<int64_t>();
  state_.best_step = steps[1].item<int64_t>();
  const auto validation_step = steps[2].item<int64_t>();
  state_.validation_step = validation_step < 0 ? std::nullopt : std::optional(validation_step);
  state_.training_loss = UnlessNan(losses[0].item<double>());
  state_.validation_loss = UnlessNan(losses[1].item<double>());
  state_.best_loss = UnlessNan(losses[2].item<double>());
  optimizer_.SetUpdates(state_.step);
}

void Trainer::LogSetup() const {
  const ParameterCounts counts = CountParameters(recipe_.model);
  LogInfo("{} model: {} parameters, {} non-embedding; context {}; in {}",
          recipe_.model.kind == ModelKind::kBlock ? "block" : "vanilla", counts.used,
          counts.non_embedding, recipe_.model.max_length, recipe_.output);
  LogInfo("{} in {}, {} processes of {} threads, {:.0f} GFLOP/s in f32 measured; {}", device_.str(),
          recipe_.training.bfloat16 ? "bf16" : "f32", group_.size(), threads_, peak_flops_ / 1e9,
          BlasDescription());
  LogInfo("{} samples of {} tokens; {} steps of {} samples ({:.2f} epochs), {} at once",
          data_.train.NumSamples(), recipe_.model.max_length, recipe_.training.stop_steps,
          recipe_.training.batch_size,
          static_cast<double>(recipe_.training.stop_steps * recipe_.training.batch_size) /
              static_cast<double>(data_.train.NumSamples()),
          share_.micro_batch);
  if (recipe_.training.flops > 0) {
    LogInfo("training.flops {:g}: {} steps of {:.3g} FLOPs", recipe_.training.flops,
            recipe_.training.steps, TrainingFlops(recipe_, 1));
  }
}

void Trainer::Run() {
  const int64_t last_step = recipe_.training.stop_steps;
  if (state_.step > last_step) {
    if (group_.IsMain()) WarnOfNothingToDo();
    return;
  }
  if (group_.IsMain()) {
    LogSetup();
    progress_.emplace("training", last_step, "steps");
    progress_->StartAt(state_.step);
  }
  ValidateIfMissed();
  while (state_.step < last_step) {
    const bool stop = TrainStep();
    const bool validates = data_.validation && IsDue(recipe_.validation.interval);
    const bool saves = stop || IsDue(recipe_.checkpoint.interval);
    const bool is_required = stop || state_.step == last_step;
    // Before a validation too, which takes long and may fail.
    if (saves) SaveCheckpoint(is_required);
    if (validates && (Validate() || saves)) SaveCheckpoint(is_required);
    if (stop && state_.step < last_step) FailAsStopped();
  }
  if (!group_.IsMain()) return;
  progress_->Finish();
  LogInfo("{} steps done{}; the model is in {}", state_.step,
          state_.validation_loss ? fmt::format(", validation loss {:.4f}", *state_.validation_loss)
                                 : "",
          recipe_.output);
}

// A shorter schedule is not the one that the model was trained with.
void Trainer::WarnOfNothingToDo() const {
  const TrainingRecipe& training = recipe_.training;
  const char* field = training.stop_steps < training.steps ? "training.stop_steps"
                      : training.flops > 0                 ? "training.flops"
                                                           : "training.steps";
  LogWarning(
      "{}: {} has {} steps already, more than {}; nothing is trained, and the model stays as it is",
      field, recipe_.output, state_.step, training.stop_steps);
}

// Validates the step that the run continues from, where an earlier process did not come to that.
void Trainer::ValidateIfMissed() {
  const bool is_missed = state_.validation_step && *state_.validation_step < state_.step;
  if (!data_.validation || !is_missed || !IsDue(recipe_.validation.interval)) return;
  Validate();
  SaveCheckpoint(/*is_required=*/true);
}

// One optimiser step on the global batch. Returns whether a process was asked to stop.
bool Trainer::TrainStep() {
  const Stopwatch watch;
  optimizer_.ZeroGradients();
  const StepLossSums totals = ComputeGradients(watch);
  if (!totals.is_whole) StopWithinStep();

  const double average = totals.weight > 0 ? 1 / totals.weight : 0;
  const double norm = optimizer_.GradientNorm() * average;
  const double clip_norm = recipe_.training.clip_norm;
  const double learning_rate = LearningRate(recipe_.training, state_.step);
  RequireFinite(std::isfinite(totals.loss) && std::isfinite(norm), "loss", state_.step + 1);
  optimizer_.Step(learning_rate, average * (clip_norm > 0 ? ClipScale(norm, clip_norm) : 1));
  ++state_.step;
  state_.training_loss = totals.Mean();
  if (group_.IsMain()) ReportStep(totals, learning_rate, norm, watch.Seconds());
  return totals.stop;
}

StepLossSums Trainer::ComputeGradients(const Stopwatch& watch) {
  try {
    return gradients_.Compute(state_.step, [&](int64_t done, int64_t total) {
      ShowMicroBatch(watch.Seconds(), done, total);
    });
  } catch (const std::exception&) {
    SaveStepsBeforeError();
    throw;
  }
}

// An error within a step leaves what the steps before have made.
void Trainer::SaveStepsBeforeError() {
  if (!group_.IsMain() || state_.step <= saved_.step) return;
  progress_->Clear();
  try {
    SaveCheckpoint(/*is_required=*/true);
    LogInfo("step {}, the last one before an error, is saved", state_.step);
  } catch (const std::exception& error) {
    LogWarning("no checkpoint of step {}, the last one before an error: {}", state_.step,
               error.what());
  }
}

void Trainer::ShowMicroBatch(double seconds, int64_t done, int64_t total) {
  if (!group_.IsMain() || seconds < kLongStepSeconds) return;
  progress_->Update(state_.step,
                    fmt::format("step {}: micro-batch {} of {}", state_.step + 1, done, total));
}

// A step that was left has changed nothing; what was done before it is saved.
void Trainer::StopWithinStep() {
  Require(state_.step > 0, ErrorCode::kInterrupted,
          "stopped within the first step; there is nothing to save");
  if (saved_.step < state_.step) SaveCheckpoint(/*is_required=*/true);
  FailAsStopped();
}

void Trainer::FailAsStopped() const {
  Fail(ErrorCode::kInterrupted, "stopped after step {}{}", state_.step,
       group_.IsMain() ? ", which is saved; the same command continues" : "");
}

void Trainer::ReportStep(const StepLossSums& totals, double learning_rate, double norm,
                         double seconds) {
  const double tokens_per_second = TokensPerStep() / seconds;
  const double flops = TrainingFlopsPerToken(recipe_.model);
  OrderedJson entry = {{"step", state_.step},
                       {"tokens", static_cast<int64_t>(TokensPerStep()) * state_.step},
                       {"loss", totals.Mean()}};
  const AuxiliaryLosses& auxiliary = recipe_.training.auxiliary;
  if (auxiliary.block_decoding != BlockDecodingLoss::kNone) {
    entry["block_decoding_loss"] = totals.MeanOf(totals.block_decoding);
  }
  if (auxiliary.auto_encoding_weight > 0) {
    entry["auto_encoding_loss"] = totals.MeanOf(totals.auto_encoding);
  }
  entry.update(OrderedJson{{"learning_rate", learning_rate},
                           {"grad_norm", norm},
                           {"tokens_per_s", tokens_per_second},
                           {"mfu", flops * tokens_per_second / peak_flops_}});
  metrics_->Append(entry);
  progress_->Update(state_.step,
                    fmt::format("loss {:.3f}, {:.0f} tokens/s", totals.Mean(), tokens_per_second));
}

// Ends a run that has diverged before it saves what no run can continue from. The main process,
// which writes them, alone speaks of checkpoints.
void Trainer::RequireFinite(bool finite, std::string_view what, int64_t step) const {
  const bool has_earlier = group_.IsMain() && saved_.step > 0 && saved_.step < step;
  Require(finite, ErrorCode::kInvalidArgument,
          "training.learning_rate: the {} became infinite or not a number at step {}; {}a lower "
          "rate or a longer warm-up is wanted",
          what, step,
          has_earlier ? fmt::format("the checkpoint of step {} in {} is from before; ", saved_.step,
                                    recipe_.output)
                      : "");
}

bool Trainer::ParametersAreFinite() const {
  return std::ranges::all_of(model_->parameters(), [](const torch::Tensor& parameter) {
    return torch::isfinite(parameter).all().item<bool>();
  });
}

// After every `interval` steps, and after the last step.
bool Trainer::IsDue(int64_t interval) const {
  return state_.step == recipe_.training.stop_steps ||
         (interval > 0 && state_.step % interval == 0);
}

// Measures the loss on the validation file. Returns whether a checkpoint of it is wanted: it is the
// lowest so far, and the best is kept.
bool Trainer::Validate() {
  const std::optional<ValidationLoss> loss = MeasureValidationLoss(
      *model_, *data_.validation, recipe_.validation.samples, share_.micro_batch, device_, &group_);
  state_.validation_step = state_.step;
  if (!loss) return false;  // nothing but padding
  RequireFinite(std::isfinite(loss->mean), "validation loss", state_.step);
  state_.validation_loss = loss->mean;
  const bool is_best = !state_.best_loss || loss->mean < *state_.best_loss;
  if (is_best) {
    state_.best_loss = loss->mean;
    state_.best_step = state_.step;
  }
  if (group_.IsMain()) ReportValidation(*loss);
  return is_best && recipe_.checkpoint.keep_best;
}

void Trainer::ReportValidation(const ValidationLoss& loss) {
  OrderedJson entry = {{"step", state_.step}, {"validation_loss", loss.mean}};
  std::string text = fmt::format("step {}: validation loss {:.4f}", state_.step, loss.mean);
  if (data_.validation_tokens_per_byte) {
    const double bits = loss.mean / std::numbers::ln2 * *data_.validation_tokens_per_byte;
    entry["validation_bits_per_byte"] = bits;
    text += fmt::format(", {:.4f} bits a byte", bits);
  }
  OrderedJson& by_position = entry["validation_loss_by_position"] = OrderedJson::array();
  for (const std::optional<double>& mean : loss.by_position) {
    by_position.push_back(mean ? OrderedJson(*mean) : OrderedJson());
  }
  progress_->Clear();
  const std::string sample = MakeSample();
  if (!sample.empty()) {
    entry["sample"] = sample;
    text += ": " + Printable(ReplaceInvalidUtf8(sample), "\n\t");
  }
  metrics_->Append(entry);
  LogInfo("{}", text);
}

// The prompt and its continuation; the settings are those at which small models read best. A sample
// that fails, such as at a prompt too long for the model, is not worth ending a training for.
std::string Trainer::MakeSample() const {
  if (data_.prompt.empty() || recipe_.validation.sample_tokens == 0) return "";
  TextSampleOptions options;
  options.max_tokens = recipe_.validation.sample_tokens;
  options.sampling.temperature = 0.7;
  options.sampling.top_p = 0.95;
  options.sampling.seed = recipe_.training.seed;
  options.stream = static_cast<uint64_t>(state_.step);
  try {
    return recipe_.validation.prompt + SampleText(*model_, *data_.tokenizer, data_.prompt, options);
  } catch (const Error& error) {
    LogWarning("no sample of text: {}", error.what());
    return "";
  }
}

// On a full disk the oldest checkpoint goes that would go after this one was written, and it is
// tried once more.
void Trainer::SaveCheckpoint(bool is_required) {
  RequireFinite(ParametersAreFinite(), "parameters", state_.step);
  if (!group_.IsMain()) return;
  const bool keep_best = recipe_.checkpoint.keep_best;
  for (bool has_made_room = false;; has_made_room = true) {
    try {
      WriteToStore(keep_best ? state_.best_step : -1);
      saved_ = state_;
      return;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kExhausted) throw;
      const int64_t keep = std::max<int64_t>(1, recipe_.checkpoint.keep_last - 1);
      if (!has_made_room && store_->Prune(keep, keep_best ? saved_.best_step : -1)) continue;
      if (is_required) throw;
      progress_->Clear();
      LogWarning("no checkpoint of step {}: {}; the training goes on", state_.step, error.what());
      if (!keep_best) return;
      // The best one is the best of those that are kept.
      state_.best_loss = saved_.best_loss;
      state_.best_step = saved_.best_step;
      return;
    }
  }
}

void Trainer::WriteToStore(int64_t best_step) {
  metrics_->Sync();
  if (saved_.step == state_.step) {
    // Saved before it was validated: nothing else has changed.
    WriteCheckpointState(store_->PathOf(state_.step), state_, recipe_, options_.command);
  } else {
    store_->Save(state_.step, [this](const std::string& directory) {
      WriteCheckpoint(directory, {*model_, optimizer_}, state_, recipe_, data_.tokenizer_files,
                      options_.command);
    });
  }
  store_->UpdateLinks(state_.step, best_step);
  store_->Prune(recipe_.checkpoint.keep_last, best_step);
}

}  // namespace

void Train(const TrainRecipe& recipe, const TrainOptions& options, const ProcessRank& rank) {
  const char* notice = isatty(STDERR_FILENO) == 1 ? kStopNotice : kStopNotice + 1;
  CatchStopSignals(rank.rank == 0 ? notice : nullptr);
  Trainer(recipe, options, rank).Run();
}

}  // namespace blockformer::train
