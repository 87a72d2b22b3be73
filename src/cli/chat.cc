#include "cli/chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "base/error.h"
#include "base/log.h"
#include "base/program.h"
#include "checkpoint/model_path.h"
#include "cli/standard_input.h"

namespace blockformer {
namespace {

constexpr size_t kMaxLineBytes = size_t{1} << 20;

ChatFormat LoadFormat(const std::string& directory, bool plain_text) {
  RequireModelDirectory(directory);
  ChatFormat format = ChatFormat::Load(directory, plain_text);
  Require(format.problem.empty(), ErrorCode::kUnsupported, "{}", format.problem);
  Require(format.chat_template.has_value(), ErrorCode::kUnsupported,
          "{}: --chat: the model has no chat template, in tokenizer_config.json or "
          "chat_template.jinja; without --chat it continues texts",
          directory);
  return format;
}

int64_t CountTokens(const TextGenerator& generator, const ShownPrompt& prompt) {
  const auto* ids = std::get_if<std::vector<int32_t>>(&prompt.prompt);
  return ids != nullptr ? std::ssize(*ids) : generator.CountTokens(prompt.text);
}

void ShowMarker() { PrintMessage("> "); }

// What to continue for a line, of as many of the last turns as leave room for an answer of
// `max_tokens`, at least 1.
ShownPrompt AskWithin(const TextGenerator& generator, Conversation* conversation,
                      const std::string& line, int64_t max_tokens) {
  ShownPrompt prompt = conversation->Ask(line);
  int64_t forgotten = 0;
  while (CountTokens(generator, prompt) + max_tokens > generator.max_length()) {
    std::optional<ShownPrompt> shorter = conversation->ForgetOldest();
    if (!shorter) break;  // the generator says what is wrong
    prompt = std::move(*shorter);
    ++forgotten;
  }
  if (forgotten > 0) {
    PrintMessage("(the context of {} tokens is full; the oldest {} forgotten)\n",
                 generator.max_length(),
                 forgotten == 1 ? "turn is" : fmt::format("{} turns are", forgotten));
  }
  return prompt;
}

void AnswerLine(TextGenerator* generator, Conversation* conversation, const std::string& line,
                TextOptions options, int64_t max_tokens) {
  const ShownPrompt prompt =
      AskWithin(*generator, conversation, line, std::max<int64_t>(max_tokens, 1));
  options.max_tokens = max_tokens > 0 ? max_tokens : RoomForAnswer(*generator, prompt);
  const auto print = [](std::string_view piece) {
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
    return true;
  };
  const GeneratedText answer = Continue(generator, prompt.prompt, options, print);
  fmt::print("\n");
  std::fflush(stdout);
  conversation->AddAnswer(answer.text);
}

}  // namespace

Conversation::Conversation(const std::string& model_directory, const std::string& system,
                           bool plain_text)
    : format_(std::make_shared<const ChatFormat>(LoadFormat(model_directory, plain_text))) {
  if (!system.empty()) messages_.push_back({{"role", "system"}, {"content", system}});
}

ShownPrompt Conversation::Write() const {
  std::string text = format_->chat_template->Render(messages_, /*add_generation_prompt=*/true);
  if (!format_->tokenizer) return {text, text};
  const auto encode = [&](const std::string& part) {
    return format_->Encode(part, *format_->tokenizer);
  };
  ChatPrompt prompt = MakeChatPrompt(*format_, messages_, /*add_generation_prompt=*/true,
                                     /*unit_length=*/1, encode);
  return {std::move(text), std::move(prompt.ids)};
}

ShownPrompt Conversation::Ask(const std::string& text) {
  messages_.push_back({{"role", "user"}, {"content", text}});
  return Write();
}

void Conversation::AddAnswer(const std::string& text) {
  messages_.push_back({{"role", "assistant"}, {"content", text}});
}

std::optional<ShownPrompt> Conversation::ForgetOldest() {
  const size_t first = messages_[0]["role"] == "system" ? 1 : 0;
  if (messages_.size() < first + 3) return std::nullopt;
  messages_.erase(first + 1);
  messages_.erase(first);
  return Write();
}

int64_t RoomForAnswer(const TextGenerator& generator, const ShownPrompt& prompt) {
  return std::max<int64_t>(generator.max_length() - CountTokens(generator, prompt), 1);
}

GeneratedText Continue(TextGenerator* generator, const TextGenerator::Prompt& prompt,
                       const TextOptions& options, const TextGenerator::OnText& on_text) {
  return std::visit([&](const auto& given) { return generator->Generate(given, options, on_text); },
                    prompt);
}

void ChatOnTerminal(TextGenerator* generator, Conversation* conversation,
                    const TextOptions& options, int64_t max_tokens) {
  StandardInput lines;
  ShowMarker();
  while (const std::optional<std::string> line = lines.NextLine(kMaxLineBytes)) {
    Conversation before = *conversation;
    try {
      if (!line->empty()) AnswerLine(generator, conversation, *line, options, max_tokens);
    } catch (const Error& error) {  // of this line: the conversation goes on without it
      if (StopRequested()) throw;
      *conversation = std::move(before);
      PrintMessage("blockformer: {}\n", error.what());
    }
    if (StopRequested()) break;
    ShowMarker();
  }
  PrintMessage("\n");
  Require(!StopRequested(), ErrorCode::kInterrupted, "generate: interrupted");
}

}  // namespace blockformer
