// Any body of a request to the server: what is no request is an ApiError.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "server/api_error.h"
#include "server/chat_request.h"
#include "server/completion_request.h"
#include "tests/data/byte_tokenizer.h"

namespace {

using blockformer::Json;
using blockformer::ServedModel;

ServedModel MakeModel() {
  const std::string path = std::filesystem::temp_directory_path() /
                           ("server-request-fuzz-" + std::to_string(getpid()) + ".json");
  blockformer::WriteByteTokenizer(path);
  blockformer::Tokenizer tokenizer = blockformer::Tokenizer::Load(path);
  std::filesystem::remove(path);
  blockformer::ModelConfig config;
  config.vocab_size = blockformer::kByteTokenizerVocabSize;
  config.block_length = 4;
  ServedModel model("m", std::move(tokenizer), config, /*length=*/256);
  model.chat.chat_template.emplace(
      "{% for m in messages %}<{{ m.role }}>{{ m.content|trim }}{% endfor %}", "template",
      Json::object());
  return model;
}

template <typename Parse>
void Try(Parse parse, const std::string& body, const ServedModel& model) {
  try {
    parse(body, model);
  } catch (const blockformer::ApiError& error) {
    blockformer::ToText(error.ToJson());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ServedModel model = MakeModel();
  const std::string text(reinterpret_cast<const char*>(data), size);
  Try(blockformer::ParseCompletionRequest, text, model);
  Try(blockformer::ParseChatRequest, text, model);
  return 0;
}
