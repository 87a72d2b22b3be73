// `blockformer eval` end to end: tasks, compare, loss, show-task.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "config/json.h"
#include "data/token_file.h"
#include "tests/cli/program_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class EvalCommandTest : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    WriteTinyModel(Path("vanilla"), TinyVanillaTextConfig());
    MakeDirectories(Path("data"));
    const std::string choices =
        "{\"ctx\":\"the cat\",\"choices\":[\"sat\",\"ran away\"],\"label\":0}\n"
        "{\"ctx\":\"a _ ran\",\"choices\":[\"dog\",\"the\"],\"label\":1}\n"
        "{\"ctx\":\"_ the end\",\"choices\":[\"x\",\"yy\"],\"label\":1}\n";
    WriteFileAtomically(Path("data/piqa_val.jsonl"), choices);
    WriteFileAtomically(Path("data/winogrande_val.jsonl"), choices.substr(choices.find('\n') + 1));
    WriteFileAtomically(Path("data/lambada_openai_test.jsonl"),
                        "{\"text\":\"the end of the day\"}\n{\"text\":\"one two\"}\n");
    WriteFileAtomically(Path("data/wikitext2_test_pages.jsonl"),
                        "{\"page\":\" = A = \\n a , b @-@ c . " + std::string(100, 'z') + "\"}\n");
  }

  // On one thread, since tests run beside each other.
  Outcome Eval(const std::string& model, const std::string& flags) const {
    return Run("eval tasks --threads 1 " + Path(model) + " " + flags);
  }

  Json Evaluate(const std::string& model, const std::string& flags,
                const std::string& name = "out.json") const {
    const Outcome outcome =
        Eval(model, "--force --data " + Path("data") + " --json " + Path(name) + " " + flags);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    return ReadJsonFile(Path(name));
  }

  void ExpectError(const std::string& flags, int code, const std::string& part) const {
    const Outcome outcome = Eval("block", flags);
    EXPECT_EQ(outcome.exit_code, code) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(part));
    EXPECT_EQ(std::ranges::count(outcome.output, '\n'), 1) << outcome.output;
  }
};

constexpr char kAllTasks[] = "--tasks piqa,winogrande,lambada_openai,wikitext";

TEST_F(EvalCommandTest, ContextsThatAreCutAreTold) {
  WriteFileAtomically(Path("data/lambada_openai_test.jsonl"),
                      "{\"text\":\"" + std::string(80, 'x') + " end\"}\n{\"text\":\"one two\"}\n");
  const Outcome outcome = Eval(
      "block", "--data " + Path("data") + " --tasks lambada_openai --json " + Path("out.json"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("1 of 2 contexts are longer than the 64 tokens"));
  EXPECT_EQ(ReadJsonFile(Path("out.json"))["config"]["cut_contexts"], 1);
}

TEST_F(EvalCommandTest, EvaluatesTasksOnEitherKind) {
  for (const std::string model : {"block", "vanilla"}) {
    const Json report = Evaluate(model, kAllTasks);
    EXPECT_EQ(report["config"]["model_kind"], model);
    const Json& samples = report["samples"];
    EXPECT_EQ(samples["piqa"].size(), 3U);
    EXPECT_EQ(samples["winogrande"].size(), 2U);
    // Random weights find all tokens about equally likely: " sat" has 4, " ran away" 9.
    const double nats = std::log(264.0);
    EXPECT_NEAR(samples["piqa"][0]["filtered_resps"][0][0].get<double>(), -4 * nats, 0.5);
    EXPECT_NEAR(samples["piqa"][0]["filtered_resps"][1][0].get<double>(), -9 * nats, 1);
    EXPECT_EQ(samples["piqa"][0]["acc"], 1.0);
    EXPECT_EQ(samples["lambada_openai"][0]["filtered_resps"][0][1], false);
    EXPECT_EQ(samples["wikitext"][0]["byte_perplexity"][1], 123.0);
    EXPECT_NEAR(report["results"]["wikitext"]["bits_per_byte,none"].get<double>(), 8, 1);
  }
}

TEST_F(EvalCommandTest, ScoresDoNotDependOnBatches) {
  const Json together = Evaluate("block", kAllTasks);
  const Json alone = Evaluate("block", std::string(kAllTasks) + " --batch-tokens 1", "alone.json");
  for (const std::string task : {"piqa", "winogrande", "lambada_openai", "wikitext"}) {
    for (size_t i = 0; i < together["samples"][task].size(); ++i) {
      const Json& a = together["samples"][task][i]["filtered_resps"];
      const Json& b = alone["samples"][task][i]["filtered_resps"];
      const auto value = [](const Json& response) {
        return (response.is_array() ? response[0] : response).get<double>();
      };
      for (size_t r = 0; r < a.size(); ++r)
        EXPECT_NEAR(value(a[r]), value(b[r]), 1e-3) << task << i;
    }
  }
}

TEST_F(EvalCommandTest, LimitsTheRecords) {
  EXPECT_EQ(Evaluate("block", "--tasks piqa --limit 2")["samples"]["piqa"].size(), 2U);
}

TEST_F(EvalCommandTest, TasksOfOnesOwn) {
  WriteFileAtomically(Path("mine.yaml"),
                      "task: mine\noutput_type: multiple_choice\ndataset_path: json\n"
                      "dataset_kwargs:\n  data_files: data/piqa_val.jsonl\n"
                      "doc_to_text: 'Goal: {{ctx}} ->'\ndoc_to_choice: '{{choices}}'\n"
                      "doc_to_target: label\nmetric_list:\n  - metric: acc\n");
  const Outcome outcome = Eval("block", "--tasks " + Path("mine.yaml") + " --json " + Path("o"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("|mine "));
  EXPECT_EQ(ReadJsonFile(Path("o"))["samples"]["mine"].size(), 3U);
}

TEST_F(EvalCommandTest, ShownTasksCanBeRun) {
  const Outcome shown = Run("eval show-task piqa");
  EXPECT_EQ(shown.exit_code, 0);
  WriteFileAtomically(Path("data/shown.yaml"), shown.output);
  const Outcome outcome =
      Eval("block", "--tasks " + Path("data/shown.yaml") + " --json " + Path("shown.json"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(ReadJsonFile(Path("shown.json"))["samples"],
            Evaluate("block", "--tasks piqa")["samples"]);
}

// With int8 weights, a score is the same whatever is scored beside it.
TEST_F(EvalCommandTest, AnInterruptedRunGoesOn) {
  const std::string flags = "--dtype int8 " + std::string(kAllTasks);
  const Json whole = Evaluate("block", flags);
  std::filesystem::remove(Path("out.json"));
  const std::string command = "eval tasks --threads 1 " + Path("block") + " --data " +
                              Path("data") + " --json " + Path("out.json") + " " + flags;
  // What a file-size limit of 1,024 bytes leaves: the settings and the scores, but no report.
  EXPECT_NE(Run(command, true, "trap '' XFSZ; ulimit -f 2; ").exit_code, 0);
  EXPECT_FALSE(FileExists(Path("out.json")));
  const Outcome other = Run(command + " --limit 1");
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.output, HasSubstr("was begun with other settings"));
  const Outcome outcome = Run(command);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("of 13 requests are done, going on"));
  EXPECT_EQ(ReadJsonFile(Path("out.json"))["samples"], whole["samples"]);
  EXPECT_EQ(ReadJsonFile(Path("out.json"))["config"]["tokens"], whole["config"]["tokens"]);
  EXPECT_FALSE(FileExists(Path("out.json.partial")));
}

TEST_F(EvalCommandTest, ASignalEndsItAndTheSameCommandGoesOn) {
  std::string records;
  for (int i = 0; i < 3000; ++i) {
    records += "{\"ctx\":\"the cat " + std::to_string(i) +
               "\",\"choices\":[\"sat\",\"ran away\"],\"label\":0}\n";
  }
  WriteFileAtomically(Path("data/piqa_val.jsonl"), records);
  const std::string command = "eval tasks --threads 1 --batch-tokens 64 --tasks piqa " +
                              Path("block") + " --data " + Path("data") + " --json " +
                              Path("out.json");
  // The signal comes once there are scores, or ends a run that has not begun yet.
  const Outcome stopped = Run(command, true,
                              "sh -c '\"$0\" \"$@\" & pid=$!; for i in $(seq 1000); do test -s " +
                                  Path("out.json.partial") +
                                  " && break; sleep 0.01; done; kill -INT $pid; wait $pid' ");
  EXPECT_EQ(stopped.exit_code, 130) << stopped.output;
  EXPECT_THAT(stopped.output, HasSubstr("of 6000 requests; the same command goes on"));
  const Outcome outcome = Run(command);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("of 6000 requests are done, going on"));
  EXPECT_EQ(ReadJsonFile(Path("out.json"))["samples"]["piqa"].size(), 3000U);
}

TEST_F(EvalCommandTest, RefusesScoresThatCannotBe) {
  const std::string command = "eval tasks --threads 1 --tasks piqa " + Path("block") + " --data " +
                              Path("data") + " --json " + Path("out.json");
  EXPECT_NE(Run(command, true, "trap '' XFSZ; ulimit -f 1; ").exit_code, 0);
  const std::string settings = ReadFile(Path("out.json.partial.settings"));
  const auto message = [&](const std::string& partial) {
    WriteFileAtomically(Path("out.json.partial"), partial);
    WriteFileAtomically(Path("out.json.partial.settings"), settings);
    return Run(command).output;
  };
  EXPECT_THAT(message("[-1,true,1,0]\nnonsense\n"), HasSubstr("out.json.partial:2"));
  EXPECT_THAT(message("[-1,true,1]\n"), HasSubstr("out.json.partial:1: [-1,true,1] is no score"));
  std::string surplus;
  for (int i = 0; i < 7; ++i) surplus += "[-1,true,1,0]\n";
  EXPECT_THAT(message(surplus), HasSubstr("has 7 lines, more than the 6"));
  EXPECT_THAT(message("[-1,true,1,0]\n[-2,fal"), HasSubstr("1 of 6 requests are done"));
}

TEST_F(EvalCommandTest, ARunThatGoesOnTookAllOfItsTime) {
  const std::string command = "eval tasks --threads 1 --tasks piqa " + Path("block") + " --data " +
                              Path("data") + " --json " + Path("out.json");
  EXPECT_NE(Run(command, true, "trap '' XFSZ; ulimit -f 1; ").exit_code, 0);
  WriteFileAtomically(Path("out.json.partial"), "[-1,true,1,500]\n[-1,true,1,1000]\n");
  EXPECT_EQ(Run(command).exit_code, 0);
  const double seconds = ReadJsonFile(Path("out.json"))["config"]["seconds"].get<double>();
  EXPECT_GT(seconds, 1000);
  EXPECT_LT(seconds, 1500);
}

TEST_F(EvalCommandTest, TellsOfTokensThatAreNotScored) {
  const Outcome outcome = Eval("block", "--tasks winogrande --padding nopad --data " +
                                            Path("data") + " --json " + Path("nopad.json"));
  EXPECT_THAT(outcome.output, HasSubstr("lie in the first block of a text and were not scored"));
  EXPECT_GT(ReadJsonFile(Path("nopad.json"))["config"]["unscored_tokens"], 0);
  EXPECT_EQ(Evaluate("block", "--tasks winogrande")["config"]["unscored_tokens"], 0);
}

TEST_F(EvalCommandTest, ComparesTwoResults) {
  Evaluate("block", "--tasks piqa,wikitext", "a.json");
  Evaluate("vanilla", "--tasks wikitext,piqa", "b.json");
  const Outcome outcome = Run("eval compare " + Path("a.json") + " " + Path("b.json") + " --json " +
                              Path("difference.json"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("|piqa"));
  EXPECT_EQ(ReadJsonFile(Path("difference.json"))["tasks"].size(), 2U);
  Evaluate("vanilla", "--tasks piqa --limit 1", "c.json");
  const Outcome other = Run("eval compare " + Path("a.json") + " " + Path("c.json"));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.output, HasSubstr("piqa of different records"));
}

TEST_F(EvalCommandTest, LossOfATokenFile) {
  TokenFileWriter writer(Path("tokens"), 10);
  for (int i = 0; i < 9; ++i) writer.Add(std::vector<int32_t>(50, i));
  writer.Commit();
  const Outcome outcome = Run("eval loss --threads 1 " + Path("block") + " " + Path("vanilla") +
                              " --data " + Path("tokens") + " --json " + Path("loss.json"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  const Json report = ReadJsonFile(Path("loss.json"));
  ASSERT_EQ(report["results"].size(), 2U);
  EXPECT_EQ(report["results"][0]["loss_by_position"].size(), 4U);
  EXPECT_NEAR(report["results"][1]["loss"].get<double>(), std::log(264.0), 0.1);
  PrepareWithAnotherTokenizer("others", std::string(200, 'a'));
  const std::string data = " --data " + Path("others");
  const Outcome other = Run("eval loss --threads 1 " + Path("block") + data);
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.output, HasSubstr("block: its tokenizer is not the tokenizer that made"));
  std::filesystem::remove(Path("vanilla/tokenizer.json"));
  EXPECT_EQ(Run("eval loss --threads 1 " + Path("vanilla") + data).exit_code, 0);
  std::filesystem::remove(Path("others.json"));
  EXPECT_EQ(Run("eval loss --threads 1 " + Path("block") + data).exit_code, 0);
  const Outcome absent = Run("eval loss " + Path("block") + " --data " + Path("absent"));
  EXPECT_EQ(absent.exit_code, 1);
  EXPECT_THAT(absent.output, HasSubstr("absent.idx"));
}

// `second` cannot be opened, which is said before `block` is measured.
TEST_F(EvalCommandTest, OpensAllModelsBeforeItMeasuresOne) {
  WriteFileAtomically(Path("text.txt"), std::string(1000, 'a'));
  ASSERT_EQ(Run("prepare --tokenizer " + Path("block") + " --output " + Path("tokens") + " " +
                Path("text.txt"))
                .exit_code,
            0);
  const auto expect_one_line = [&](const std::string& flags, const std::string& part) {
    const Outcome outcome =
        Run("eval " + flags + " --threads 1 " + Path("block") + " " + Path("second"));
    EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(part));
    EXPECT_EQ(std::ranges::count(outcome.output, '\n'), 1) << outcome.output;
  };
  const std::string text = " --data " + Path("text.txt");
  WriteTinyModel(Path("second"), TinyTextConfig());
  std::filesystem::remove(Path("second/tokenizer.json"));
  expect_one_line("positions" + text, "second: holds no tokenizer.json");
  expect_one_line("needle --lengths 160" + text, "second: holds no tokenizer.json");
  WriteTinyModel(Path("second"), TinyTextConfig());
  std::filesystem::remove(Path("second/model.safetensors"));
  const std::string no_weights = "second: there is neither model.safetensors";
  expect_one_line("loss --data " + Path("tokens"), no_weights);
  expect_one_line("positions" + text, no_weights);
  expect_one_line("needle --lengths 160" + text, no_weights);
}

// What only reading all of a model's numbers can tell.
TEST_F(EvalCommandTest, ShowsWhatWasMeasuredBeforeAModelFailed) {
  WriteFileAtomically(Path("text.txt"), std::string(1000, 'a'));
  ASSERT_EQ(Run("prepare --tokenizer " + Path("block") + " --output " + Path("tokens") + " " +
                Path("text.txt"))
                .exit_code,
            0);
  WriteTinyModel(Path("second"), TinyTextConfig());
  std::string weights = ReadFile(Path("second/model.safetensors"));
  weights.replace(weights.size() - 4, 4, "\xff\xff\xff\x7f");  // NaN
  WriteFileAtomically(Path("second/model.safetensors"), weights);
  const auto expect_row = [&](const std::string& flags, const std::string& row) {
    const Outcome outcome = Run("eval " + flags + " --threads 1 " + Path("block") + " " +
                                Path("second") + " --json " + Path("out.json"));
    EXPECT_NE(outcome.exit_code, 0);
    EXPECT_THAT(outcome.output, HasSubstr(row));
    EXPECT_THAT(outcome.output, HasSubstr("second: tensor"));
    EXPECT_FALSE(FileExists(Path("out.json")));
  };
  const std::string text = " --data " + Path("text.txt");
  expect_row("loss --data " + Path("tokens"), "|block|");
  expect_row("positions" + text, "block");
  expect_row("needle --lengths 160" + text, "block: 0.0 % of");
}

TEST_F(EvalCommandTest, ClearErrorsForWhatCannotBe) {
  const std::string data = "--data " + Path("data") + " ";
  ExpectError(data + "--tasks nothing", 2, "nothing");
  ExpectError(data + "--tasks hellaswag", 1, "hellaswag_val.jsonl");
  ExpectError(data + "--tasks piqa,piqa", 2, "--tasks: piqa stands twice");
  ExpectError(data + "--tasks piqa --limit 0", 2, "--limit: 0 is out of range");
  ExpectError("--data " + Path("absent") + " --tasks piqa", 2, "absent is no folder");
  EXPECT_EQ(Eval("block", Path("vanilla") + " " + data + "--tasks piqa").exit_code, 2);
  EXPECT_EQ(Eval("block", data + "--tasks piqa --samples 3").exit_code, 2);
  ExpectError(data + "--tasks piqa --padding left", 2, "--padding: \"left\"");
  ExpectError(data + "--tasks piqa --max-length -1", 2, "--max-length: -1 is out of range");
  WriteFileAtomically(Path("there.json"), "{}");
  ExpectError(data + "--tasks piqa --json " + Path("there.json"), 2, "is there already; --force");
  WriteFileAtomically(Path("data/piqa_val.jsonl"),
                      "{\"ctx\":\"a\",\"choices\":[\"b\",\"c\"],\"label\":0}\n"
                      "{\"ctx\":\"a\",\"choices\":[\"b\",\"c\"],\"label\":2}\n");
  ExpectError(data + "--tasks piqa", 2, "piqa_val.jsonl:2");
  WriteFileAtomically(
      Path("data/piqa_val.jsonl"),
      "{\"ctx\":\"a\",\"choices\":[\"" + std::string(80, 'x') + "\",\"c\"],\"label\":0}\n");
  ExpectError(data + "--tasks piqa", 2, "piqa_val.jsonl:1: the continuation's 81 tokens");
  WriteFileAtomically(Path("bad.yaml"), "task: bad\noutput_type: generate_until\n");
  ExpectError("--tasks " + Path("bad.yaml"), 2, "bad.yaml:2");
  EXPECT_EQ(Run("eval").exit_code, 2);
  EXPECT_EQ(Run("eval show-task nothing").exit_code, 2);
  EXPECT_EQ(Run("eval compare a").exit_code, 2);
  EXPECT_THAT(Run("eval taks").output, HasSubstr("\"taks\" is not a command of eval; tasks, "));
  EXPECT_EQ(Eval("absent", data + "--tasks piqa").exit_code, 1);
}

}  // namespace
}  // namespace blockformer
