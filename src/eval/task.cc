#include "eval/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "eval/builtin_tasks.h"
#include "eval/wikitext.h"

namespace blockformer {
namespace {

constexpr uint64_t kMaxFileBytes = 1 << 20;

// The filter wikitext_detokenize: see wikitext.h.
Json DetokenizeCall(const Json& value, const std::vector<Json>&) {
  return DetokenizeWikitext(StringIn(value, "the value before it"));
}
constexpr TemplateFunction kTaskFilters[] = {{"wikitext_detokenize", 0, 0, DetokenizeCall}};

// The dialect of tasks' templates.
TemplateDialect TaskDialect() {
  TemplateDialect dialect;
  dialect.filters = kTaskFilters;
  return dialect;
}

struct MetricInfo {
  Metric metric;
  const char* name;
  const char* aggregation;
  bool higher_is_better;
};

constexpr MetricInfo kMetrics[] = {
    {Metric::kAcc, "acc", "mean", true},
    {Metric::kAccNorm, "acc_norm", "mean", true},
    {Metric::kPerplexity, "perplexity", "perplexity", false},
    {Metric::kWordPerplexity, "word_perplexity", "weighted_perplexity", false},
    {Metric::kBytePerplexity, "byte_perplexity", "weighted_perplexity", false},
    {Metric::kBitsPerByte, "bits_per_byte", "bits_per_byte", false},
};

// Which can be computed, and what the harness computes unless told.
std::vector<Metric> MetricsOf(OutputType type) {
  switch (type) {
    case OutputType::kMultipleChoice:
      return {Metric::kAcc, Metric::kAccNorm};
    case OutputType::kLogLikelihood:
      return {Metric::kPerplexity, Metric::kAcc};
    case OutputType::kLogLikelihoodRolling:
      break;
  }
  return {Metric::kWordPerplexity, Metric::kBytePerplexity, Metric::kBitsPerByte};
}

const MetricInfo& InfoOf(Metric metric) {
  return *std::find_if(std::begin(kMetrics), std::end(kMetrics),
                       [&](const MetricInfo& info) { return info.metric == metric; });
}

constexpr const char* kKeys[] = {
    "task", "output_type", "dataset_path", "dataset_kwargs", "test_split", "validation_split",
    "description", "doc_to_text", "doc_to_choice", "doc_to_target", "doc_to_length",
    "target_delimiter", "metric_list", "num_fewshot", "repeats", "metadata",
    // Without effect on a score.
    "dataset_name", "training_split", "fewshot_split", "tag", "group", "should_decontaminate",
    "doc_to_decontamination_query"};

class TaskReader {
 public:
  TaskReader(std::string_view yaml, const std::string& source)
      : source_(source), document_(ParseYaml(yaml, source, &lines_)) {}

  Task Read(const std::string& data_directory) {
    RejectUnknown();
    Task task;
    task.name = At("task").String("task");
    if (task.name.empty()) FailKey("task", "is empty; a name is wanted");
    task.output_type = ReadOutputType();
    if (Has("metadata")) {
      task.version = At("metadata").Object("metadata").Number("version", 0, 1e6, task.version);
    }
    At("num_fewshot").Int("num_fewshot", 0, 0, 0);
    At("repeats").Int("repeats", 1, 1, 1);
    ReadDataFiles(data_directory, &task);
    ReadPrompts(&task);
    ReadMetrics(&task);
    return task;
  }

 private:
  // For one key of the top level: messages name its line.
  ObjectReader At(const std::string& key) const {
    const auto line = lines_.find(key);
    if (line == lines_.end()) return ObjectReader(document_, source_);
    return ObjectReader(document_, fmt::format("{}:{}", source_, line->second));
  }
  bool Has(const std::string& key) const { return At(key).Has(key); }
  [[noreturn]] void FailKey(const std::string& key, const std::string& problem) const {
    At(key).FailField(key, problem);
  }

  void RejectUnknown() const {
    At("task");  // must be a mapping
    for (const auto& [key, value] : document_.items()) {
      if (std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys)) continue;
      FailKey(key, fmt::format("is not known here; known are {}", fmt::join(kKeys, ", ")));
    }
  }

  OutputType ReadOutputType() const {
    constexpr OutputType kTypes[] = {OutputType::kMultipleChoice, OutputType::kLogLikelihood,
                                     OutputType::kLogLikelihoodRolling};
    const std::string wanted = At("output_type").String("output_type");
    std::vector<std::string> names;
    for (const OutputType type : kTypes) {
      names.push_back(OutputTypeName(type));
      if (wanted == names.back()) return type;
    }
    FailKey("output_type", fmt::format("\"{}\" is not known; one of {} is wanted", wanted,
                                       fmt::join(names, ", ")));
  }

  void ReadDataFiles(const std::string& data_directory, Task* task) const {
    if (At("dataset_path").String("dataset_path", "json") != "json") {
      FailKey("dataset_path",
              "only json is read, with dataset_kwargs.data_files that name files "
              "of JSON lines");
    }
    if (Has("dataset_name")) {
      FailKey("dataset_name", "files of JSON lines have no parts with names; null is wanted");
    }
    const ObjectReader arguments = At("dataset_kwargs").Object("dataset_kwargs");
    Json files = arguments.Raw("data_files");
    arguments.RejectUnknown();
    if (files.is_object()) files = FilesOfSplit(files);
    if (files.is_string()) files = Json::array({files});
    const bool right = files.is_array() && !files.empty() &&
                       std::all_of(files.begin(), files.end(), [](const Json& file) {
                         return file.is_string() && !file.get_ref<const std::string&>().empty();
                       });
    if (!right) {
      arguments.FailField("data_files",
                          "the path of a file of JSON lines, a list of them, or a "
                          "mapping from splits to them is wanted");
    }
    for (const Json& file : files) {
      task->data_files.push_back(
          (std::filesystem::path(data_directory) / file.get<std::string>()).string());
    }
  }

  // The test split if there is one, as the harness has it.
  Json FilesOfSplit(const Json& splits) const {
    std::vector<std::string> names;
    for (const auto& [name, files] : splits.items()) names.push_back(name);
    const std::string key = Has("test_split") ? "test_split" : "validation_split";
    const std::string split = At(key).String(key, "");
    if (!splits.contains(split)) {
      FailKey(key,
              fmt::format("\"{}\" is not among the splits of dataset_kwargs.data_files; one of "
                          "{} is wanted",
                          split, fmt::join(names, ", ")));
    }
    return splits[split];
  }

  void ReadPrompts(Task* task) const {
    task->description = ParseTemplate("description", At("description").String("description", ""));
    task->target_delimiter =
        At("target_delimiter").String("target_delimiter", task->target_delimiter);
    const bool is_rolling = task->output_type == OutputType::kLogLikelihoodRolling;
    if (!is_rolling) {
      task->text = ReadRule("doc_to_text");
    } else if (Has("doc_to_text")) {
      ReadRule("doc_to_text");  // the harness wants one, and does not use it either
    }
    task->target = ReadRule("doc_to_target");
    if (task->output_type == OutputType::kMultipleChoice) {
      ReadChoices(task);
    } else if (Has("doc_to_choice")) {
      FailKey("doc_to_choice", "only tasks with output_type multiple_choice have choices");
    }
    if (!Has("doc_to_length")) return;
    if (!is_rolling) FailKey("doc_to_length", "is only for output_type loglikelihood_rolling");
    task->length = ReadRule("doc_to_length");
  }

  void ReadChoices(Task* task) const {
    const Json& choices = At("doc_to_choice").Raw("doc_to_choice");
    if (!choices.is_array()) {
      if (!choices.is_null() && !choices.is_string()) {
        FailKey("doc_to_choice", fmt::format("{} is not possible; a field, a template or a list of "
                                             "strings is wanted",
                                             ToText(choices)));
      }
      task->choices = ReadRule("doc_to_choice");
      return;
    }
    task->choice_list = At("doc_to_choice").Strings("doc_to_choice");
    if (task->choice_list.empty()) FailKey("doc_to_choice", "is empty; choices are wanted");
  }

  DocRule ReadRule(const std::string& key) const {
    DocRule rule;
    rule.place = At(key).source() + ": " + key;
    const Json& value = At(key).Raw(key);
    if (value.is_number_integer()) {
      rule.integer = At(key).Int(key, 0, INT64_MAX);
    } else {
      rule.text = At(key).String(key);
      rule.parsed = ParseTemplate(key, rule.text);
    }
    return rule;
  }

  Template ParseTemplate(const std::string& key, const std::string& text) const {
    return Template::Parse(text, At(key).source() + ": " + key, TaskDialect());
  }

  void ReadMetrics(Task* task) const {
    const std::vector<Metric> possible = MetricsOf(task->output_type);
    const Json& list = At("metric_list").Raw("metric_list");
    if (list.is_null()) {
      task->metrics = possible;
      return;
    }
    if (!list.is_array() || list.empty()) {
      FailKey("metric_list", "a list of {metric: NAME} is wanted");
    }
    for (size_t i = 0; i < list.size(); ++i) {
      const ObjectReader entry(list[i], At("metric_list").source(),
                               fmt::format("metric_list[{}]", i));
      const Metric metric = ReadMetric(entry, possible);
      if (std::find(task->metrics.begin(), task->metrics.end(), metric) != task->metrics.end()) {
        entry.FailField("metric", fmt::format("{} stands twice", MetricName(metric)));
      }
      task->metrics.push_back(metric);
    }
  }

  static Metric ReadMetric(const ObjectReader& entry, const std::vector<Metric>& possible) {
    const std::string name = entry.String("metric");
    std::vector<std::string> names;
    const MetricInfo* info = nullptr;
    for (const Metric metric : possible) {
      names.push_back(MetricName(metric));
      if (name == MetricName(metric)) info = &InfoOf(metric);
    }
    if (info == nullptr) {
      entry.FailField("metric",
                      fmt::format("\"{}\" is not computed for this output_type; one of {} "
                                  "is wanted",
                                  name, fmt::join(names, ", ")));
    }
    const std::string aggregation = entry.String("aggregation", info->aggregation);
    if (aggregation != info->aggregation) {
      entry.FailField("aggregation", fmt::format("\"{}\" is not possible for {}; {} is wanted",
                                                 aggregation, name, info->aggregation));
    }
    if (entry.Bool("higher_is_better", info->higher_is_better) != info->higher_is_better) {
      entry.FailField("higher_is_better",
                      fmt::format("{} is wanted for {}", info->higher_is_better, name));
    }
    entry.RejectUnknown();
    return info->metric;
  }

  std::string source_;
  std::map<std::string, int> lines_;
  Json document_;
};

}  // namespace

const char* OutputTypeName(OutputType type) {
  switch (type) {
    case OutputType::kMultipleChoice:
      return "multiple_choice";
    case OutputType::kLogLikelihood:
      return "loglikelihood";
    case OutputType::kLogLikelihoodRolling:
      break;
  }
  return "loglikelihood_rolling";
}

const char* MetricName(Metric metric) { return InfoOf(metric).name; }

std::span<const Metric> AllMetrics() {
  static constexpr Metric kAll[] = {Metric::kAcc,
                                    Metric::kAccNorm,
                                    Metric::kPerplexity,
                                    Metric::kWordPerplexity,
                                    Metric::kBytePerplexity,
                                    Metric::kBitsPerByte};
  return kAll;
}

bool IsAccuracy(Metric metric) { return metric == Metric::kAcc || metric == Metric::kAccNorm; }

bool IsWeighted(Metric metric) { return !IsAccuracy(metric) && metric != Metric::kPerplexity; }

bool HigherIsBetter(Metric metric) { return InfoOf(metric).higher_is_better; }

Task ParseTask(std::string_view yaml, const std::string& source,
               const std::string& data_directory) {
  return TaskReader(yaml, source).Read(data_directory);
}

Task ReadTask(const std::string& name_or_path, const std::string& data_directory) {
  if (const std::optional<BuiltinTask> found = FindBuiltinTask(name_or_path)) {
    Task task = ParseTask(found->yaml, fmt::format("{} (built in)", found->name),
                          data_directory.empty() ? "eval-data" : data_directory);
    task.is_built_in = true;
    return task;
  }
  std::vector<std::string_view> names;
  for (const BuiltinTask& task : BuiltinTasks()) names.push_back(task.name);
  Require(name_or_path.ends_with(".yaml") || name_or_path.ends_with(".yml"),
          ErrorCode::kInvalidArgument,
          "\"{}\" is not a task; the path of a .yaml file is wanted, or one of {}", name_or_path,
          fmt::join(names, ", "));
  return ParseTask(ReadFile(name_or_path, kMaxFileBytes), name_or_path,
                   data_directory.empty()
                       ? std::filesystem::path(name_or_path).parent_path().string()
                       : data_directory);
}

}  // namespace blockformer
