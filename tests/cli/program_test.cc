// The program itself, as a user runs it, on a tiny model with random weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>
#include <sstream>

#include "base/file.h"
#include "config/parameters.h"
#include "tests/cli/program_fixture.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

// What is tried first: the file that other programs load.
TEST_F(ProgramTest, AFileInPlaceOfAModelDirectoryIsTold) {
  WriteFileAtomically(Path("x.gguf"), std::string("GGUF\3\0\0\0", 8));
  WriteFileAtomically(Path("notes.txt"), "text");
  const std::pair<std::string, std::string> files[] = {
      {"x.gguf", "`blockformer convert " + Path("x.gguf") + " DIR` makes a model directory of it"},
      {"block/model.safetensors", "the directory that holds it, " + Path("block") + ", is wanted"},
      {"block/tokenizer.json", "the directory that holds it, " + Path("block") + ", is wanted"},
      {"notes.txt", Path("notes.txt") + ": is n"}};
  for (const auto& [name, message] : files) {
    for (const std::string command :
         {"serve ", "generate --prompt x --model ", "generate --chat --prompt x --model ",
          "generate --compat published --prompt x --model ", "inspect "}) {
      const Outcome outcome = Run(command + Path(name));
      EXPECT_NE(outcome.exit_code, 0) << command;
      EXPECT_THAT(outcome.output, HasSubstr(message)) << command;
    }
  }
  EXPECT_THAT(Run("tokenizer encode --tokenizer " + Path("x.gguf") + " </dev/null").output,
              HasSubstr("`blockformer convert " + Path("x.gguf") + " DIR`"));
}

TEST_F(ProgramTest, TheSameSeedGivesTheSameText) {
  const std::string generate = "generate --model " + Path("block") +
                               " --prompt 'the end' --max-tokens 20 --temperature 1 --seed ";
  const Outcome first = Run(generate + "1", false);
  EXPECT_EQ(first.exit_code, 0);
  EXPECT_THAT(first.output, testing::StartsWith("the end"));
  EXPECT_EQ(first.output, Run(generate + "1", false).output);
  EXPECT_EQ(first.output, Run(generate + "1 --threads 1", false).output);
  EXPECT_NE(first.output, Run(generate + "2", false).output);
}

TEST_F(ProgramTest, GeneratesJsonAndReadsThePromptFromStandardInput) {
  WriteFileAtomically(Path("prompt"), "the\n");
  const Outcome outcome =
      Run("generate --model " + Path("block") +
              " --max-tokens 7 --ignore-eos --n 3 --temperature 1 --json < " + Path("prompt"),
          false);
  ASSERT_EQ(outcome.exit_code, 0);
  std::istringstream stream(outcome.output);
  std::set<std::string> texts;
  int lines = 0;
  for (std::string line; std::getline(stream, line); ++lines) {
    const Json json = ParseJson(line, "output");
    EXPECT_EQ(json["prompt"], "the");
    EXPECT_EQ(json["tokens"], 7);
    EXPECT_EQ(json["finish_reason"], "length");
    for (const Json& id : json["ids"]) EXPECT_LT(id.get<int>(), kByteTokenizerVocabSize);
    texts.insert(json["text"].get<std::string>());
  }
  EXPECT_EQ(lines, 3);
  EXPECT_GT(texts.size(), 1U);
}

TEST_F(ProgramTest, ContinuesAFileOfPromptsInOrder) {
  std::string prompts;
  for (int i = 0; i < 9; ++i) {
    prompts += OrderedJson{{"id", i}, {"prompt", std::string(1 + i * 3, 'a')}}.dump() + "\n";
  }
  WriteFileAtomically(Path("in.jsonl"), prompts);
  const std::string command = "generate --model " + Path("block") + " --input " + Path("in.jsonl") +
                              " --batch 4 --max-tokens 10 --temperature 1 --n 2 --output " +
                              Path("out.jsonl");
  ASSERT_EQ(Run(command).exit_code, 0);
  const std::vector<Json> lines = ReadLines(Path("out.jsonl"));
  ASSERT_EQ(lines.size(), 18U);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["id"], i / 2);
    EXPECT_EQ(lines[i]["sample"], i % 2);
  }
  const Outcome refused = Run(command);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.output, HasSubstr("--force"));
}

// With int8 weights, a text is the same whatever is generated beside it.
TEST_F(ProgramTest, GoesOnAfterAnInterruption) {
  std::string prompts;
  for (char c = 'a'; c <= 'l'; ++c) {
    prompts += OrderedJson{{"prompt", std::string(1, c)}}.dump() + "\n";
  }
  WriteFileAtomically(Path("in.jsonl"), prompts);
  const std::string command =
      "generate --dtype int8 --model " + Path("block") + " --input " + Path("in.jsonl") +
      " --batch 2 --threads 1 --max-length 800 --max-tokens 700 --ignore-eos" +
      " --temperature 1 --output ";
  ASSERT_EQ(Run(command + Path("whole.jsonl")).exit_code, 0);

  // Interrupted when its first line is there; a crash could also leave a part of a line.
  const std::string partial = Path("out.jsonl.partial");
  const std::string go_on = command + Path("out.jsonl");
  const Outcome interrupted = Run(go_on + " 2>/dev/null & pid=$!; while kill -0 $pid && [ ! -s " +
                                  partial + " ]; do sleep 0.01; done; kill -INT $pid; wait $pid");
  EXPECT_EQ(interrupted.exit_code, 130);
  EXPECT_FALSE(FileExists(Path("out.jsonl")));
  const std::string done = ReadFile(partial);
  EXPECT_THAT(ReadFile(Path("whole.jsonl")), testing::StartsWith(done));
  WriteFileAtomically(partial, done + "{\"prom");

  const auto expect_refusal = [&](const std::string& flags) {
    const Outcome refused = Run(go_on + flags);
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_THAT(refused.output, HasSubstr("other settings"));
  };
  expect_refusal(" --seed 9");
  std::string edited = prompts;
  edited[edited.size() - 4] = 'z';
  WriteFileAtomically(Path("in.jsonl"), edited);
  expect_refusal("");
  WriteFileAtomically(Path("in.jsonl"), prompts);
  const std::string weights = Path("block") + "/" + kWeightsFile;
  const std::string contents = ReadFile(weights);
  std::string other = contents;
  other.back() ^= 1;
  WriteFileAtomically(weights, other);
  expect_refusal("");
  WriteFileAtomically(weights, contents);

  ASSERT_EQ(Run(go_on).exit_code, 0);
  EXPECT_EQ(ReadFile(Path("out.jsonl")), ReadFile(Path("whole.jsonl")));
  EXPECT_FALSE(FileExists(partial));
}

TEST_F(ProgramTest, ChecksAllOfABatchBeforeItBegins) {
  WriteFileAtomically(
      Path("in.jsonl"),
      "{\"prompt\":\"a\"}\n" + OrderedJson{{"prompt", std::string(90, 'b')}}.dump() + "\n");
  const auto expect = [&](const std::string& input, const std::string& flags,
                          const std::string& part) {
    const Outcome outcome = Run("generate --model " + Path("block") + " --input " + Path(input) +
                                " --max-tokens 8 --output " + Path("out.jsonl") + flags);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.output, HasSubstr(part));
    EXPECT_FALSE(FileExists(Path("out.jsonl.partial")));
  };
  expect("in.jsonl", "", "in.jsonl:2 (90 tokens); --too-long skip");
  expect("in.jsonl", " --max-length 200 --temperature -1", "temperature: -1");
  expect("block", "", "not a regular file");
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  expect("fifo", "", "not a regular file");
  const Outcome piped =
      Run("generate --model " + Path("block") + " --input - --output " + Path("out.jsonl"), true,
          "echo '{\"prompt\":\"a\"}' | ");
  EXPECT_EQ(piped.exit_code, 2);
  EXPECT_THAT(piped.output, HasSubstr("-: is not a regular file"));
}

TEST_F(ProgramTest, PromptsThatAreTooLongAreNamedSkippedOrCut) {
  // The context is 64, of which 8 are for new tokens.
  std::string prompts;
  for (int i = 0; i < 30; ++i) {
    const size_t length = i % 5 == 0 ? 20 : 57 + static_cast<size_t>(i);
    prompts +=
        OrderedJson{{"id", i}, {"prompt", std::string(length, static_cast<char>('a' + i % 26))}}
            .dump() +
        "\n";
  }
  WriteFileAtomically(Path("in.jsonl"), prompts);
  const std::string command = "generate --threads 1 --model " + Path("block") + " --input " +
                              Path("in.jsonl") + " --temperature 1 --max-tokens 8 --ignore-eos" +
                              " --output ";
  const Outcome refused = Run(command + Path("out.jsonl"));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.output, HasSubstr("24 of 30 prompts exceed the maximal length 64"));
  EXPECT_THAT(refused.output, HasSubstr("in.jsonl:2 (58 tokens), "));
  EXPECT_THAT(refused.output, HasSubstr("in.jsonl:25 (81 tokens) and 4 more;"));
  EXPECT_THAT(refused.output, HasSubstr("--too-long skip"));

  const Outcome skipped = Run(command + Path("skip.jsonl") + " --too-long skip");
  ASSERT_EQ(skipped.exit_code, 0) << skipped.output;
  EXPECT_THAT(skipped.output, HasSubstr("they are skipped"));
  const Outcome cut = Run(command + Path("cut.jsonl") + " --too-long truncate-left");
  ASSERT_EQ(cut.exit_code, 0) << cut.output;
  EXPECT_THAT(cut.output, HasSubstr("they are cut on the left"));
  const std::vector<Json> skip_lines = ReadLines(Path("skip.jsonl"));
  const std::vector<Json> cut_lines = ReadLines(Path("cut.jsonl"));
  ASSERT_EQ(skip_lines.size(), 30U);
  ASSERT_EQ(cut_lines.size(), 30U);
  for (size_t i = 0; i < 30; ++i) {
    EXPECT_EQ(skip_lines[i]["id"], i);
    EXPECT_EQ(cut_lines[i]["id"], i);
    EXPECT_EQ(cut_lines[i]["tokens"], 8);
    if (i % 5 == 0) {
      EXPECT_EQ(skip_lines[i], cut_lines[i]);  // each prompt draws from a stream of its own
      EXPECT_FALSE(cut_lines[i].contains("cut_tokens"));
    } else {
      EXPECT_EQ(skip_lines[i]["finish_reason"], "prompt_too_long");
      EXPECT_EQ(skip_lines[i]["text"], "");
      EXPECT_EQ(skip_lines[i]["tokens"], 0);
      EXPECT_EQ(cut_lines[i]["cut_tokens"], 1 + i);
    }
  }
  // A prompt that was cut is continued as its last tokens are.
  const std::string shorter =
      OrderedJson{{"id", 0}, {"prompt", std::string(56, 'b')}}.dump() + "\n";
  WriteFileAtomically(Path("in.jsonl"), shorter + shorter);
  ASSERT_EQ(Run(command + Path("short.jsonl")).exit_code, 0);
  EXPECT_EQ(ReadLines(Path("short.jsonl"))[1]["text"], cut_lines[1]["text"]);

  const Outcome full = Run("generate --model " + Path("block") + " --input " + Path("in.jsonl") +
                           " --output " + Path("full.jsonl") + " --too-long skip --max-tokens 64");
  EXPECT_EQ(full.exit_code, 2);
  EXPECT_THAT(full.output, HasSubstr("max_tokens: 64 leaves no room for a prompt"));
  const Outcome alone = Run("generate --model " + Path("block") + " --prompt a --too-long skip");
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_THAT(alone.output, HasSubstr("--too-long: skip has no meaning without --input"));
  const Outcome unknown = Run(command + Path("out.jsonl") + " --too-long cut");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.output, HasSubstr("--too-long: \"cut\" is not known"));
}

TEST_F(ProgramTest, FieldsOfPromptsAreKeptAsTheyStand) {
  const std::string kept = "\"id\": 123456789012345678901234567890, \"x\": [NaN, \"\\ud83d\"]";
  WriteFileAtomically(Path("in.txt"), "\xEF\xBB\xBF{" + kept + ", \"prompt\": \"a\"}\r\n\r\n");
  const Outcome outcome = Run("generate --model " + Path("block") + " --input " + Path("in.txt") +
                              " --max-tokens 4 --output " + Path("out.jsonl"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(ReadFile(Path("out.jsonl")),
              testing::StartsWith("{" + kept + ", \"prompt\": \"a\",\"text\":"));
}

TEST_F(ProgramTest, SpecialTokensOfAPromptCanBeText) {
  const std::string command =
      "generate --model " + Path("block") + " --json --max-tokens 4 --prompt '<|endoftext|>'";
  const auto prompt_tokens = [&](const std::string& flags) {
    return ParseJson(Run(command + flags, false).output, "output")["prompt_tokens"].get<int>();
  };
  EXPECT_EQ(prompt_tokens(""), 1);
  EXPECT_EQ(prompt_tokens(" --plain-text"), 13);
}

TEST_F(ProgramTest, TextsAreJsonOfASchema) {
  WriteFileAtomically(Path("in.jsonl"), "{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}\n");
  WriteFileAtomically(Path("schema.json"), R"({"enum": [true, false]})");
  const std::string command = "generate --force --temperature 1 --max-tokens 40 --model " +
                              Path("block") + " --input " + Path("in.jsonl") + " --output " +
                              Path("out.jsonl");
  for (const std::string& schema : {Path("schema.json"), std::string(R"('{"enum": [true]}')")}) {
    const Outcome outcome = Run(command + " --json-schema " + schema);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
    for (const Json& line : ReadLines(Path("out.jsonl"))) {
      EXPECT_EQ(line["finish_reason"], "end_of_text");
      EXPECT_TRUE(Json::parse(line["text"].get<std::string>()).is_boolean()) << line;
    }
  }
  const Outcome object =
      Run("generate --json-object --json --model " + Path("block") + " --max-tokens 40 --prompt a",
          false);
  const std::string text = Json::parse(object.output)["text"];
  EXPECT_EQ(text[text.find_first_not_of(" \n\r\t")], '{') << text;
}

TEST_F(ProgramTest, SchemasThatCannotBeAreRefusedBeforeAnythingBegins) {
  WriteFileAtomically(Path("in.jsonl"), "{\"prompt\":\"a\"}\n");
  WriteFileAtomically(Path("empty.json"), "");
  const std::string command = "generate --model " + Path("block") + " --input " + Path("in.jsonl") +
                              " --output " + Path("out.jsonl");
  const std::pair<std::string, std::string> cases[] = {
      {R"(--json-schema '{"pattern": "a"}')", "--json-schema: pattern: "},
      {R"(--json-schema '{')", "--json-schema: the schema: not valid JSON"},
      {"--json-schema " + Path("empty.json"), "--json-schema: the schema: not valid JSON"},
      {"--json-schema ''", "--json-schema: its value is empty"},
      {"--json-object --json-schema '{}'", "--json-schema: is set beside json_object"},
      {"--json-object --ignore-eos", "--json-object: its texts end"},
  };
  for (const auto& [flags, message] : cases) {
    const Outcome outcome = Run(command + " " + flags);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(message));
    EXPECT_FALSE(FileExists(Path("out.jsonl.partial")));
  }
  EXPECT_THAT(
      Run("generate --compat published --model " + Path("block") + " --prompt a --json-object")
          .output,
      HasSubstr("--json-object: --compat published does not take it"));
}

TEST_F(ProgramTest, PipesAreRead) {
  WriteFileAtomically(Path("in.jsonl"), "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  const auto documents = [&](const std::string& before, const std::string& input) {
    const Outcome outcome = Run("prepare --force --tokenizer " + Path("block") +
                                    " --json --output " + Path("tokens") + " " + input,
                                false, before);
    return ParseJson(outcome.output, outcome.output)["documents"].get<int>();
  };
  const std::string cat = "cat " + Path("in.jsonl") + " | ";
  EXPECT_EQ(documents(cat, "-"), 2);
  EXPECT_EQ(documents("gzip -c " + Path("in.jsonl") + " | ", "-"), 2);
  EXPECT_EQ(documents(cat, "--input-format jsonl /dev/stdin"), 2);
  EXPECT_EQ(documents(cat, "--input-format text /dev/stdin"), 1);
}

TEST_F(ProgramTest, AnInterruptionEndsItWithoutResultsThatWereNotMade) {
  const auto interrupt = [&](const std::string& flags) {
    return Run("generate --model " + Path("block") +
                   " --prompt x --ignore-eos --max-tokens 900000" + " --max-length 1000000 " +
                   flags,
               false, "timeout --preserve-status --signal INT 1 ");
  };
  const Outcome streamed = interrupt("--temperature 1");
  EXPECT_EQ(streamed.exit_code, 130);
  EXPECT_THAT(streamed.output, testing::StartsWith("x"));
  const Outcome samples = interrupt("--n 2 --json");
  EXPECT_EQ(samples.exit_code, 130);
  EXPECT_EQ(samples.output, "");
}

TEST_F(ProgramTest, NamesTheLineOfABadPrompt) {
  WriteFileAtomically(Path("in.jsonl"), "{\"prompt\":\"a\"}\n\n{\"text\":\"b\"}\n");
  const Outcome outcome = Run("generate --model " + Path("block") + " --input " + Path("in.jsonl") +
                              " --max-tokens 8 --output " + Path("out.jsonl"));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.output, HasSubstr("in.jsonl:3: prompt: is missing"));
  EXPECT_FALSE(FileExists(Path("out.jsonl")));
}

TEST_F(ProgramTest, ClearErrorsForWhatCannotBe) {
  const auto expect = [](const std::string& arguments, int code, const std::string& part) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.exit_code, code) << arguments;
    EXPECT_THAT(outcome.output, HasSubstr(part)) << arguments;
    EXPECT_THAT(outcome.output, testing::Not(HasSubstr("internal error"))) << arguments;
  };
  const std::string block = "generate --prompt x --model " + Path("block");
  expect("generate --prompt x --model " + Path("none"), 1, "none");
  expect(block + " --temperature -1", 2, "--temperature: -1");
  expect(block + " --top-p 0", 2, "--top-p: 0");
  expect(block + " --max-tokens 0", 2, "--max-tokens: 0");
  expect(block + " --max-tokens 1000", 1, "maximal length 64");
  expect(block + " --stop \"$(printf '\\377')\"", 2, "stop: a text is not valid UTF-8");
  expect(block + " --memory 1K --max-length 64", 1, "--memory: 1024 bytes hold no page of the KV");
  expect(block + " --stop ''", 2, "--stop: a text is empty");
  expect(block + " --memory 900T", 2, "--memory: 9");
  expect(block + " --batch 0", 2, "--batch: 0 is out of range");
  expect(block + " --seed -1", 2, "--seed: \"-1\" is not possible");
  expect(block + " --seed 18446744073709551616", 2, "--seed: \"18446744073709551616\"");
  expect(block + " --memory 4X", 2, "--memory: \"4X\" is not a size");
  expect(block + " --memory 0", 2, "--memory: \"0\"");
  expect(block + " --memory 64K --max-tokens 8", 0, "x");
  expect(block + " --dtype f16", 2, "dtype: \"f16\" is not known; one of auto, f32, bf16, int8");
  expect(block + " --kv-dtype bf16", 2, "--kv-dtype: \"bf16\" is not known; one of auto, f32, f16");
  expect(block + " --dtype f32 --kv-dtype f32 --max-tokens 8", 0, "x");
  expect(block + " --n 3 --batch 65536 --max-length 4194304", 0, "x");  // as many as memory holds
  expect(block + " --max-length 100 --max-tokens 64", 0, "exceeds the context of 64");
  expect(block + " --threads -3", 2, "threads");
  expect(block + " --n 0", 2, "--n");
  expect(block + " --compat huggingface", 2, "--compat");
  expect("inspect " + Path("none"), 1, "none");
  EXPECT_EQ(Run("inspect " + Path("block") + " > /dev/full").exit_code, 1);
  expect("inspect " + Path("block") + "/config.json", 2, "neither a model directory nor a recipe");
  WriteFileAtomically(Path("block") + "/model.safetensors", "rubbish, and too long for a length");
  expect(block, 1, "model.safetensors");
}

TEST_F(ProgramTest, GeneratesAsThePublishedImplementation) {
  const std::string generate =
      "generate --compat published --ignore-eos --threads 1 --model " + Path("block");
  const Outcome outcome = Run(generate + " --prompt abcde --max-tokens 11 --json", false);
  ASSERT_EQ(outcome.exit_code, 0);
  const Json json = ParseJson(outcome.output, "output");
  EXPECT_EQ(json["prompt"], "abcde");
  // 5 tokens are padded to 8 and two blocks of 4 reach the length of 16: of the 11 tokens, 8 come.
  ASSERT_EQ(json["ids"].size(), 8U);
  for (const Json& id : json["ids"]) EXPECT_LT(id, kByteTokenizerVocabSize);
  const Outcome text = Run(generate + " --prompt abcde --max-tokens 11", false);
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_EQ(text.output, "abcde" + json["text"].get<std::string>() + "\n");

  const auto refuses = [&](const std::string& flags, const std::string& part) {
    const Outcome refused = Run(generate + flags);
    EXPECT_EQ(refused.exit_code, 2) << flags;
    EXPECT_THAT(refused.output, HasSubstr(part)) << flags;
  };
  for (const char* max_tokens : {"0", "-1", "16777217", "9223372036854775807"}) {
    refuses(std::string(" --prompt a --max-tokens ") + max_tokens,
            std::string("--max-tokens: ") + max_tokens);
  }
  refuses(" --prompt ''", "needs at least one token");
  refuses(" --prompt a --threads -3", "threads");
  refuses(" --input a --output b", "--input: --compat published");
  for (const char* flag :
       {"--n 2", "--stop x", "--temperature 1", "--top-k 3", "--top-p 0.5", "--min-p 0.1",
        "--repetition-penalty 2", "--frequency-penalty 1", "--presence-penalty 1",
        "--max-length 32", "--dtype f32", "--kv-dtype f16", "--memory 1G"}) {
    const std::string name = std::string(flag).substr(0, std::string(flag).find(' '));
    refuses(std::string(" --prompt a ") + flag, name + ": --compat published");
  }
}

TEST_F(ProgramTest, ConvertsToEveryFormatAndChecksWhatItRuns) {
  for (const auto& [format, check] :
       {std::pair("blockformer", "check         loss"),
        {"hf", "check         loss"},
        {"published-block", "published-block is not run as it lies"}}) {
    const Outcome outcome = Run(std::string("convert --check always --to ") + format + " " +
                                Path("block") + " " + Path(format));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(check));
  }
}

TEST_F(ProgramTest, InspectShowsTheTypesOfWeights) {
  const auto stored_bytes = [&](const std::string& name) {
    return ParseJson(Run("inspect --json " + Path(name), false).output, "output")["stored_bytes"];
  };
  const ParameterCounts counts = CountParameters(TinyTextConfig());
  EXPECT_EQ(stored_bytes("block"), Json({{"F32", 4 * counts.used}}));
  ASSERT_EQ(Run("convert --dtype int8 " + Path("block") + " " + Path("int8")).exit_code, 0);
  int64_t int8_bytes = 0;
  for (const ParameterSpec& spec : ListParameters(TinyTextConfig())) {
    if (spec.may_be_int8) int8_bytes += spec.NumElements();
  }
  EXPECT_EQ(stored_bytes("int8")["I8"], int8_bytes);
  EXPECT_THAT(Run("inspect " + Path("int8")).output, HasSubstr("I8 "));
  std::filesystem::remove(Path("int8/model.safetensors"));  // config.json alone will do
  EXPECT_EQ(stored_bytes("int8"), Json::object());
}

TEST_F(ProgramTest, InspectCountsParameters) {
  const Outcome outcome = Run("inspect --json " + Path("block"), false);
  ASSERT_EQ(outcome.exit_code, 0);
  const Json json = ParseJson(outcome.output, "output");
  const ParameterCounts counts = CountParameters(TinyTextConfig());
  EXPECT_EQ(json["kind"], "block");
  EXPECT_EQ(json["parameters"]["total"], counts.total);
  EXPECT_EQ(json["parameters"]["non_embedding"], counts.non_embedding);
  EXPECT_THAT(Run("inspect " + Path("block")).output, HasSubstr("Block Transformer"));
}

TEST_F(ProgramTest, ATextThatFailsIsALineWithAnErrorBesideTheOthers) {
  WriteTinyModel(Path("bad"), TinyTextConfig(), 3, /*overflowing_id=*/'Z' + 1);
  const std::string flags = "generate --threads 1 --model " + Path("bad") + " --max-tokens 8 ";
  const Outcome alone = Run(flags + "--prompt aZ");
  EXPECT_NE(alone.exit_code, 0);
  EXPECT_THAT(alone.output, HasSubstr("numbers that are not finite"));
  WriteFileAtomically(Path("in.jsonl"),
                      "{\"prompt\":\"a\"}\n{\"prompt\":\"aZ\"}\n{\"prompt\":\"b\"}\n");
  const Outcome batch =
      Run(flags + "--input " + Path("in.jsonl") + " --output " + Path("out.jsonl"));
  EXPECT_NE(batch.exit_code, 0);
  EXPECT_THAT(batch.output, HasSubstr("out.jsonl: 1 of 3 texts failed; the first, line 2: "));
  const std::vector<Json> lines = ReadLines(Path("out.jsonl"));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1]["finish_reason"], "error");
  EXPECT_THAT(lines[1]["error"].get<std::string>(), HasSubstr("not finite"));
  for (const size_t good : {0, 2}) {
    EXPECT_EQ(lines[good]["finish_reason"], "length");
    EXPECT_FALSE(lines[good].contains("error"));
    EXPECT_EQ(lines[good]["tokens"], 8);
  }
}

}  // namespace
}  // namespace blockformer
