// `blockformer generate`: continues one prompt, or a file of them.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/program.h"
#include "base/stopwatch.h"
#include "blockformer/text_generator.h"
#include "cli/chat.h"
#include "cli/commands.h"
#include "cli/corpus_flags.h"
#include "cli/flags.h"
#include "cli/generate_batch.h"
#include "cli/generate_published.h"
#include "cli/standard_input.h"
#include "cli/thread_flag.h"
#include "config/json.h"
#include "engine/json_formats.h"

namespace blockformer {
namespace {

struct GenerateFlags {
  std::string model;
  std::string prompt;
  std::string compat;
  std::string memory;
  std::string too_long = "error";
  std::string system;
  std::string json_schema;
  int64_t samples = 1;
  bool chat = false;
  bool json = false;
  BatchFiles files;
  GeneratorOptions generator;
  TextOptions text;
};

// What of a command line is not in the flags.
struct Given {
  bool prompt = false;
  bool max_tokens = false;
  bool json_schema = false;
};

void PrintJson(const std::string& prompt, int64_t sample, const GeneratedText& result,
               double seconds) {
  const OrderedJson line = {{"prompt", prompt},
                            {"sample", sample},
                            {"text", result.text},
                            {"ids", result.tokens},
                            {"prompt_tokens", result.prompt_tokens},
                            {"tokens", result.tokens.size()},
                            {"finish_reason", FinishReasonName(result.reason)},
                            {"seconds", seconds},
                            {"tokens_per_s", static_cast<double>(result.tokens.size()) / seconds}};
  fmt::print("{}\n", ToText(line));
}

void PrintPiece(std::string_view piece) {
  std::fwrite(piece.data(), 1, piece.size(), stdout);
  std::fflush(stdout);
}

// One sample on a terminal: the text appears as it is made, of a chat the answer alone.
void StreamOne(TextGenerator* generator, const ShownPrompt& prompt, const GenerateFlags& flags) {
  bool began = flags.chat;
  // Behind the prompt, which is not shown before it is known to be possible.
  const auto print = [&](std::string_view piece) {
    if (!std::exchange(began, true)) PrintPiece(prompt.text);
    PrintPiece(piece);
    return true;
  };
  const Stopwatch watch;
  const GeneratedText result = Continue(generator, prompt.prompt, flags.text, print);
  const double seconds = watch.Seconds();
  print("\n");
  PrintMessage("{} prompt tokens, {} generated, {:.1f} tokens/s\n", result.prompt_tokens,
               result.tokens.size(), static_cast<double>(result.tokens.size()) / seconds);
  Require(!StopRequested(), ErrorCode::kInterrupted, "generate: interrupted");
}

// Several samples of one prompt, together.
void PrintSamples(TextGenerator* generator, const ShownPrompt& prompt, const GenerateFlags& flags) {
  int64_t asked = 0;
  const Stopwatch watch;
  std::vector<std::optional<GeneratedText>> results(flags.samples);
  generator->GenerateBatch(
      [&]() -> std::optional<TextGenerator::Prompt> {
        if (asked++ < flags.samples) return prompt.prompt;
        return std::nullopt;
      },
      flags.text,
      [&](int64_t index, const GeneratedText& result) {
        results[index] = result;
        return true;
      });
  const double seconds = watch.Seconds();
  for (int64_t i = 0; i < flags.samples; ++i) {
    const std::optional<GeneratedText>& result = results[i];
    if (!result) continue;  // an interruption came first
    if (flags.json) {
      PrintJson(prompt.text, i, *result, seconds);
    } else {
      fmt::print("--- sample {}\n{}{}\n", i + 1, flags.chat ? "" : prompt.text, result->text);
    }
  }
  Require(!StopRequested(), ErrorCode::kInterrupted, "generate: interrupted");
}

std::string ReadPrompt(const GenerateFlags& flags, bool prompt_given) {
  if (prompt_given && flags.prompt != "-") return flags.prompt;
  Require(prompt_given || isatty(STDIN_FILENO) == 0, ErrorCode::kInvalidArgument,
          "generate: there is no prompt; give --prompt TEXT or --input FILE, or pipe one in");
  std::string text = StandardInput().Rest();
  if (text.ends_with('\n')) text.pop_back();  // as programs and terminals end it
  return text;
}

// A signal that is caught does not end the wait for standard input, so that this comes behind it.
TextGenerator LoadGenerator(const GenerateFlags& flags) {
  CatchStopSignals();
  GeneratorOptions options = flags.generator;
  options.keep_going = [] { return !StopRequested(); };
  return TextGenerator::Load(flags.model, options);
}

void GenerateFrom(TextGenerator* generator, const ShownPrompt& prompt, const GenerateFlags& flags) {
  if (flags.samples == 1 && !flags.json) return StreamOne(generator, prompt, flags);
  PrintSamples(generator, prompt, flags);
}

// The published generate() continues one prompt, and takes the most likely token.
void RefuseFlagsOfSampling(const GenerateFlags& flags, const Given& given) {
  const TextOptions& text = flags.text;
  const std::pair<const char*, bool> refused[] = {
      {"--chat", flags.chat},
      {"--input", !flags.files.input.empty()},
      {"--n", flags.samples != 1},
      {"--stop", !text.stop.empty()},
      {"--json-object", text.json_object},
      {"--json-schema", given.json_schema},
      {"--temperature", text.temperature != 0},
      {"--top-k", text.top_k != 0},
      {"--top-p", text.top_p != 1},
      {"--min-p", text.min_p != 0},
      {"--repetition-penalty", text.repetition_penalty != 1},
      {"--frequency-penalty", text.frequency_penalty != 0},
      {"--presence-penalty", text.presence_penalty != 0},
      {"--max-length", flags.generator.max_length != 0},
      {"--dtype", flags.generator.dtype != "auto"},
      {"--kv-dtype", flags.generator.kv_dtype != "auto"},
      {"--plain-text", flags.files.plain_text},
      {"--memory", !flags.memory.empty()}};
  for (const auto& [name, is_set] : refused) {
    Require(!is_set, ErrorCode::kInvalidArgument,
            "{}: --compat published does not take it; it continues one prompt with the most "
            "likely tokens",
            name);
  }
}

TooLong ParseTooLong(const std::string& name) {
  for (const TooLong choice : {TooLong::kError, TooLong::kSkip, TooLong::kTruncateLeft}) {
    if (name == TooLongName(choice)) return choice;
  }
  Fail(ErrorCode::kInvalidArgument,
       "--too-long: \"{}\" is not known; one of error, skip, truncate-left is wanted", name);
}

void CheckChatFlags(const GenerateFlags& flags) {
  Require(flags.chat || flags.system.empty(), ErrorCode::kInvalidArgument,
          "--system: has no meaning without --chat");
  Require(!flags.chat || flags.files.input.empty(), ErrorCode::kInvalidArgument,
          "--chat and --input exclude each other");
}

void CheckFlags(const GenerateFlags& flags, const Given& given) {
  Require(flags.samples >= 1 && flags.samples <= 1'000'000, ErrorCode::kInvalidArgument,
          "--n: {} is out of range; 1 to 1000000 is wanted", flags.samples);
  const bool batch = !flags.files.input.empty();
  Require(batch == !flags.files.output.empty(), ErrorCode::kInvalidArgument,
          "--input and --output go together: one line of output for each of input");
  Require(!batch || !given.prompt, ErrorCode::kInvalidArgument,
          "--prompt and --input exclude each other");
  Require(batch || flags.files.result_prefix.empty(), ErrorCode::kInvalidArgument,
          "--result-prefix: goes with --input, whose lines get the results");
  CheckOutputs({{"--output", flags.files.output}}, {flags.files.input, flags.model},
               flags.files.force);
  Require(batch || flags.text.too_long == TooLong::kError, ErrorCode::kInvalidArgument,
          "--too-long: {} has no meaning without --input", flags.too_long);
  Require(batch || flags.files.invalid_utf8 == InvalidUtf8::kError, ErrorCode::kInvalidArgument,
          "--replace-invalid: has no meaning without --input");
  CheckChatFlags(flags);
}

// A schema itself, which begins with a brace, or the name of a file with one.
std::string ReadSchema(const std::string& given) {
  const size_t begin = given.find_first_not_of(" \t\r\n");
  const bool is_schema = begin != std::string::npos && given[begin] == '{';
  return is_schema ? given : ReadFile(given, kMaxSchemaTextBytes);
}

// Before a file of results is begun.
void ReadFormatFlags(const Given& given, GenerateFlags* flags) {
  if (!given.json_schema) return;
  flags->text.json_schema = ReadSchema(flags->json_schema);
  try {
    CheckJsonSchema(flags->text.json_schema);
  } catch (const Error& error) {
    Fail(error.code(), "--json-schema: {}", error.what());
  }
}

void GenerateAsPublished(const GenerateFlags& flags, const Given& given) {
  Require(flags.compat == "published", ErrorCode::kInvalidArgument,
          "--compat: \"{}\" is not known; published is", flags.compat);
  RefuseFlagsOfSampling(flags, given);
  UseThreads(flags.generator.threads);
  GeneratePublishedText(flags.model, ReadPrompt(flags, given.prompt), flags.text.max_tokens,
                        flags.text.ignore_end_of_text, flags.json);
}

// On the terminal where there is no prompt.
void GenerateChat(GenerateFlags flags, const Given& given) {
  Conversation conversation(flags.model, flags.system, flags.files.plain_text);
  const bool talks = !given.prompt && isatty(STDIN_FILENO) != 0;
  Require(!talks || (flags.samples == 1 && !flags.json), ErrorCode::kInvalidArgument,
          "--n and --json: have no meaning where you talk with the model; give --prompt TEXT");
  const std::string question = talks ? "" : ReadPrompt(flags, given.prompt);
  TextGenerator generator = LoadGenerator(flags);
  flags.text.raw_prompt = true;
  if (talks) {
    const int64_t max_tokens = given.max_tokens ? flags.text.max_tokens : 0;
    return ChatOnTerminal(&generator, &conversation, flags.text, max_tokens);
  }
  const ShownPrompt prompt = conversation.Ask(question);
  if (!given.max_tokens) flags.text.max_tokens = RoomForAnswer(generator, prompt);
  GenerateFrom(&generator, prompt, flags);
}

void Generate(GenerateFlags flags, const Given& given) {
  flags.text.too_long = ParseTooLong(flags.too_long);
  CheckFlags(flags, given);
  flags.generator.plain_text = flags.files.plain_text;
  if (!flags.compat.empty()) return GenerateAsPublished(flags, given);
  ReadFormatFlags(given, &flags);
  ValidateTextOptions(flags.text);
  if (!flags.memory.empty()) flags.generator.memory_bytes = ParseSize("--memory", flags.memory);
  if (!flags.files.input.empty()) {
    TextGenerator generator = LoadGenerator(flags);
    return GenerateFile(&generator, flags.files, flags.text, flags.samples, flags.model);
  }
  flags.generator.max_sequences = std::min(flags.generator.max_sequences, flags.samples);
  if (flags.chat) return GenerateChat(std::move(flags), given);
  const std::string prompt = ReadPrompt(flags, given.prompt);
  TextGenerator generator = LoadGenerator(flags);
  GenerateFrom(&generator, {prompt, prompt}, flags);
}

}  // namespace

void AddGenerateCommand(CLI::App& app) {
  const auto flags = std::make_shared<GenerateFlags>();
  CLI::App* command = app.add_subcommand("generate", "Generates text from a model directory.");
  command->add_option(kModelArgument, flags->model, "Model directory")
      ->required()
      ->type_name("DIR");
  CLI::Option* prompt = command->add_option(
      "--prompt", flags->prompt,
      "Text to continue; -, or none where standard input is no terminal, reads it from there");
  command->add_flag("--chat", flags->chat,
                    "Answer the prompt as the model's chat template has it; without a prompt, on a "
                    "terminal, talk, a line each");
  command->add_option("--system", flags->system,
                      "What the model is told to be in a chat; by default what its template says");
  command
      ->add_option(
          "--input", flags->files.input,
          "JSON lines, also .zst or .gz, with a field \"prompt\"; what a line holds is kept "
          "as it is")
      ->type_name("FILE");
  command
      ->add_option("--output", flags->files.output,
                   "The same lines with \"text\", \"tokens\" and \"finish_reason\", with --n also "
                   "\"sample\"; an interrupted run continues where it was; - is standard output")
      ->type_name("FILE");
  command
      ->add_option("--result-prefix", flags->files.result_prefix,
                   "Before the names of these fields, for lines that have fields of the same names")
      ->type_name("P");
  command->add_flag("--force", flags->files.force, "Replace an output file that is there");
  AddReplaceInvalidFlag(command, &flags->files.invalid_utf8);
  command
      ->add_option("--too-long", flags->too_long,
                   "Prompts of --input that leave no room for --max-tokens: error, skip, or "
                   "truncate-left, which continues their last tokens")
      ->capture_default_str();
  command->add_flag("--plain-text", flags->files.plain_text,
                    "The text of a special token in a prompt is text; otherwise it is the token");
  TextOptions& text = flags->text;
  CLI::Option* max_tokens =
      command
          ->add_option("--max-tokens", text.max_tokens,
                       "Tokens to generate; in a chat, without it, as many as the context has left")
          ->capture_default_str();
  command->add_option("--temperature", text.temperature, "0 takes the most likely token")
      ->capture_default_str();
  command->add_option("--top-k", text.top_k, "Keep the k most likely tokens; 0 keeps all")
      ->capture_default_str();
  command->add_option("--top-p", text.top_p, "Keep the fewest tokens of this much probability")
      ->capture_default_str();
  command->add_option("--min-p", text.min_p, "Keep tokens this likely beside the likeliest")
      ->capture_default_str();
  command
      ->add_option("--repetition-penalty", text.repetition_penalty,
                   "Above 1, tokens that have occurred become less likely")
      ->capture_default_str();
  command
      ->add_option("--frequency-penalty", text.frequency_penalty,
                   "Taken off a token's logit for each time it was generated, -2 to 2")
      ->capture_default_str();
  command
      ->add_option("--presence-penalty", text.presence_penalty,
                   "Taken off a token's logit once it was generated, -2 to 2")
      ->capture_default_str();
  AddSeedFlag(command, "The same seed gives the same text", &text.seed);
  command->add_option("--stop", text.stop, "Text that ends generation (may be repeated)")
      ->allow_extra_args(false);
  command->add_flag("--json-object", text.json_object,
                    "Texts that are a JSON object and nothing else");
  CLI::Option* json_schema =
      command
          ->add_option("--json-schema", flags->json_schema,
                       "Texts that are JSON of this JSON schema and nothing else: a file, or the "
                       "schema itself")
          ->type_name("FILE|TEXT");
  command->add_flag("--ignore-eos", text.ignore_end_of_text, "Go on after the end of a text");
  command->add_option("--n", flags->samples, "Samples of each prompt")->capture_default_str();
  GeneratorOptions& generator = flags->generator;
  AddEngineFlags(
      command, {&generator.device, &generator.max_sequences, &generator.max_length, &flags->memory,
                &generator.dtype, &generator.kv_dtype, &generator.threads});
  command->add_option("--compat", flags->compat,
                      "published: exactly as the published implementation, quirks included");
  command->add_flag("--json", flags->json, "Write a JSON line a sample");
  command->callback([flags, prompt, max_tokens, json_schema] {
    Generate(*flags, {prompt->count() > 0, max_tokens->count() > 0, json_schema->count() > 0});
  });
}

}  // namespace blockformer
