#include "cli/generate_published.h"

#include <fmt/format.h>

#include "base/error.h"
#include "checkpoint/model_path.h"
#include "config/json.h"
#include "devices/devices.h"
#include "engine/published.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 24;

}  // namespace

void GeneratePublishedText(const std::string& model_directory, const std::string& prompt,
                           int64_t max_tokens, bool ignore_eos, bool json) {
  Require(max_tokens >= 1 && max_tokens <= kMaxTokens, ErrorCode::kInvalidArgument,
          "--max-tokens: {} is out of range; 1 to {} is wanted", max_tokens, kMaxTokens);
  RequireModelDirectory(model_directory);  // a tokenizer may be a file
  const Tokenizer tokenizer = Tokenizer::Load(model_directory);
  const auto model = LoadModel(model_directory);
  RequireVocabularyFits(tokenizer, model->config().vocab_size, model_directory);
  PublishedBatch batch;
  batch.num_sampled_ids = tokenizer.VocabSize();
  batch.excluded_ids = tokenizer.MissingIds();
  batch.prompts = {tokenizer.Encode(prompt)};
  const size_t prompt_length = batch.prompts[0].size();
  batch.max_length = static_cast<int64_t>(prompt_length) + max_tokens;
  if (!ignore_eos) batch.eos_id = static_cast<int32_t>(model->config().eos_token_id);
  const std::vector<int32_t> ids = GeneratePublished(model, batch)[0];
  const auto generated = std::span(ids).subspan(prompt_length);
  const std::string text =
      ReplaceInvalidUtf8(tokenizer.DecodeContinuation(generated, /*skip_special=*/true));
  if (!json) return fmt::print("{}{}\n", prompt, text);
  const OrderedJson line = {{"prompt", prompt},
                            {"text", text},
                            {"ids", std::vector<int32_t>(generated.begin(), generated.end())}};
  fmt::print("{}\n", ToText(line));
}

}  // namespace blockformer
