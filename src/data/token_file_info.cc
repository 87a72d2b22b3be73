#include "data/token_file_info.h"

#include <limits>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "config/json.h"

namespace blockformer {

std::string TokenizerFingerprint(const Tokenizer& tokenizer) {
  // FNV-1a of every token's length and bytes.
  Fnv1a hash;
  for (int32_t id = 0; id < tokenizer.VocabSize(); ++id) {
    const std::string_view bytes = tokenizer.TokenBytes(id);
    hash.AddWord(bytes.size());
    hash.Add(bytes);
  }
  return fmt::format("{:016x}", hash.value());
}

std::string TokenFileInfoPath(const std::string& prefix) { return prefix + ".json"; }

std::string TokenFileInfoText(const TokenFileInfo& info) {
  const OrderedJson json = {
      {"documents", info.documents},   {"tokens", info.tokens},
      {"text_bytes", info.text_bytes}, {"vocab_size", info.vocab_size},
      {"tokenizer", info.tokenizer},   {"tokenizer_fingerprint", info.tokenizer_fingerprint}};
  return ToText(json, 2) + "\n";
}

std::vector<std::string> TokenFilePaths(const std::string& prefix) {
  return {prefix + ".bin", prefix + ".idx", TokenFileInfoPath(prefix)};
}

std::optional<TokenFileInfo> ReadTokenFileInfo(const TokenFile& tokens) {
  const std::string path = TokenFileInfoPath(tokens.prefix());
  if (!FileExists(path)) return std::nullopt;
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const Json json = ReadJsonFile(path);
  const ObjectReader reader(json, path);
  TokenFileInfo info;
  info.documents = reader.Int("documents", 0, kMax);
  info.tokens = reader.Int("tokens", 0, kMax);
  info.text_bytes = reader.Int("text_bytes", 0, kMax);
  info.vocab_size =
      static_cast<int32_t>(reader.Int("vocab_size", 1, std::numeric_limits<int32_t>::max()));
  info.tokenizer = reader.String("tokenizer");
  info.tokenizer_fingerprint = reader.String("tokenizer_fingerprint");
  Require(info.documents == tokens.NumDocuments() && info.tokens == tokens.NumTokens(),
          ErrorCode::kCorrupt,
          "{}: tells of {} documents and {} tokens, but {}.idx has {} and {}; run prepare again",
          path, info.documents, info.tokens, tokens.prefix(), tokens.NumDocuments(),
          tokens.NumTokens());
  return info;
}

void CheckVocabulary(const TokenFile& tokens, const ModelVocabulary& model) {
  const std::optional<TokenFileInfo> info = ReadTokenFileInfo(tokens);
  if (!info) return;
  Require(info->vocab_size <= model.size, ErrorCode::kInvalidArgument,
          "{}: {} is less than the {} entries of the tokenizer that made {}", model.size_name,
          model.size, info->vocab_size, tokens.prefix());
  Require(model.tokenizer == nullptr ||
              TokenizerFingerprint(*model.tokenizer) == info->tokenizer_fingerprint,
          ErrorCode::kInvalidArgument, "{} is not the tokenizer that made {}, which was {}",
          model.tokenizer_name, tokens.prefix(), info->tokenizer);
}

}  // namespace blockformer
