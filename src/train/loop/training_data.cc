#include "train/loop/training_data.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "blockformer/version.h"
#include "data/token_file_info.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_paths.h"

namespace blockformer::train {
namespace {

// Enough to tell files apart, and little to read from a large one.
constexpr int64_t kSampledDocuments = 1024;
constexpr int64_t kSampledTokens = 16;

// Where the tokenizer of a recipe that names none lies: with the model that the run begins with,
// or, where a run continues after that is gone, in its own output. Empty if there is none.
std::string InitialTokenizer(const TrainRecipe& recipe) {
  if (recipe.init_from.empty()) return "";
  const bool is_gone = !FileExists(recipe.init_from + "/config.json");
  const std::string& directory = is_gone ? recipe.output : recipe.init_from;
  return IsDirectory(directory) && !TokenizerPaths(directory).empty() ? directory : "";
}

std::string TokenizerPath(const TrainRecipe& recipe) {
  return recipe.data.tokenizer.empty() ? InitialTokenizer(recipe) : recipe.data.tokenizer;
}

void CheckTokenizer(const Tokenizer& tokenizer, const TrainRecipe& recipe) {
  Require(tokenizer.VocabSize() <= recipe.model.vocab_size, ErrorCode::kInvalidArgument,
          "model.vocab_size: {} is less than the {} entries of {}", recipe.model.vocab_size,
          tokenizer.VocabSize(), TokenizerPath(recipe));
  // The end of text of a model that is trained on is what it was trained with.
  if (recipe.data.tokenizer.empty()) return;
  const std::optional<int32_t> end_of_text = EndOfTextToken(recipe.data.tokenizer, tokenizer);
  Require(!end_of_text || *end_of_text == recipe.model.eos_token_id, ErrorCode::kInvalidArgument,
          "model.eos_token_id: {} is wanted, the end-of-text id of {}, not {}",
          end_of_text.value_or(0), recipe.data.tokenizer, recipe.model.eos_token_id);
}

ModelVocabulary VocabularyOf(const TrainRecipe& recipe, const std::optional<Tokenizer>& tokenizer) {
  return {recipe.model.vocab_size, "model.vocab_size", tokenizer ? &*tokenizer : nullptr,
          recipe.data.tokenizer.empty()
              ? fmt::format("init_from: the tokenizer in {} (data.tokenizer names another)",
                            TokenizerPath(recipe))
              : fmt::format("data.tokenizer: {}", recipe.data.tokenizer)};
}

std::optional<Tokenizer> LoadTokenizer(const TrainRecipe& recipe) {
  const std::string path = TokenizerPath(recipe);
  if (path.empty()) return std::nullopt;
  std::optional<Tokenizer> tokenizer = Tokenizer::Load(path);
  CheckTokenizer(*tokenizer, recipe);
  return tokenizer;
}

DataFingerprint FingerprintOf(const TokenFile& tokens) {
  const int64_t documents = tokens.NumDocuments();
  const int64_t count = std::min(documents, kSampledDocuments);
  Fnv1a hash;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t document = i * documents / count;
    const int64_t length = tokens.DocumentLength(document);
    std::vector<int32_t> sample(std::min(length, kSampledTokens));
    tokens.ReadTokens(document, 0, sample);
    hash.Add(fmt::format("{}:{},", length, fmt::join(sample, " ")));
  }
  return {documents, tokens.NumTokens(), fmt::format("{:016x}", hash.value())};
}

// End-of-text marks count as tokens: without them the bytes could not be told apart into documents.
std::optional<double> TokensPerByte(const TokenFile& tokens) {
  const std::optional<TokenFileInfo> info = ReadTokenFileInfo(tokens);
  if (!info || info->text_bytes <= 0) return std::nullopt;
  return static_cast<double>(info->tokens + info->documents) /
         static_cast<double>(info->text_bytes);
}

}  // namespace

TrainingData::TrainingData(const TrainRecipe& recipe)
    : train(recipe.data.train, recipe.model, recipe.data.published_packing),
      fingerprint(FingerprintOf(train.tokens())),
      tokenizer(LoadTokenizer(recipe)),
      tokenizer_files(ReadTokenizerFiles(TokenizerPath(recipe))) {
  CheckVocabulary(train.tokens(), VocabularyOf(recipe, tokenizer));
  if (tokenizer) prompt = tokenizer->EncodeWithPrefix(recipe.validation.prompt);
  if (recipe.data.validation.empty()) return;
  validation.emplace(recipe.data.validation, recipe.model, recipe.data.published_packing);
  CheckVocabulary(validation->tokens(), VocabularyOf(recipe, tokenizer));
  validation_set = {FingerprintOf(validation->tokens()), recipe.validation.samples};
  validation_tokens_per_byte = TokensPerByte(validation->tokens());
}

Json TrainingData::Describe(const TrainRecipe& recipe) const {
  Json description = recipe.document;
  for (const char* key : {"output", "init_from"}) description.erase(key);
  for (const char* key : {"threads", "device"}) description["training"].erase(key);
  description["data"]["train"] = ToJson(fingerprint);
  if (validation_set) description["data"]["validation"] = ToJson(validation_set->data);
  if (tokenizer) description["data"]["tokenizer"] = TokenizerFingerprint(*tokenizer);
  description["version"] = kVersion;
  return description;
}

}  // namespace blockformer::train
