#ifndef BLOCKFORMER_EVAL_TASK_H_
#define BLOCKFORMER_EVAL_TASK_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/json.h"
#include "eval/scored_text.h"
#include "text/template.h"
#include "text/tokenizer.h"

namespace blockformer {

// How a task scores a record, with the names and the meaning of lm-evaluation-harness.
enum class OutputType {
  kMultipleChoice,        // the log-likelihood of each choice
  kLogLikelihood,         // of one continuation, and whether it is the greedy one
  kLogLikelihoodRolling,  // of a whole text
};

enum class Metric { kAcc, kAccNorm, kPerplexity, kWordPerplexity, kBytePerplexity, kBitsPerByte };

const char* OutputTypeName(OutputType type);  // "multiple_choice"
const char* MetricName(Metric metric);        // "acc_norm"
std::span<const Metric> AllMetrics();
bool IsAccuracy(Metric metric);
bool IsWeighted(Metric metric);  // items weigh by the words or bytes of their texts
bool HigherIsBetter(Metric metric);

// What a key such as doc_to_text says of a record: the name of a field, a template, or an integer.
struct DocRule {
  std::string place;  // "FILE:LINE: KEY", for messages
  std::string text;   // a field's name or a template
  Template parsed;    // of the text
  std::optional<int64_t> integer;
};

struct Task {
  std::string name;
  double version = 1;
  OutputType output_type = OutputType::kMultipleChoice;
  std::vector<Metric> metrics;          // at least one; those of the output type
  std::vector<std::string> data_files;  // paths of JSON lines, in order
  bool is_built_in = false;
  Template description;            // stands before every context
  std::optional<DocRule> text;     // the context; not set if the output type is rolling
  DocRule target;                  // the right choice, the continuation, or the text of rolling
  std::optional<DocRule> choices;  // multiple choice: this or the next is set
  std::vector<std::string> choice_list;
  std::string target_delimiter = " ";  // between a context and a choice
  std::optional<DocRule> length;       // rolling: whose words and bytes count, if not the target's
};

// Reads a task: the name of a built-in one (builtin_tasks.h) or the path of a .yaml or .yml file in
// the simple form of lm-evaluation-harness 0.4, without few-shot examples, Python and generation,
// over JSON lines:
//
//   task, output_type, dataset_path (json), dataset_kwargs.data_files, test_split,
//   validation_split, description, doc_to_text, doc_to_choice, doc_to_target, target_delimiter,
//   metric_list, num_fewshot (0), repeats (1), metadata.version
//
// and, for loglikelihood_rolling, doc_to_length of our own: the text whose words and bytes the
// perplexities are per; without it that of doc_to_target. Keys that change no score are accepted.
//
// Relative data files lie in `data_directory`; if that is empty, in the task file's directory, or
// in "eval-data" for a built-in task. Whether they exist is not looked at. Throws Error: kNotFound
// for an unknown name or file, otherwise one that opens with "FILE:LINE: KEY" or the place in the
// YAML.
Task ReadTask(const std::string& name_or_path, const std::string& data_directory);

// The same for the text of a file; `source` stands for its path in messages.
Task ParseTask(std::string_view yaml, const std::string& source, const std::string& data_directory);

// What has to be scored of one record.
struct TaskItem {
  std::string place;                 // "FILE:LINE"
  std::vector<ScoredText> requests;  // one a choice; rolling: one without context, maybe empty
  std::optional<int64_t> target;  // the index of the right choice, if the task is multiple choice
  // The choices stand in the contexts, before one continuation (WinoGrande).
  bool has_several_contexts = false;
  std::vector<double> choice_lengths;  // in characters; at least 1 if acc_norm is a metric
  // Rolling only, as Python counts them: len(re.split(r"\s+", text)), and bytes of UTF-8.
  int64_t words = 0;
  int64_t bytes = 0;
};

// Follows ConfigurableTask of the harness: a rule that is the name of a field stands for its value,
// and a template that renders to digits for that integer if there are choices. A doc_to_text that
// is an integer makes the choices contexts, doc_to_target their continuation and itself the right
// index. Other than there, a name that no field has is an error, not a text of its own. Throws
// Error(kInvalidArgument) that opens with `place`.
TaskItem MakeItem(const Task& task, const Json& record, const std::string& place);

// The items of the first `limit` records, or of all. Fields that a JsonRecord cannot represent are
// missing. Throws Error that names the file or the
// record; also if there are none.
std::vector<TaskItem> ReadItems(const Task& task, std::optional<int64_t> limit,
                                InvalidUtf8 invalid_utf8 = InvalidUtf8::kError);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_TASK_H_
