// `generate --chat`, with the program and a terminal of its own.
#include "cli/chat.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <pty.h>

#include <csignal>
#include <fstream>

#include "base/error.h"
#include "tests/cli/program_fixture.h"
#include "tests/wait_until.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

constexpr char kTemplate[] =
    "{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}|{% endfor %}"
    "{% if add_generation_prompt %}bot:{% endif %}";

class ChatProgram : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    std::ofstream(Path("block/tokenizer_config.json")) << Json{{"chat_template", kTemplate}}.dump();
  }
  std::string Chat(const std::string& flags) const {
    return "generate --model " + Path("block") + " --chat " + flags;
  }
  Json ChatJson(const std::string& flags) const {
    return Json::parse(Run(Chat("--json " + flags), /*with_errors=*/false).output);
  }
};

TEST_F(ChatProgram, ConversationsAreWrittenByTheTemplate) {
  Conversation plain(Path("block"), "", /*plain_text=*/false);
  EXPECT_EQ(plain.Ask("one").text, "user:one|bot:");
  plain.AddAnswer("yes");
  EXPECT_EQ(plain.Ask("two").text, "user:one|assistant:yes|user:two|bot:");
  Conversation told(Path("block"), "be brief", /*plain_text=*/true);
  EXPECT_EQ(told.Ask("one").text, "system:be brief|user:one|bot:");
}

// Of messages; the template's own are tokens all the same.
TEST_F(ChatProgram, SpecialTokensAreTextIfAsked) {
  std::ofstream(Path("block/tokenizer_config.json"))
      << Json{{"chat_template", "<|endoftext|>{{ messages[0]['content'] }}"}}.dump();
  const std::string flags = "--max-tokens 5 --ignore-eos --prompt 'a<|endoftext|>'";
  EXPECT_EQ(ChatJson(flags)["prompt_tokens"], 3);
  const Json answer = ChatJson("--plain-text " + flags);
  EXPECT_EQ(answer["prompt_tokens"], 1 + 1 + 13);
  EXPECT_EQ(answer["prompt"], "<|endoftext|>a<|endoftext|>");
  const Outcome streamed = Run(Chat("--plain-text " + flags), /*with_errors=*/false);
  EXPECT_EQ(streamed.output, answer["text"].get<std::string>() + "\n");
}

TEST_F(ChatProgram, AnswersInJson) {
  const Json answer = ChatJson("--temperature 1 --max-tokens 40 --prompt one --json-schema " +
                               std::string(R"('{"enum": [true, false]}')"));
  EXPECT_THAT(answer["text"].get<std::string>(),
              testing::AnyOf(testing::EndsWith("true"), testing::EndsWith("false")));
  EXPECT_EQ(answer["finish_reason"], "end_of_text");
}

TEST_F(ChatProgram, AnswersOnePrompt) {
  const Json answer = ChatJson("--system s --prompt one --max-tokens 5 --ignore-eos");
  EXPECT_EQ(answer["prompt"], "system:s|user:one|bot:");
  EXPECT_EQ(answer["tokens"], 5);
  const Outcome same = Run("generate --json --max-tokens 5 --ignore-eos --model " + Path("block") +
                               " --prompt 'system:s|user:one|bot:'",
                           /*with_errors=*/false);
  EXPECT_EQ(Json::parse(same.output)["ids"], answer["ids"]);
  const Outcome text = Run(Chat("--system s --prompt one --max-tokens 5 --ignore-eos"), false);
  EXPECT_EQ(text.output, answer["text"].get<std::string>() + "\n");  // without the prompt
  const Outcome piped = Run(Chat("--system s --max-tokens 5 --ignore-eos"), false, "echo one | ");
  EXPECT_EQ(piped.output, text.output);
}

TEST_F(ChatProgram, WithoutALimitAnAnswerMayFillTheContext) {
  const Json answer = ChatJson("--prompt one --ignore-eos");
  EXPECT_EQ(answer["prompt_tokens"].get<int>() + answer["tokens"].get<int>(), 64);
}

TEST_F(ChatProgram, RefusesWhatDoesNotGoTogether) {
  EXPECT_THAT(Run("generate --model " + Path("block") + " --system s --prompt one").output,
              HasSubstr("--system: has no meaning without --chat"));
  EXPECT_THAT(Run(Chat("--input a --output b")).output, HasSubstr("--chat and --input exclude"));
  EXPECT_THAT(Run(Chat("--compat published --prompt one")).output, HasSubstr("--chat: --compat"));
  std::filesystem::remove(Path("block/tokenizer_config.json"));
  const Outcome outcome = Run(Chat("--prompt one"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output,
              HasSubstr(Path("block") + ": --chat: the model has no chat template"));
}

// The program on a terminal of its own.
class Terminal {
 public:
  explicit Terminal(const std::string& command) {
    child_ = forkpty(&descriptor_, nullptr, nullptr, nullptr);
    if (child_ != 0) return;
    // Tests that a script runs in the background ignore it, and so would the program.
    std::signal(SIGINT, SIG_DFL);
    // The program takes the shell's place, and alone gets the terminal's signals.
    execl("/bin/sh", "sh", "-c", ("exec " + command).c_str(), nullptr);
  }
  ~Terminal() {
    if (is_open()) close(descriptor_);
  }

  // Some containers have no terminals, in /dev/pts.
  bool is_open() const { return child_ > 0; }

  void Write(const std::string& text) const {
    ASSERT_EQ(write(descriptor_, text.data(), text.size()), std::ssize(text));
  }
  // What appears up to `end` and so many of it before, or in all.
  std::string ReadUntil(const std::string& end) {
    std::string text;
    pollfd input = {descriptor_, POLLIN, 0};
    while (!text.ends_with(end) && poll(&input, 1, 60'000) == 1) {
      char byte = 0;
      if (read(descriptor_, &byte, 1) != 1) break;
      text += byte;
    }
    return text;
  }
  // The exit code.
  int Wait() const {
    int status = 0;
    if (!WaitUntil([&] { return waitpid(child_, &status, WNOHANG) == child_; })) {
      kill(child_, SIGKILL);
      waitpid(child_, &status, 0);
    }
    return WEXITSTATUS(status);
  }

 private:
  int descriptor_ = -1;
  pid_t child_ = -1;
};

TEST_F(ChatProgram, TalksOnATerminalUntilTheInputEnds) {
  Terminal terminal(std::string(BLOCKFORMER_PROGRAM) + " " + Chat("--max-tokens 1 --seed 3"));
  if (!terminal.is_open()) GTEST_SKIP() << "no terminal can be made here";
  EXPECT_THAT(terminal.ReadUntil("> "), testing::EndsWith("> "));
  for (const char* line : {"one\n", "\n", "two\n"}) {
    terminal.Write(line);
    EXPECT_THAT(terminal.ReadUntil("> "), testing::EndsWith("> "));
  }
  terminal.Write("\x04");  // Ctrl-D
  terminal.ReadUntil("nothing");
  EXPECT_EQ(terminal.Wait(), 0);
}

// The context is full in the second turn; a line that never fits is left out.
TEST_F(ChatProgram, AFullContextDoesNotEndTheConversation) {
  Terminal terminal(std::string(BLOCKFORMER_PROGRAM) + " " +
                    Chat("--max-tokens 20 --ignore-eos --system s"));
  if (!terminal.is_open()) GTEST_SKIP() << "no terminal can be made here";
  terminal.ReadUntil("> ");
  terminal.Write("one\n");
  EXPECT_THAT(terminal.ReadUntil("\n> "), testing::Not(HasSubstr("forgotten")));
  terminal.Write("two\n");
  EXPECT_THAT(terminal.ReadUntil("\n> "),
              HasSubstr("the context of 64 tokens is full; the oldest turn is forgotten"));
  terminal.Write(std::string(60, 'x') + "\n");
  EXPECT_THAT(terminal.ReadUntil("\n> "), HasSubstr("exceed the maximal length 64"));
  terminal.Write("\xFF\n");
  EXPECT_THAT(terminal.ReadUntil("\n> "), HasSubstr("UTF-8"));
  terminal.Write("three\n");
  EXPECT_THAT(terminal.ReadUntil("\n> "), HasSubstr("the oldest turn is forgotten"));
  terminal.Write("\x04");  // Ctrl-D
  terminal.ReadUntil("nothing");
  EXPECT_EQ(terminal.Wait(), 0);
}

TEST_F(ChatProgram, AnInterruptionEndsTheWaitForALine) {
  Terminal terminal(std::string(BLOCKFORMER_PROGRAM) + " " + Chat("--max-tokens 1"));
  if (!terminal.is_open()) GTEST_SKIP() << "no terminal can be made here";
  terminal.ReadUntil("> ");
  terminal.Write("\x03");  // Ctrl-C
  EXPECT_THAT(terminal.ReadUntil("nothing"), HasSubstr("interrupted"));
  EXPECT_EQ(terminal.Wait(), 130);
}

}  // namespace
}  // namespace blockformer
