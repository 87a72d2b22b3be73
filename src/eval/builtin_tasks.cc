#include "eval/builtin_tasks.h"

namespace blockformer {
namespace {

constexpr BuiltinTask kTasks[] = {
    {"lambada_openai", R"yaml(task: lambada_openai
dataset_path: json
dataset_kwargs:
  data_files:
    test: lambada_openai_test.jsonl
test_split: test
output_type: loglikelihood
doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
doc_to_target: "{{' '+text.split(' ')[-1]}}"
metric_list:
  - metric: perplexity
    aggregation: perplexity
    higher_is_better: false
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
)yaml"},
    {"wikitext", R"yaml(task: wikitext
dataset_path: json
dataset_kwargs:
  data_files:
    test: wikitext2_test_pages.jsonl
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{page|wikitext_detokenize}}"
doc_to_length: page
metric_list:
  - metric: word_perplexity
    aggregation: weighted_perplexity
    higher_is_better: false
  - metric: byte_perplexity
    aggregation: weighted_perplexity
    higher_is_better: false
  - metric: bits_per_byte
    aggregation: bits_per_byte
    higher_is_better: false
metadata:
  version: 2.0
)yaml"},
    {"hellaswag", R"yaml(task: hellaswag
dataset_path: json
dataset_kwargs:
  data_files:
    validation: hellaswag_val.jsonl
validation_split: validation
output_type: multiple_choice
doc_to_text: ctx
doc_to_choice: choices
doc_to_target: label
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
)yaml"},
    {"piqa", R"yaml(task: piqa
dataset_path: json
dataset_kwargs:
  data_files:
    validation: piqa_val.jsonl
validation_split: validation
output_type: multiple_choice
doc_to_text: "Question: {{ctx}}\nAnswer:"
doc_to_choice: choices
doc_to_target: label
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
)yaml"},
    {"arc_easy", R"yaml(task: arc_easy
dataset_path: json
dataset_kwargs:
  data_files:
    test: arc_easy_test.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{ctx}}\nAnswer:"
doc_to_choice: choices
doc_to_target: label
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
)yaml"},
    {"arc_challenge", R"yaml(task: arc_challenge
dataset_path: json
dataset_kwargs:
  data_files:
    test: arc_challenge_test.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{ctx}}\nAnswer:"
doc_to_choice: choices
doc_to_target: label
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
)yaml"},
    {"winogrande", R"yaml(task: winogrande
dataset_path: json
dataset_kwargs:
  data_files:
    validation: winogrande_val.jsonl
validation_split: validation
output_type: multiple_choice
doc_to_text: label
doc_to_choice: "{{[ctx[:ctx.index('_')] + choices[0], ctx[:ctx.index('_')] + choices[1]]}}"
doc_to_target: "{{ctx[ctx.index('_') + 1:].strip()}}"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
)yaml"},
    {"openbookqa", R"yaml(task: openbookqa
dataset_path: json
dataset_kwargs:
  data_files:
    test: openbookqa_test.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: ctx
doc_to_choice: choices
doc_to_target: label
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
)yaml"},
};

}  // namespace

std::span<const BuiltinTask> BuiltinTasks() { return kTasks; }

const BuiltinTask* FindBuiltinTask(std::string_view name) {
  for (const BuiltinTask& task : kTasks) {
    if (task.name == name) return &task;
  }
  return nullptr;
}

}  // namespace blockformer
