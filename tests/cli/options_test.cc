// What the program's options, descriptors and environment may be, as a user gives them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "tests/cli/program_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class OptionsTest : public ProgramTest {};

TEST_F(OptionsTest, ExplainsItself) {
  EXPECT_EQ(Run("--version").exit_code, 0);
  const Outcome help = Run("--help");
  EXPECT_EQ(help.exit_code, 0);
  for (const char* command :
       {"bench", "convert", "doctor", "generate", "inspect", "prepare", "tokenizer", "train"}) {
    EXPECT_THAT(help.output, HasSubstr(command));
  }
  EXPECT_EQ(Run("").exit_code, 2);
  EXPECT_EQ(Run("generate --no-such-flag").exit_code, 2);
}

TEST_F(OptionsTest, NamesACommandThatIsNotKnown) {
  const auto expect = [](const std::string& arguments, const std::string& message) {
    for (const char* flag : {"", " --help", " --version", " x --help"}) {
      const Outcome outcome = Run(arguments + flag);
      EXPECT_EQ(outcome.exit_code, 2) << arguments << flag;
      EXPECT_EQ(std::ranges::count(outcome.output, '\n'), 1) << outcome.output;
      EXPECT_THAT(outcome.output, HasSubstr(message));
    }
  };
  expect("anything", "\"anything\" is not a command of blockformer; prepare, tokenizer, train, ");
  expect("--help anything", "\"anything\" is not a command of blockformer");
  expect("bench speed", "\"speed\" is not a command of bench; throughput, ");
  expect("tokenizer --help learn", "\"learn\" is not a command of tokenizer; train, ");
  EXPECT_EQ(Run("bench --help").exit_code, 0);
  const std::string loss = Run("eval loss --help").output;
  EXPECT_THAT(loss, HasSubstr("\n  models DIR ... REQUIRED "));
  EXPECT_THAT(loss, HasSubstr("\n  --model DIR ... "));
  EXPECT_THAT(loss, HasSubstr("The same as models by its place\n"));
  EXPECT_THAT(Run("generate --help").output, HasSubstr("The same as model by its place\n"));
  EXPECT_EQ(Run("tokenizer train --help").exit_code, 0);
}

// By its place or behind --model, wherever a model is taken.
TEST_F(OptionsTest, TakesAModelByPlaceOrByName) {
  WriteFileAtomically(Path("in.jsonl"), "{\"text\": \"the end\"}\n");
  const std::string options[] = {
      "generate --prompt x --max-tokens 4", "inspect",
      "score --force --input " + Path("in.jsonl") + " --output " + Path("out.jsonl"),
      "bench throughput --batch 1 --prompt 4 --generate 4 --repetitions 1"};
  for (const std::string& command : options) {
    for (const std::string& model : {" " + Path("block"), " --model " + Path("block")}) {
      const Outcome outcome = Run(command + model);
      EXPECT_EQ(outcome.exit_code, 0) << command << model << ": " << outcome.output;
    }
  }
  for (const std::string command :
       {"serve", "eval loss --data x", "eval tasks --tasks none", "eval needle --data x",
        "eval positions --data x", "bench precision --data x"}) {
    for (const std::string name : {" absent", " --model absent"}) {
      EXPECT_THAT(Run(command + name).output, testing::Not(HasSubstr("expected")));
      EXPECT_THAT(Run(command + name).output, testing::Not(HasSubstr("required")));
    }
  }
}

// A missing one may be the one that is misspelt.
TEST_F(OptionsTest, NamesUnexpectedWordsBeforeMissingOnes) {
  const Outcome outcome = Run("generate --modle x");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.output, HasSubstr("not expected: --modle"));
  EXPECT_THAT(Run("generate").output, HasSubstr("--model is required"));
}

TEST_F(OptionsTest, NamesUnexpectedWordsInTheirOrder) {
  const Outcome outcome = Run("serve " + Path("block") + " --api-key x");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.output, HasSubstr("were not expected: --api-key x\n"));
}

TEST_F(OptionsTest, AnUnknownFlagBeforeTheCommandIsNamed) {
  for (const std::string arguments : {"--foo", "--foo generate", "tokenizer --foo"}) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << arguments;
    EXPECT_THAT(outcome.output, HasSubstr("--foo is not an option of")) << arguments;
  }
}

// A shell has an empty value for a variable that is not set.
TEST_F(OptionsTest, EmptyValuesAreRefusedWhereTheyAreNoText) {
  const std::string model = " " + Path("block") + " ";
  for (const auto& [command, flag] : std::vector<std::pair<std::string, std::string>>{
           {"serve" + model, "--port"},
           {"serve" + model, "--request-timeout"},
           {"serve" + model, "--memory"},
           {"serve" + model, "--api-key-file"},
           {"generate --prompt x" + model, "--temperature"},
           {"generate --prompt x" + model, "--max-tokens"},
           {"generate --prompt x" + model, "--device"},
           {"eval loss --data x" + model, "--limit"},
           {"train --sweep x", "--nproc"}}) {
    const Outcome outcome = Run(command + " " + flag + " ''");
    EXPECT_EQ(outcome.exit_code, 2) << command << flag;
    EXPECT_THAT(outcome.output, HasSubstr(flag + ": its value is empty")) << command;
  }
  EXPECT_EQ(Run("generate --max-tokens 2 --prompt ''" + model).exit_code, 0);
  EXPECT_EQ(Run("generate --prompt= --max-tokens 2 " + model).exit_code, 0);
  const Outcome outcome = Run("generate --prompt x --temperature= 1 " + model);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.output, HasSubstr("--temperature: its value is empty"));
}

TEST_F(OptionsTest, IntegersAreDecimal) {
  const std::string generate =
      "generate --ignore-eos --json --prompt x " + Path("block") + " --max-tokens ";
  for (const std::string ten : {"10", "010", "+10"}) {
    EXPECT_EQ(ParseJson(Run(generate + ten, false).output, "output")["tokens"], 10) << ten;
  }
  EXPECT_THAT(Run(generate + "99999999999999999999").output,
              HasSubstr("--max-tokens: 99999999999999999999 is out of range"));
  EXPECT_EQ(Run("generate --prompt x --temperature 0x1 " + Path("block")).exit_code, 2);
  EXPECT_EQ(
      Run("generate --prompt x --max-tokens 2 --temperature +1e-1 " + Path("block")).exit_code, 0);
  for (const std::string none : {"0x10", "1e3", "1'000", "10 ", "-", "ten"}) {
    const Outcome outcome = Run(generate + '"' + none + '"');
    EXPECT_EQ(outcome.exit_code, 2) << none;
    EXPECT_THAT(outcome.output, HasSubstr("--max-tokens: \"" + none + "\" is not possible"));
  }
}

TEST_F(OptionsTest, MessagesThatCannotBeWrittenAreLostAndNothingElse) {
  WriteFileAtomically(Path("in.jsonl"), "{\"prompt\": \"the\"}\n{\"prompt\": \"end\"}\n");
  const std::string generate = "generate --max-tokens 5 " + Path("block");
  const std::string batch = generate + " --input " + Path("in.jsonl") + " --output ";
  ASSERT_EQ(Run(batch + Path("plain.jsonl"), false).exit_code, 0);
  for (const std::string lost : {" 2>/dev/full", " 2>&-"}) {
    // In a shell of its own, whose standard error the outer redirection does not touch.
    const auto run = [&](const std::string& arguments) {
      return Run(arguments + lost + "; echo $?'", true, "bash -c '").output;
    };
    EXPECT_THAT(run(generate + " --prompt the"), testing::EndsWith("\n0\n")) << lost;
    EXPECT_EQ(run(batch + Path("out.jsonl") + " --force"), "0\n") << lost;
    EXPECT_EQ(ReadFile(Path("out.jsonl")), ReadFile(Path("plain.jsonl"))) << lost;
  }
}

TEST_F(OptionsTest, APromptThatCannotBeReadIsAnError) {
  for (const std::string input : {" <&-", " < /"}) {
    const Outcome outcome = Run("generate --max-tokens 2 " + Path("block") + input);
    EXPECT_EQ(outcome.exit_code, 1) << input;
    EXPECT_THAT(outcome.output, HasSubstr("standard input: cannot read: ")) << input;
  }
}

TEST_F(OptionsTest, AnEmptyKeyIsRefused) {
  const Outcome outcome =
      Run("serve --port 0 " + Path("block"), true, "env BLOCKFORMER_API_KEY= timeout 20 ");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.output, HasSubstr("BLOCKFORMER_API_KEY: holds no key"));
}

TEST_F(OptionsTest, AKeyFileThatEndsNowhereIsRefused) {
  const Outcome outcome = Run("serve --port 0 --api-key-file /dev/zero " + Path("block"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("/dev/zero: "));
}

TEST_F(OptionsTest, ANamedPluginThatIsNotThereIsTold) {
  const Outcome outcome = Run("generate --prompt x --max-tokens 1 " + Path("block"), true,
                              "env BLOCKFORMER_CUDA=/nowhere.so ");
  EXPECT_EQ(outcome.exit_code, 0);
  const std::string warning = "warning: the processor is used, since there is no plugin for it";
  EXPECT_THAT(outcome.output, HasSubstr(warning + "; /nowhere.so was looked for"));
  EXPECT_EQ(outcome.output.find(warning), outcome.output.rfind(warning)) << "more than once";
}

// However it is started, and whatever lies in the current directory.
TEST_F(OptionsTest, APluginIsLookedForInTwoPlaces) {
  constexpr std::string_view kPlugin = "libblockformer_cuda.so";
  std::filesystem::create_directories(Path("blockformer"));
  WriteFileAtomically(Path(std::string(kPlugin)), "");
  const std::string program = BLOCKFORMER_PROGRAM;
  const std::string folder = program.substr(0, program.rfind('/'));
  const std::string& output =
      Run("/dev/null; blockformer generate --device cuda --prompt x " + Path("block") + " 2>&1'",
          true,
          "env -u BLOCKFORMER_CUDA bash -c 'PATH=" + folder + ":$PATH; cd " + directory_ + "; : ")
          .output;
  EXPECT_THAT(output, HasSubstr("no plugin for it; " + folder + "/libblockformer_cuda.so and /"));
  size_t places = 0;
  for (size_t at = output.find(kPlugin); at != std::string::npos;
       at = output.find(kPlugin, at + 1)) {
    ++places;
  }
  EXPECT_EQ(places, 2U) << output;
}

}  // namespace
}  // namespace blockformer
