#include "sweep/run_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "config/field_difference.h"
#include "sweep/trained_settings.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxStep = int64_t{1} << 40;
constexpr double kMaxValue = 1e30;
constexpr double kMinSpeed = 1e-6;
// Holds a line of metrics, a sample of text included.
constexpr std::streamoff kTailBytes = 1 << 14;

// Calls `visit` with each whole line; a line that is being written ends the text.
template <typename Visit>
void ForEachLine(std::string_view text, const Visit& visit) {
  for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    visit(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
}

std::vector<double> ReadPositions(const ObjectReader& line) {
  std::vector<double> losses;
  const Json& values = line.Raw("validation_loss_by_position");
  for (const Json& value : values.is_array() ? values : Json::array()) {
    losses.push_back(value.is_number() ? value.get<double>()
                                       : std::numeric_limits<double>::quiet_NaN());
  }
  return losses;
}

void ReadMetrics(const std::string& path, RunRecord* record) {
  if (!FileExists(path)) return;
  const MappedFile file(path);  // a long run's is large
  const std::string_view lines(reinterpret_cast<const char*>(file.bytes().data()), file.size());
  ForEachLine(lines, [&](std::string_view text) {
    // Most lines are steps, of which nothing is needed here.
    if (text.find("\"validation_loss\"") == std::string_view::npos) return;
    const Json json = ParseJson(text, path);
    const ObjectReader line(json, path);
    record->curve.push_back(
        {line.Int("step", 0, kMaxStep), line.Number("validation_loss", 0, kMaxValue)});
    record->bits_per_byte.reset();
    if (line.Has("validation_bits_per_byte")) {
      record->bits_per_byte = line.Number("validation_bits_per_byte", 0, kMaxValue);
    }
    record->loss_by_position = ReadPositions(line);
  });
}

// A recipe that this version has no words for is compared as it is written.
Json WhatWasLearnt(const Json& document, const std::string& path) {
  try {
    return WhatIsLearnt(TrainRecipeFromJson(document, path + ": recipe"));
  } catch (const Error&) {
    return document;
  }
}

std::string FirstDifference(const Json& before, const Json& now) {
  const std::vector<FieldDifference> changes = FindDifferences(before, now);
  return changes.empty() ? "" : changes.front().path;
}

// A checkpoint's state.json names the step and holds the recipe.
void ReadState(const std::string& path, const TrainRecipe& recipe, RunRecord* record) {
  if (!FileExists(path)) return;
  const Json json = ReadJsonFile(path);
  const ObjectReader state(json, path);
  record->steps_done = state.Int("step", 0, kMaxStep);
  state.Object("recipe");  // must be a mapping
  record->changed_field =
      FirstDifference(WhatWasLearnt(state.Raw("recipe"), path), WhatIsLearnt(recipe));
  // More steps may be asked for later, but a model cannot go back.
  const bool is_past = record->steps_done > recipe.training.stop_steps;
  if (is_past && record->changed_field.empty()) record->changed_field = "training.stop_steps";
  record->finished =
      record->steps_done == recipe.training.stop_steps && record->changed_field.empty();
}

// Counts only if it was measured with the settings of the sweep.
std::optional<SpeedMeasurement> ReadSpeed(const std::string& path, const SweepThroughput& wanted) {
  if (!FileExists(path)) return std::nullopt;
  const Json json = ReadJsonFile(path);
  const ObjectReader report(json, path);
  const Json& results = report.Raw("results");
  for (const Json& result : results.is_array() ? results : Json::array()) {
    const ObjectReader fields(result, path, "results");
    if (fields.Int("batch", 1, kMaxStep) != wanted.batch ||
        fields.Int("prompt", 1, kMaxStep) != wanted.prompt ||
        fields.Int("generate", 1, kMaxStep) != wanted.generate) {
      continue;
    }
    const ObjectReader machine = report.Object("machine");
    return SpeedMeasurement{fields.Number("total_tokens_per_s", kMinSpeed, kMaxValue),
                            fmt::format("{}, {} threads", machine.String("processor"),
                                        machine.Int("threads", 1, kMaxStep))};
  }
  return std::nullopt;
}

}  // namespace

std::string ThroughputPath(const Sweep& sweep, const SweepRun& run, size_t round) {
  return fmt::format("{}/throughput-{}.json", sweep.RunDirectory(run), round + 1);
}

std::string FailurePath(const Sweep& sweep, const SweepRun& run) {
  return fmt::format("{}/logs/{}.failure", sweep.output, run.name);
}

RunRecord ReadRunRecord(const Sweep& sweep, const SweepRun& run) {
  RunRecord record;
  const std::string directory = sweep.RunDirectory(run);
  ReadState(directory + "/latest/state.json", run.recipe, &record);
  ReadMetrics(directory + "/metrics.jsonl", &record);
  const std::string failure = FailurePath(sweep, run);
  if (FileExists(failure)) record.failure = ReadFile(failure);
  for (size_t round = 0; round < sweep.throughput.Rounds(); ++round) {
    record.speeds.push_back(ReadSpeed(ThroughputPath(sweep, run, round), sweep.throughput));
  }
  return record;
}

int64_t ReadLastStep(const std::string& run_directory) {
  std::ifstream file(run_directory + "/metrics.jsonl", std::ios::binary | std::ios::ate);
  if (!file) return 0;
  const std::streamoff size = file.tellg();
  file.seekg(std::max<std::streamoff>(0, size - kTailBytes));
  std::string tail(std::istreambuf_iterator<char>(file), {});
  int64_t step = 0;
  ForEachLine(tail, [&](std::string_view text) {
    const Json line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (line.is_object() && line.contains("step") && line["step"].is_number_integer()) {
      step = line["step"].get<int64_t>();
    }
  });
  return step;
}

}  // namespace blockformer
