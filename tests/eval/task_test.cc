#include "eval/task.h"

#include <gmock/gmock.h>

#include "eval/builtin_tasks.h"
#include "tests/eval/task_folder.h"

namespace blockformer {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kTask[] = R"(task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: [a.jsonl, /data/b.jsonl], dev: c.jsonl}}
test_split: test
validation_split: dev
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: choices
doc_to_target: label
)";

// kTask with a line of a key replaced, or added at its end.
Task ParseWith(const std::string& key, const std::string& value) {
  std::string yaml = std::string("\n") + kTask;
  const size_t found = yaml.find("\n" + key + ":");
  if (found != std::string::npos) yaml.erase(found, yaml.find('\n', found + 1) - found);
  return ParseTask(yaml + key + ": " + value + "\n", "t.yaml", "");
}

std::string ErrorWith(const std::string& key, const std::string& value) {
  return MessageOf([&] { ParseWith(key, value); });
}

TEST(Task, HasTheHarnesssDefaults) {
  const Task task = ParseTask(kTask, "t.yaml", "dir");
  EXPECT_EQ(task.name, "colours");
  EXPECT_EQ(task.version, 1);
  EXPECT_EQ(task.output_type, OutputType::kMultipleChoice);
  EXPECT_THAT(task.metrics, ElementsAre(Metric::kAcc, Metric::kAccNorm));
  EXPECT_THAT(task.data_files, ElementsAre("dir/a.jsonl", "/data/b.jsonl"));
  EXPECT_EQ(task.target_delimiter, " ");
  EXPECT_FALSE(task.is_built_in);
  EXPECT_THAT(ParseTask("task: t\noutput_type: loglikelihood\ndoc_to_text: q\ndoc_to_target: a\n"
                        "dataset_kwargs: {data_files: x.jsonl}\n",
                        "t.yaml", "")
                  .metrics,
              ElementsAre(Metric::kPerplexity, Metric::kAcc));
  EXPECT_THAT(ParseTask("task: t\noutput_type: loglikelihood_rolling\ndoc_to_target: a\n"
                        "dataset_kwargs: {data_files: x.jsonl}\n",
                        "t.yaml", "")
                  .metrics,
              ElementsAre(Metric::kWordPerplexity, Metric::kBytePerplexity, Metric::kBitsPerByte));
}

TEST(Task, TakesItsSplit) {
  EXPECT_THAT(ParseWith("test_split", "null").data_files, ElementsAre("c.jsonl"));
  EXPECT_THAT(ParseWith("test_split", "dev").data_files, ElementsAre("c.jsonl"));
  EXPECT_THAT(ParseWith("dataset_kwargs", "{data_files: d.jsonl}").name, "colours");
}

TEST(Task, KeysWithoutEffectAreAccepted) {
  for (const char* key : {"dataset_name", "tag", "group", "training_split", "fewshot_split",
                          "should_decontaminate", "doc_to_decontamination_query", "num_fewshot",
                          "repeats", "metadata", "metric_list", "description"}) {
    EXPECT_EQ(ErrorWith(key, "null"), "no error") << key;
  }
  EXPECT_EQ(ErrorWith("group", "[a, b]"), "no error");
  EXPECT_EQ(ErrorWith("doc_to_decontamination_query", "\"{% x %}\""), "no error");
  EXPECT_EQ(ParseWith("metadata", "{version: 2.5, author: me}").version, 2.5);
}

TEST(Task, MistakesNameTheLineAndTheKey) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"process_docs", "x", "is not known here; known are task, output_type, dataset_path"},
      {"generation_kwargs", "{}", "is not known here"},
      {"task", "5", "5 is not possible; a string"},
      {"task", "''", "is empty"},
      {"output_type", "generate_until", "\"generate_until\" is not known; one of multiple_choice"},
      {"dataset_path", "hellaswag", "only json is read"},
      {"dataset_name", "main", "null is wanted"},
      {"num_fewshot", "5", "5 is not possible; an integer from 0 to 0"},
      {"repeats", "2", "2 is not possible"},
      {"metadata", "[]", "an object is wanted"},
      {"test_split", "train",
       "\"train\" is not among the splits of dataset_kwargs.data_files; one "
       "of dev, test is wanted"},
      {"test_split", "[a]", "a string is wanted"},
      {"description", "'{{q'", "column 4: the template ends"},
      {"doc_to_text", "'{{q|shout}}'", "column 5: the filter shout is not known"},
      {"doc_to_text", "true", "true is not possible; a string"},
      {"doc_to_text", "-1", "-1 is not possible"},
      {"doc_to_text", "null", "is missing"},
      {"doc_to_target", "[1]", "[1] is not possible; a string"},
      {"doc_to_choice", "{a: 1}", "a field, a template or a list of strings is wanted"},
      {"doc_to_choice", "[]", "is empty"},
      {"doc_to_choice", "[a, 1]", "a list of strings is wanted"},
      {"doc_to_length", "q", "only for output_type loglikelihood_rolling"},
      {"target_delimiter", "3", "3 is not possible"},
      {"metric_list", "acc", "a list of {metric: NAME} is wanted"},
      {"metric_list", "[]", "a list of {metric: NAME}"},
  };
  for (const auto& [key, value, message] : cases) {
    EXPECT_THAT(ErrorWith(key, value),
                AllOf(StartsWith("t.yaml:1"), HasSubstr(key), HasSubstr(message)))
        << key << " " << value;
  }
}

TEST(Task, MistakesInsideAKeyNameItsPath) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"metadata", "{version: x}", ": metadata.version: \"x\" is not possible"},
      {"dataset_kwargs", "{trust_remote_code: true}", ": dataset_kwargs.trust_remote_code: is not"},
      {"dataset_kwargs", "{}", ": dataset_kwargs.data_files: the path of a file"},
      {"dataset_kwargs", "{data_files: [x, 1]}", ": dataset_kwargs.data_files: the path of a file"},
      {"dataset_kwargs", "{data_files: {test: []}}", ": dataset_kwargs.data_files: the path"},
      {"dataset_kwargs", "{data_files: ''}", ": dataset_kwargs.data_files: the path of a file"},
      {"metric_list", "[acc]", ": metric_list[0]: an object is wanted"},
      {"metric_list", "[{metric: f1}]", ": metric_list[0].metric: \"f1\" is not computed for this"},
      {"metric_list", "[{metric: perplexity}]", "one of acc, acc_norm is wanted"},
      {"metric_list", "[{metric: acc}, {metric: acc}]",
       ": metric_list[1].metric: acc stands twice"},
      {"metric_list", "[{metric: acc, aggregation: median}]",
       ": metric_list[0].aggregation: \"median\" is not possible for acc; mean is wanted"},
      {"metric_list", "[{metric: acc, higher_is_better: false}]",
       ": metric_list[0].higher_is_better: true is wanted for acc"},
      {"metric_list", "[{metric: acc, hf_evaluate: true}]", ": metric_list[0].hf_evaluate: is not"},
  };
  for (const auto& [key, value, message] : cases) {
    EXPECT_THAT(ErrorWith(key, value), AllOf(StartsWith("t.yaml:1"), HasSubstr(message))) << value;
  }
}

TEST(Task, HostileFilesAreRefused) {
  const auto message = [](const std::string& yaml) {
    return MessageOf([&] { ParseTask(yaml, "t.yaml", ""); });
  };
  EXPECT_THAT(message(""), HasSubstr("t.yaml: the top level: an object is wanted"));
  EXPECT_THAT(message("- a\n"), HasSubstr("the top level"));
  EXPECT_THAT(message("{}"), HasSubstr("t.yaml: task: is missing"));
  EXPECT_THAT(message("task: a\ndoc_to_text: !function utils.f\n"),
              AllOf(HasSubstr("line 2"), HasSubstr("!function"), HasSubstr("no type or code")));
  EXPECT_THAT(message("task: \xFF\n"), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(message("task: [" + std::string(10'000, '[')), HasSubstr("t.yaml"));
  EXPECT_THAT(message("task: a\n\n# more\ninclude: base.yaml\n"),
              StartsWith("t.yaml:4: include: is not known here"));
}

TEST(Task, EveryBuiltInTaskIsRead) {
  std::vector<std::string> names;
  for (const BuiltinTask& built_in : BuiltinTasks()) {
    const Task task = ReadTask(std::string(built_in.name), "");
    EXPECT_EQ(task.name, built_in.name);
    EXPECT_TRUE(task.is_built_in);
    ASSERT_EQ(task.data_files.size(), 1u);
    EXPECT_THAT(task.data_files[0], AllOf(StartsWith("eval-data/"), EndsWith(".jsonl")));
    names.push_back(task.name);
  }
  EXPECT_THAT(names, ElementsAre("lambada_openai", "wikitext", "hellaswag", "piqa", "arc_easy",
                                 "arc_challenge", "winogrande", "openbookqa"));
  EXPECT_THAT(ReadTask("piqa", "my data").data_files, ElementsAre("my data/piqa_val.jsonl"));
  EXPECT_EQ(ReadTask("wikitext", "").version, 2);
  EXPECT_THAT(ReadTask("winogrande", "").metrics, ElementsAre(Metric::kAcc));
}

TEST(Task, IsFoundByPathOrName) {
  const TaskFolder folder;
  const std::string path = folder.Write("t.yaml", kTask);
  EXPECT_THAT(ReadTask(path, "").data_files,
              ElementsAre(folder.path() + "/a.jsonl", "/data/b.jsonl"));
  EXPECT_THAT(ReadTask(path, "d").data_files, ElementsAre("d/a.jsonl", "/data/b.jsonl"));
  EXPECT_EQ(ReadTask(folder.Write("t.yml", kTask), "").name, "colours");
  EXPECT_THAT(MessageOf([] { ReadTask("mmlu", ""); }),
              AllOf(HasSubstr("\"mmlu\" is not a task"), HasSubstr("arc_challenge, winogrande")));
  EXPECT_THAT(MessageOf([&] { ReadTask(folder.path() + "/none.yaml", ""); }),
              HasSubstr("none.yaml"));
  EXPECT_THAT(MessageOf([&] { ReadTask(folder.Write("big.yaml", std::string(2 << 20, '#')), ""); }),
              HasSubstr("big.yaml"));
}

}  // namespace
}  // namespace blockformer
