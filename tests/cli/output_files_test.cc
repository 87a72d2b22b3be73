// What all commands do with the files that they write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "config/json.h"
#include "data/token_file.h"
#include "tests/cli/program_fixture.h"

namespace blockformer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class OutputFilesTest : public ProgramTest {
 protected:
  // A command, without the flag of its output, and what it reads.
  struct Command {
    std::string arguments;
    std::string flag;
    std::string input;
    std::string appended;  // to the flag's value, to make the path of a file
  };

  void SetUp() override {
    ProgramTest::SetUp();
    WriteFileAtomically(Path("in.jsonl"),
                        "{\"prompt\":\"a\",\"context\":\"a\",\"continuation\":\"b\"}\n");
    WriteFileAtomically(Path("piqa.jsonl"),
                        "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\"}\n");
    WriteFileAtomically(Path("piqa.lst"), "1\n");
    std::filesystem::create_directories(Path("data"));
    WriteFileAtomically(Path("data/piqa_val.jsonl"),
                        "{\"ctx\":\"a\",\"choices\":[\"b\",\"c\"],\"label\":0}\n");
    WriteFileAtomically(Path("text"), std::string(2000, 'x'));
    TokenFileWriter writer(Path("tokens"), 10);
    for (int i = 0; i < 9; ++i) writer.Add(std::vector<int32_t>(50, i));
    writer.Commit();
  }

  std::vector<Command> Commands() const {
    const std::string block = Path("block");
    const std::string bench =
        "bench throughput --threads 1 --repetitions 1 --batch 1 --prompt 8 "
        "--generate 8 " +
        block;
    return {
        {"prepare --tokenizer " + block + " " + Path("text"), "--output", Path("text"), ".bin"},
        {"prepare --tokenizer " + block + " " + Path("text"), "--output", Path("text"), ".json"},
        {"tokenizer train --vocab-size 300 " + Path("text"), "--output", Path("text"),
         "/tokenizer.json"},
        {"generate --threads 1 --max-tokens 4 --model " + block + " --input " + Path("in.jsonl"),
         "--output", Path("in.jsonl"), ""},
        {"score --threads 1 " + block + " --input " + Path("in.jsonl"), "--output",
         Path("in.jsonl"), ""},
        {"eval tasks --threads 1 --tasks piqa --data " + Path("data") + " " + block, "--json",
         Path("data/piqa_val.jsonl"), ""},
        {"eval loss --threads 1 --data " + Path("tokens") + " " + block, "--json",
         Path("tokens.idx"), ""},
        {"eval needle --threads 1 --lengths 160 --samples 1 --data " + Path("text") + " " + block,
         "--plot", Path("text"), ".svg"},
        {"eval positions --threads 1 --data " + Path("text") + " " + block, "--json",
         block + "/config.json", ""},
        {"eval-data piqa " + Path("piqa.jsonl") + " " + Path("piqa.lst"), "--output",
         Path("piqa.lst"), ""},
        {bench, "--json", block + "/config.json", ""},
        {bench, "--csv", block + "/model.safetensors", ""},
        {bench, "--plot", block + "/config.json", ""},
        {"bench precision --threads 1 --dtype f32 --data " + Path("tokens") + " " + block, "--json",
         Path("tokens.bin"), ""},
        {"bench kernels --threads 1 --min-time 0.001 --filter 'gemm/5M/dense/f32/M:8$'", "--json",
         "", ""},
    };
  }

  static void ExpectRefusal(const std::string& command, const std::string& part) {
    const Outcome outcome = Run(command);
    EXPECT_EQ(outcome.exit_code, 2) << command;
    EXPECT_THAT(outcome.output, HasSubstr(part)) << command;
    EXPECT_EQ(std::ranges::count(outcome.output, '\n'), 1) << command << "\n" << outcome.output;
  }
};

TEST_F(OutputFilesTest, EveryCommandReplacesOnlyWithForceAndNeedsAPlace) {
  std::filesystem::create_directories(Path("there"));
  for (const Command& command : Commands()) {
    const std::string name = Path("there") + (command.appended[0] == '/' ? "" : "/file");
    const bool is_picture = command.flag == "--plot";
    const std::string value = name + (is_picture ? ".svg" : "");
    const std::string path = is_picture ? value : name + command.appended;
    WriteFileAtomically(path, "mine");
    const std::string output = command.arguments + " " + command.flag + " ";
    ExpectRefusal(output + value, path + ": is there already; --force replaces it");
    EXPECT_EQ(ReadFile(path), "mine") << output;
    std::filesystem::remove(path);
    if (is_picture) {  // the script beside a picture is one of the files
      WriteFileAtomically(path + ".gp", "mine");
      ExpectRefusal(output + value, path + ".gp: is there already; --force replaces it");
      std::filesystem::remove(path + ".gp");
    }
    if (command.appended == "/tokenizer.json") continue;  // it makes its folder
    std::filesystem::create_directories(path);
    ExpectRefusal(output + value, "is a folder; a file is wanted");
    std::filesystem::remove(path);
  }
  WriteFileAtomically(Path("there/notes"), "mine");
  ExpectRefusal("convert " + Path("block") + " " + Path("there"), "replace it with --force");
}

TEST_F(OutputFilesTest, NothingIsWrittenPlainUnderTheNameOfACompressedFile) {
  for (const char* ending : {".gz", ".zst", ".zstd"}) {
    const std::string path = Path("out.jsonl") + ending;
    ExpectRefusal("generate --max-tokens 2 " + Path("block") + " --input " + Path("in.jsonl") +
                      " --output " + path,
                  std::string("results are not compressed; a name without ") + ending);
    EXPECT_FALSE(FileExists(path));
  }
}

TEST_F(OutputFilesTest, NoCommandOverwritesItsInput) {
  for (const Command& command : Commands()) {
    if (command.input.empty()) continue;
    std::filesystem::remove(Path("link"));
    const std::string is_picture = command.arguments.starts_with("eval") ? ".svg" : "";
    const bool plots = command.flag == "--plot";
    const std::string value = Path("link") + (plots ? is_picture : "");
    std::string path = plots ? value : value + command.appended;
    if (command.appended == "/tokenizer.json") {
      std::filesystem::create_directories(Path("made"));
      path = Path("made/tokenizer.json");
    }
    std::filesystem::create_symlink(command.input, path);
    const std::string before = ReadFile(command.input);
    ExpectRefusal(command.arguments + " --force " + command.flag + " " +
                      (command.appended == "/tokenizer.json" ? Path("made") : value),
                  ": is also an input, which it would overwrite");
    EXPECT_EQ(ReadFile(command.input), before);
    std::filesystem::remove(path);
  }
  ExpectRefusal("convert --force --dtype int8 " + Path("block") + " " + Path("./block"),
                "is also an input, which it would replace");
  ExpectRefusal("eval compare --force " + Path("a.json") + " " + Path("in.jsonl") + " --json " +
                    Path("in.jsonl"),
                "is also an input");
}

TEST_F(OutputFilesTest, EveryCommandWritesThroughLinksAndLeavesThem) {
  std::filesystem::create_directories(Path("elsewhere"));
  for (const Command& command : Commands()) {
    const std::string file = command.flag == "--plot" ? "/out.svg" : "/out" + command.appended;
    const std::string link = Path("links") + (command.appended[0] == '/' ? command.appended : file);
    std::filesystem::create_directories(Path("links"));
    std::filesystem::create_symlink(Path("elsewhere/target"), link);
    const std::string value = command.appended[0] == '/' ? Path("links")
                              : command.flag == "--plot" ? link
                                                         : Path("links/out");
    const Outcome outcome = Run(command.arguments + " " + command.flag + " " + value);
    EXPECT_EQ(outcome.exit_code, 0) << command.arguments << outcome.output;
    EXPECT_TRUE(std::filesystem::is_symlink(link)) << command.arguments;
    EXPECT_TRUE(FileExists(Path("elsewhere/target"))) << command.arguments;
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(Path("elsewhere"))) {
      ++files;
      EXPECT_EQ(entry.path().filename(), "target") << command.arguments;
    }
    EXPECT_EQ(files, 1U);
    std::filesystem::remove_all(Path("links"));
    std::filesystem::remove(Path("elsewhere/target"));
  }
  std::filesystem::create_symlink("elsewhere/model", Path("link"));
  const std::string convert =
      "convert --check never " + Path("block") + " " + Path("link") + " --dtype ";
  EXPECT_EQ(Run(convert + "bf16").exit_code, 0) << "a link to nothing";
  EXPECT_TRUE(std::filesystem::is_symlink(Path("link")));
  ExpectRefusal(convert + "f32 --force", "link: is a symbolic link to ");
  std::filesystem::permissions(Path("elsewhere/model"), std::filesystem::perms(0700));
  const std::string replace =
      "convert --check never " + Path("block") + " " + Path("elsewhere/model");
  EXPECT_EQ(Run(replace + " --dtype f32 --force").exit_code, 0);
  EXPECT_NE(ReadFile(Path("elsewhere/model/model.safetensors")).find("\"F32\""), std::string::npos);
  EXPECT_EQ(std::filesystem::status(Path("elsewhere/model")).permissions(),
            std::filesystem::perms(0700));
}

TEST_F(OutputFilesTest, StandardOutputIsWrittenIntoByItsNames) {
  std::filesystem::create_symlink("/dev/stdout", Path("stdout"));
  for (const std::string& name : {std::string("-"), std::string("/dev/stdout"), Path("stdout")}) {
    for (const Command& command : Commands()) {
      if (!command.appended.empty() || command.flag == "--plot") continue;
      const Outcome outcome = Run(command.arguments + " " + command.flag + " " + name, false);
      EXPECT_EQ(outcome.exit_code, 0) << command.arguments << outcome.output;
      EXPECT_THAT(outcome.output, StartsWith(command.flag == "--csv" ? "model," : "{"))
          << command.arguments;
      EXPECT_TRUE(outcome.output.ends_with("\n")) << outcome.output;
    }
    if (name == "-") continue;
    const Outcome score = Run("score --threads 1 " + Path("block") + " --input " +
                                  Path("in.jsonl") + " --output " + name + " > " + Path("file"),
                              false);
    EXPECT_EQ(score.exit_code, 0);
    EXPECT_EQ(ReadLines(Path("file")).size(), 1U);
    std::filesystem::remove(Path("file"));
  }
  EXPECT_TRUE(std::filesystem::is_symlink(Path("stdout")));
  EXPECT_FALSE(FileExists("-"));
}

TEST_F(OutputFilesTest, PipesAndDevicesAreWrittenIntoAndTheirErrorsNamed) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  const std::string score = "score --threads 1 " + Path("block") + " --input " + Path("in.jsonl");
  const Outcome piped =
      Run(score + " --output " + Path("fifo") + " & cat " + Path("fifo") + "; wait", false);
  EXPECT_THAT(piped.output, StartsWith("{\"prompt\":\"a\""));
  EXPECT_TRUE(std::filesystem::is_fifo(Path("fifo")));
  EXPECT_THAT(Run(score + " --output /dev/full").output,
              HasSubstr("/dev/full: cannot write: No space left on device"));
  EXPECT_EQ(Run(score + " --output /dev/null").exit_code, 0);
  const Outcome broken = Run(score + " --output >(sleep 0; exec <&-) 2>&1'", true, "bash -c '");
  EXPECT_EQ(broken.exit_code == 0 || broken.output.find("Broken pipe") != std::string::npos, true)
      << broken.output;
  EXPECT_FALSE(FileExists(Path("fifo.partial")));
  EXPECT_THAT(
      Run("bench throughput " + Path("block") + " --json " + Path("x") + " --csv " + Path("./x"))
          .output,
      HasSubstr("--csv: " + Path("./x") + ": is also another output"));
}

TEST_F(OutputFilesTest, FieldsOfTheUserAreKeptByteForByte) {
  const std::string record =
      "{ \"prompt\":\"a\",\"context\":\"\\u0061\", \"continuation\":\"b\", \"n\":1.10, "
      "\"id\":123456789012345678901234567890,\"deep\" : {\"text\":1E5}";
  const std::string block = Path("block");
  const std::string generate = "generate --threads 1 --max-tokens 4 --force --model " + block +
                               " --input " + Path("records.jsonl") + " --output " +
                               Path("out.jsonl");
  const std::string score = "score --threads 1 --force " + block + " --input " +
                            Path("records.jsonl") + " --output " + Path("out.jsonl");
  WriteFileAtomically(Path("records.jsonl"), record + " }\n" + record + "}\n");
  ASSERT_EQ(Run(generate).exit_code, 0);
  EXPECT_THAT(ReadFile(Path("out.jsonl")),
              AllOf(StartsWith(record + ",\"text\":"), HasSubstr("\"length\" }\n" + record + ",")));
  ASSERT_EQ(Run(score).exit_code, 0);
  EXPECT_THAT(ReadFile(Path("out.jsonl")), StartsWith(record + ",\"log_likelihood\":-"));
  std::filesystem::remove(Path("out.jsonl"));

  WriteFileAtomically(Path("records.jsonl"), record + "}\n\n" + record + ",\"tokens\":null}\n");
  for (const std::string& command : {generate, score}) {
    const Outcome refused = Run(command);
    EXPECT_EQ(refused.exit_code, 2) << refused.output;
    EXPECT_THAT(refused.output,
                AllOf(HasSubstr("records.jsonl"), HasSubstr("3"),
                      HasSubstr("has a field \"tokens\" already"), HasSubstr("--result-prefix")));
    EXPECT_FALSE(FileExists(Path("out.jsonl.partial")));
    const Outcome renamed = Run(command + " --result-prefix our_");
    EXPECT_EQ(renamed.exit_code, 0) << renamed.output;
    const std::vector<Json> lines = ReadLines(Path("out.jsonl"));
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_TRUE(lines[1]["tokens"].is_null());
    EXPECT_GT(lines[1]["our_tokens"], 0);
  }
  WriteFileAtomically(Path("records.jsonl"), record + ",\"sample\":7}\n");
  EXPECT_EQ(Run(generate).exit_code, 0) << "with one sample there is no such field";
  EXPECT_THAT(Run(generate + " --n 2").output, HasSubstr("has a field \"sample\" already"));
  EXPECT_THAT(Run("generate --prompt a --result-prefix p --model " + block).output,
              HasSubstr("--result-prefix: goes with --input"));
}

// What a run that was killed leaves is continued only as it was begun.
TEST_F(OutputFilesTest, AResumedRunChecksAllThatItsResultsDependOn) {
  const std::string line = "{\"prompt\":\"a\",\"context\":\"a\",\"continuation\":\"b\",\"pad\":\"" +
                           std::string(600, 'p') + "\"}\n";
  const std::string input = line + line + line;
  WriteFileAtomically(Path("in.jsonl"), input);
  std::string model = "block";
  const auto generate = [&](const std::string& flags) {
    return "generate --threads 1 --model " + Path(model) + " --input " + Path("in.jsonl") +
           " --output " + Path("out.jsonl") + " --max-tokens 4 " + flags;
  };
  const auto score = [&](const std::string& flags) {
    return "score --threads 1 " + Path(model) + " --input " + Path("in.jsonl") + " --output " +
           Path("out.jsonl") + " " + flags;
  };
  const auto interrupt = [&](const std::string& command) {
    std::filesystem::remove(Path("out.jsonl.partial"));
    EXPECT_NE(Run(command, true, "trap '' XFSZ; ulimit -f 2; ").exit_code, 0);
    EXPECT_NE(std::filesystem::file_size(Path("out.jsonl.partial")), 0U);
  };
  const auto expect = [&](const std::string& command, const std::string& difference) {
    ExpectRefusal(command, "was begun with other settings: " + difference);
  };

  interrupt(generate(""));
  expect(generate("--dtype int8"), "--dtype was \"f32\" and is \"int8\", --kv-dtype was \"f32\"");
  expect(generate("--kv-dtype f16"), "--kv-dtype was \"f32\" and is \"f16\";");
  expect(generate("--max-length 50"), "--max-length was 64 and is 50;");
  expect(generate("--temperature 1 --seed 2"), "--seed was 0 and is 2, --temperature was 0.0 and");
  expect(generate("--top-k 2"), "--top-k was 0 and is 2;");
  expect(generate("--stop x"), "--stop was [] and is [\"x\"];");
  expect(generate("--ignore-eos"), "--ignore-eos was false and is true;");
  expect(generate("--result-prefix q_"), "--result-prefix was \"\" and is \"q_\";");
  expect(generate("--n 2"), "--n was 1 and is 2;");
  expect("generate --threads 1 --max-tokens 5 --model " + Path(model) + " --input " +
             Path("in.jsonl") + " --output " + Path("out.jsonl"),
         "--max-tokens was 4 and is 5;");
  WriteFileAtomically(Path("in.jsonl"), input + line);
  expect(generate(""), "input was 3 prompts with hash ");
  WriteFileAtomically(Path("in.jsonl"), input);
  const auto changes = [&](const std::string& name, const std::string& setting) {
    const std::string contents = ReadFile(Path("block/" + name));
    WriteFileAtomically(Path("block/" + name), contents + "\n");
    expect(generate(""), setting);
    WriteFileAtomically(Path("block/" + name), contents);
  };
  changes("tokenizer.json", "tokenizer was ");
  changes("config.json", "model configuration was ");

  // A model is the same wherever it lies, and auto is what it stands for.
  std::filesystem::rename(Path("block"), Path("moved"));
  model = "moved";
  const Outcome outcome = Run(generate("--dtype f32 --batch 2"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("1 of 3 are done, going on"));
  EXPECT_EQ(ReadLines(Path("out.jsonl")).size(), 3U);
  std::filesystem::remove(Path("out.jsonl"));

  interrupt(score(""));
  expect(score("--dtype bf16"), "--dtype was \"f32\" and is \"bf16\";");
  expect(score("--max-length 50"), "--max-length was 64 and is 50;");
  expect(score("--result-prefix q_"), "--result-prefix was \"\" and is \"q_\";");
  WriteFileAtomically(Path("out.jsonl.partial.settings"), "{\"lines\":3}\n");
  ExpectRefusal(score(""), "there are no settings of this version in");
}

}  // namespace
}  // namespace blockformer
