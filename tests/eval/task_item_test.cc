#include <gmock/gmock.h>

#include <filesystem>

#include "eval/builtin_tasks.h"
#include "eval/task.h"
#include "tests/eval/task_folder.h"

namespace blockformer {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Json Parse(const char* record) { return ParseJson(record, "record"); }

TaskItem BuiltInItem(const char* task, const char* record) {
  return MakeItem(ReadTask(task, ""), Parse(record), "d.jsonl:1");
}

// A multiple-choice task of these three rules, and more lines.
Task Choices(const std::string& text, const std::string& choices, const std::string& target,
             const std::string& more = "") {
  return ParseTask(
      "task: t\noutput_type: multiple_choice\ndataset_kwargs: {data_files: x.jsonl}\n"
      "doc_to_text: " +
          text + "\ndoc_to_choice: " + choices + "\ndoc_to_target: " + target + "\n" + more,
      "t.yaml", "");
}

Task Continuation(const std::string& type, const std::string& text, const std::string& target,
                  const std::string& more = "") {
  return ParseTask("task: t\noutput_type: " + type +
                       "\ndataset_kwargs: {data_files: x.jsonl}\n"
                       "doc_to_text: " +
                       text + "\ndoc_to_target: " + target + "\n" + more,
                   "t.yaml", "");
}

std::string ErrorOf(const Task& task, const char* record) {
  return MessageOf([&] { MakeItem(task, Parse(record), "d.jsonl:7"); });
}

// The prompts are those that the harness's own classes made of the same records.
TEST(BuiltInTask, QuestionsAndChoices) {
  const TaskItem piqa = BuiltInItem(
      "piqa", R"({"ctx": "dresser", "choices": ["replace é ", "finish,  pin"], "label": 1})");
  EXPECT_EQ(piqa.place, "d.jsonl:1");
  EXPECT_THAT(piqa.requests,
              ElementsAre(ScoredText{"Question: dresser\nAnswer:", " replace é "},
                          ScoredText{"Question: dresser\nAnswer:", " finish,  pin"}));
  EXPECT_EQ(piqa.target, 1);
  EXPECT_THAT(piqa.choice_lengths, ElementsAre(10, 12));
  EXPECT_FALSE(piqa.has_several_contexts);
  for (const char* name : {"arc_easy", "arc_challenge"}) {
    const TaskItem arc = BuiltInItem(name, R"({"ctx": "Why?", "choices": ["a", "b"], "label": 0})");
    EXPECT_EQ(arc.requests[0], (ScoredText{"Question: Why?\nAnswer:", " a"}));
  }
  for (const char* name : {"hellaswag", "openbookqa"}) {
    const TaskItem item = BuiltInItem(
        name, R"({"ctx": "Predators eat", "choices": ["lions", "bunnies"], "label": 1})");
    EXPECT_EQ(item.requests[1], (ScoredText{"Predators eat", " bunnies"}));
    EXPECT_EQ(item.target, 1);
  }
  // A context of digits is no index.
  EXPECT_FALSE(BuiltInItem("hellaswag", R"({"ctx": "1", "choices": ["a", "b"], "label": 0})")
                   .has_several_contexts);
}

TEST(BuiltInTask, WinograndePutsTheChoicesIntoTheContexts) {
  const TaskItem item =
      BuiltInItem("winogrande",
                  R"({"ctx": "Ann met Bob so _ got it. ", "choices": ["Ann", "Bob"], "label": 1})");
  EXPECT_THAT(item.requests, ElementsAre(ScoredText{"Ann met Bob so Ann", " got it."},
                                         ScoredText{"Ann met Bob so Bob", " got it."}));
  EXPECT_EQ(item.target, 1);
  EXPECT_TRUE(item.has_several_contexts);
}

TEST(BuiltInTask, LambadaAsksForTheLastWord) {
  const TaskItem item = BuiltInItem("lambada_openai", R"({"text": "I don't\ncare about  signs"})");
  EXPECT_THAT(item.requests, ElementsAre(ScoredText{"I don't\ncare about ", " signs"}));
  EXPECT_FALSE(item.target.has_value());
  EXPECT_TRUE(item.choice_lengths.empty());
}

TEST(BuiltInTask, WikitextCountsTheRawPage) {
  const TaskItem item =
      BuiltInItem("wikitext", R"({"page": " \n = É = \n \n It cost 1 @,@ 000 . "})");
  EXPECT_THAT(item.requests, ElementsAre(ScoredText{std::nullopt, "\n= É =\n\nIt cost 1,000. "}));
  EXPECT_EQ(item.words, 11);
  EXPECT_EQ(item.bytes, 34);
  EXPECT_TRUE(BuiltInItem("wikitext", R"({"page": ""})").requests[0].text.empty());
}

TEST(TaskItem, TheRightChoiceIsAnIndexOrAChoice) {
  const std::tuple<const char*, const char*, int64_t> cases[] = {
      {"a", R"({"q": "x", "c": ["u", "v", "2"], "a": 1})", 1},
      {"a", R"({"q": "x", "c": ["u", "v", "2"], "a": true})", 1},
      {"a", R"({"q": "x", "c": ["u", "v", "2"], "a": "v"})", 1},
      {"a", R"({"q": "x", "c": ["u", "2", "v"], "a": "2"})", 1},  // a field: the choice
      {"a", R"({"q": "x", "c": ["u", "v"], "a": "1"})", 1},
      {"'{{a}}'", R"({"q": "x", "c": ["u", "2", "v"], "a": "2"})", 2},  // a template: the index
      {"'{{a}}'", R"({"q": "x", "c": ["u", "v"], "a": 1})", 1},
      {"'{{a}}'", R"({"q": "x", "c": ["u", "v"], "a": "v"})", 1},
      {"'{{[\"A\", \"B\"].index(a)}}'", R"({"q": "x", "c": ["u", "v"], "a": "B"})", 1},
      {"1", R"({"q": "x", "c": ["u", "v"]})", 1},
      {"'1'", R"({"q": "x", "c": ["u", "v"]})", 1},
      {"v", R"({"q": "x", "c": ["u", "v"]})", 1},
  };
  for (const auto& [target, record, expected] : cases) {
    EXPECT_EQ(MakeItem(Choices("q", "c", target), Parse(record), "").target, expected)
        << target << " " << record;
  }
}

TEST(TaskItem, ChoicesMayBeAListOrATemplate) {
  const Json record = Parse(R"({"q": "Ok?", "x": "yes", "y": "no"})");
  const Task list = Choices("'{{q}} {{x}}'", "['{{yes}}', maybe]", "0",
                            "description: '{{y}}: '\ntarget_delimiter: ''\n");
  EXPECT_THAT(MakeItem(list, record, "").requests, ElementsAre(ScoredText{"no: Ok? yes", "{{yes}}"},
                                                               ScoredText{"no: Ok? yes", "maybe"}));
  EXPECT_THAT(MakeItem(Choices("q", "'{{[y, x]}}'", "1"), record, "").requests,
              ElementsAre(ScoredText{"Ok?", " no"}, ScoredText{"Ok?", " yes"}));
  const Task contexts = Choices("0", "'{{[y, x]}}'", "q", "description: 'So '\n");
  EXPECT_THAT(MakeItem(contexts, record, "").requests,
              ElementsAre(ScoredText{"So no", " Ok?"}, ScoredText{"So yes", " Ok?"}));
}

TEST(TaskItem, ContinuationsHaveNoDelimiter) {
  const TaskItem item =
      MakeItem(Continuation("loglikelihood", "q", "'{{a}}'", "description: 'D '\n"),
               Parse(R"({"q": "x", "a": 12})"), "");
  EXPECT_THAT(item.requests, ElementsAre(ScoredText{"D x", "12"}));
}

TEST(TaskItem, RollingTextsHaveNoContextAndCountThemselves) {
  const TaskItem item =
      MakeItem(Continuation("loglikelihood_rolling", "''", "page", "description: 'D '\n"),
               Parse(R"({"page": "é b c"})"), "");
  EXPECT_THAT(item.requests, ElementsAre(ScoredText{std::nullopt, "é b c"}));
  EXPECT_EQ(item.words, 3);
  EXPECT_EQ(item.bytes, 6);
}

TEST(TaskItem, MistakesNameTheRecordAndTheRule) {
  const Task task = Choices("q", "c", "a");
  const std::pair<const char*, const char*> cases[] = {
      {R"([1])", "the record is a list; an object is wanted"},
      {R"({"c": ["u"], "a": 0})", "t.yaml:4: doc_to_text: the record has no field q"},
      {R"({"q": "x", "a": 0})", "t.yaml:5: doc_to_choice: the record has no field c"},
      {R"({"q": "x", "c": ["u"]})", "t.yaml:6: doc_to_target: the record has no field a"},
      {R"({"q": null, "c": ["u"], "a": 0})", "doc_to_text: null is null; a string is wanted"},
      {R"({"q": ["x"], "c": ["u"], "a": 0})",
       "doc_to_text: the value is a list; a string is wanted"},
      {R"({"q": "x", "c": "u", "a": 0})", "doc_to_choice: \"u\" is a string; a list of strings"},
      {R"({"q": "x", "c": [], "a": 0})", "doc_to_choice: the list of choices is empty"},
      {R"({"q": "x", "c": ["u", 1], "a": 0})", "the choice 1 is an integer; a string is wanted"},
      {R"({"q": "x", "c": ["u", ""], "a": 0})", "a choice is empty; acc_norm divides"},
      {R"({"q": "x", "c": ["u"], "a": 1})", "1 is not the index of one of the 1 choices; 0 to 0"},
      {R"({"q": "x", "c": ["u"], "a": -1})", "-1 is not the index"},
      {R"({"q": "x", "c": ["u"], "a": 18446744073709551615})", "is not the index"},
      {R"({"q": "x", "c": ["u"], "a": "99999999999999999999"})", "is not the index"},
      {R"({"q": "x", "c": ["u"], "a": 0.0})", "0.0 is neither the index of a choice nor one of"},
      {R"({"q": "x", "c": ["u"], "a": "line\n"})", "\"line\\n\" is neither the index"},
      {R"({"q": 7, "c": ["u"], "a": "x"})", "doc_to_text: 7 is not the index"},
  };
  for (const auto& [record, message] : cases) {
    EXPECT_THAT(ErrorOf(task, record), AllOf(StartsWith("d.jsonl:7: "), HasSubstr(message)))
        << record;
  }
  EXPECT_THAT(ErrorOf(Choices("'{{q.x}}'", "c", "a"), R"({"q": "x", "c": ["u"], "a": 0})"),
              HasSubstr("d.jsonl:7: t.yaml:4: doc_to_text: column 5: a string has no field x"));
  EXPECT_THAT(ErrorOf(Choices("q", "c", "a",
                              "target_delimiter: ''\n"
                              "metric_list: [{metric: acc}]\n"),
                      R"({"q": "x", "c": ["u", ""], "a": 0})"),
              HasSubstr("a continuation is empty"));
  EXPECT_THAT(ErrorOf(Continuation("loglikelihood", "q", "a"), R"({"q": "x", "a": 5})"),
              HasSubstr("doc_to_target: 5 is an integer; a string is wanted"));
  EXPECT_THAT(ErrorOf(Continuation("loglikelihood", "q", "a"), R"({"q": "x", "a": ""})"),
              HasSubstr("a continuation is empty"));
  EXPECT_THAT(ErrorOf(Continuation("loglikelihood_rolling", "''", "a", "doc_to_length: b\n"),
                      R"({"a": "x"})"),
              HasSubstr("t.yaml:6: doc_to_length: the record has no field b"));
  EXPECT_THAT(ErrorOf(ReadTask("winogrande", ""), R"({"ctx": "x", "choices": ["u"], "label": 0})"),
              HasSubstr("index: the string does not hold \"_\""));
}

// Reads records as the data of a task over `name`.
std::string ReadingError(const std::string& name, const std::string& data) {
  const TaskFolder folder;
  folder.Write(name, data);
  Task task = Choices("'{{q}}'", "c", "a");
  task.data_files = {folder.path() + "/" + name};
  return MessageOf([&] { ReadItems(task, std::nullopt); });
}

TEST(ReadItems, ReadsAllFilesUpToTheLimit) {
  const TaskFolder folder;
  Task task = Continuation("loglikelihood", "q", "a");
  task.data_files = {
      folder.Write("1.jsonl", "{\"q\": \"1\", \"a\": \"x\"}\n\n{\"q\": \"2\", \"a\": \"x\"}\n"),
      folder.Write("2.jsonl", "{\"q\": \"3\", \"a\": \"x\"}")};
  const std::vector<TaskItem> items = ReadItems(task, std::nullopt);
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[1].place, task.data_files[0] + ":3");
  EXPECT_EQ(items[2].requests[0].context, "3");
  EXPECT_EQ(ReadItems(task, 2).size(), 2u);
  EXPECT_EQ(ReadItems(task, 99).size(), 3u);
}

TEST(ReadItems, MistakesNameTheLine) {
  const std::string good = R"({"q": "x", "c": ["u", "v"], "a": 0})";
  EXPECT_THAT(ReadingError("d.jsonl", good + "\n{\"q\": }\n"),
              AllOf(HasSubstr("d.jsonl:2: not valid JSON")));
  EXPECT_THAT(ReadingError("d.jsonl", good + "\n\n7\n"),
              HasSubstr("d.jsonl:3: an object is wanted, not a number"));
  EXPECT_THAT(ReadingError("d.jsonl", good + "\n{\"q\": \"\xFF\"}\n"), HasSubstr("d.jsonl:2: "));
  EXPECT_THAT(ReadingError("d.jsonl", good + "\n" + R"({"q": "1", "c": ["u", "v"], "a": "z"})"),
              AllOf(HasSubstr("d.jsonl:2: t.yaml:4: doc_to_text: an integer, but a text in /"),
                    HasSubstr("d.jsonl:1")));
  EXPECT_THAT(ReadingError("d.jsonl", "\n\n"), HasSubstr("d.jsonl: holds no records"));
  EXPECT_THAT(ReadingError("d.csv", "q,c\n"), HasSubstr("d.csv:1: not valid JSON"));
  EXPECT_THAT(ReadingError("d.jsonl", std::string((1 << 24) + 1, ' ')), HasSubstr("16777216"));
}

TEST(ReadItems, RollingTextsMustHoldSomethingToMeasure) {
  const TaskFolder folder;
  Task task = Continuation("loglikelihood_rolling", "''", "page");
  task.data_files = {folder.Write("d.jsonl", R"({"page": ""})")};
  EXPECT_THAT(
      MessageOf([&] { ReadItems(task, std::nullopt); }),
      HasSubstr("d.jsonl: the texts of task t hold no byte, so there is nothing to measure"));
  folder.Write("d.jsonl", "{\"page\": \"\"}\n{\"page\": \"a\"}\n");
  EXPECT_EQ(ReadItems(task, std::nullopt).size(), 2u);
}

// What pandas and scrapers write.
TEST(ReadItems, FieldsThatAreNotUsedMayHoldAnything) {
  const std::string other = R"(, "x": NaN, "y": "\ud83d", "z": [1e999]})";
  EXPECT_EQ(ReadingError("d.ndjson", R"({"q": "x", "c": ["u", "v"], "a": 0)" + other), "no error");
  EXPECT_THAT(ReadingError("d.jsonl", R"({"q": "\ud83d", "c": ["u", "v"], "a": 0)" + other),
              AllOf(HasSubstr("d.jsonl:1: "), HasSubstr("a field was left out: "),
                    HasSubstr("q: byte 7 of the line: \\ud83d is half of a surrogate pair")));
  const TaskFolder folder;
  Task task = Choices("'{{q}}'", "c", "a");
  task.data_files = {
      folder.Write("d.jsonl", R"({"q": "\ud83d", "c": ["\udc00", "v"], "a": 0)" + other)};
  const std::vector<TaskItem> items = ReadItems(task, std::nullopt, InvalidUtf8::kReplace);
  EXPECT_EQ(items[0].requests[0].context, "\uFFFD");
  EXPECT_EQ(items[0].requests[0].text, " \uFFFD");
}

TEST(ReadItems, MissingDataSaysHowToGetThem) {
  EXPECT_THAT(MessageOf([] { ReadItems(ReadTask("piqa", "/nowhere"), std::nullopt); }),
              AllOf(HasSubstr("/nowhere/piqa_val.jsonl"), HasSubstr("`blockformer eval-data`")));
  const std::string message =
      MessageOf([] { ReadItems(Continuation("loglikelihood", "q", "a"), std::nullopt); });
  EXPECT_THAT(message, HasSubstr("x.jsonl: the data of task t are not there"));
  EXPECT_THAT(message, Not(HasSubstr("eval-data")));
}

// Totals that the harness's own functions gave for the same files.
TEST(ReadItems, ThePublishedDataAreReadWhole) {
  const std::string directory = "../shared/eval";
  if (!std::filesystem::exists(directory)) GTEST_SKIP() << "no " << directory;
  const std::pair<const char*, size_t> counts[] = {
      {"lambada_openai", 5153}, {"hellaswag", 10042}, {"piqa", 1838},      {"arc_easy", 2376},
      {"arc_challenge", 1170},  {"winogrande", 1267}, {"openbookqa", 500}, {"wikitext", 62}};
  for (const auto& [name, count] : counts) {
    EXPECT_EQ(ReadItems(ReadTask(name, directory), std::nullopt).size(), count) << name;
  }
  int64_t words = 0;
  int64_t bytes = 0;
  size_t scored = 0;
  for (const TaskItem& item : ReadItems(ReadTask("wikitext", directory), std::nullopt)) {
    words += item.words;
    bytes += item.bytes;
    scored += item.requests[0].text.size();
  }
  EXPECT_EQ(words, 241335);
  EXPECT_EQ(bytes, 1290528);
  EXPECT_EQ(scored, 1240465u);
}

}  // namespace
}  // namespace blockformer
