#include "server/served_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "server/api_error.h"
#include "text/utf8.h"

namespace blockformer {

ServedModel::ServedModel(std::string model_name, Tokenizer model_tokenizer,
                         ModelConfig model_config, int64_t length)
    : name(std::move(model_name)),
      tokenizer(std::move(model_tokenizer)),
      config(std::move(model_config)),
      max_length(length),
      created(static_cast<int64_t>(std::time(nullptr))),
      longest_token(1) {
  for (int32_t id = 0; id < tokenizer.VocabSize(); ++id) {
    longest_token = std::max(longest_token, tokenizer.TokenBytes(id).size());
  }
}

std::vector<int32_t> ServedModel::Encode(std::string_view text, const std::string& field) const {
  RequireMayFit(text, field);
  return Tokenize(text, field, /*add_special=*/true);
}

std::vector<int32_t> ServedModel::Tokenize(std::string_view text, const std::string& field,
                                           bool add_special) const {
  try {
    return add_special ? tokenizer.EncodeWithPrefix(text) : tokenizer.Encode(text);
  } catch (const Error& error) {
    FailField(field, error);
  }
}

std::vector<int32_t> ServedModel::EncodeChat(std::string_view text) const {
  RequireMayFit(text, "messages");
  try {
    return chat.Encode(text, tokenizer);
  } catch (const Error& error) {
    FailField("messages", error);
  }
}

void ServedModel::RequireMayFit(std::string_view text, const std::string& field) const {
  // Normalisation may make a text shorter, at most by this factor.
  constexpr size_t kMostShortened = 3;
  if (text.size() / longest_token / kMostShortened > static_cast<size_t>(max_length)) {
    throw ApiError(400,
                   fmt::format("{}: {} bytes of text are more than the model's context of {} "
                               "tokens can hold",
                               field, text.size(), max_length),
                   field, "context_length_exceeded");
  }
}

std::string ServedModel::TokenText(int32_t id) const {
  if (tokenizer.TokenBytes(id).empty()) return fmt::format("token_id:{}", id);
  std::string bytes = tokenizer.DecodeContinuation(std::span(&id, 1));
  if (FindInvalidUtf8(bytes) == bytes.size()) return bytes;
  std::string text = "bytes:";
  for (const char byte : bytes) {
    text += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(byte)));
  }
  return text;
}

int64_t ServedModel::CountCharacters(int32_t id, bool skip_special) const {
  const std::string bytes = tokenizer.DecodeContinuation(std::span(&id, 1), skip_special);
  return std::ranges::count_if(
      bytes, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; });
}

void RequireFits(const ServedModel& model, int64_t prompt_tokens, int64_t max_tokens,
                 const std::string& field) {
  const int64_t taken = std::max<int64_t>(1, prompt_tokens);  // an empty one is one token
  if (taken + max_tokens <= model.max_length) return;
  throw ApiError(400,
                 fmt::format("{}: {} tokens of prompt and {} to generate exceed the model's "
                             "context of {}",
                             field, prompt_tokens, max_tokens, model.max_length),
                 field, "context_length_exceeded");
}

}  // namespace blockformer
