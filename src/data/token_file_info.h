#ifndef BLOCKFORMER_DATA_TOKEN_FILE_INFO_H_
#define BLOCKFORMER_DATA_TOKEN_FILE_INFO_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/token_file.h"
#include "text/tokenizer.h"

namespace blockformer {

// What PREFIX.json says of the pair PREFIX.bin, PREFIX.idx beside it. Published pairs have no such
// file, and nothing needs it: it lets a trainer refuse a model that does not fit the tokens, and
// turn losses a token into bits a byte.
struct TokenFileInfo {
  int64_t documents = 0;
  int64_t tokens = 0;      // end-of-text not counted
  int64_t text_bytes = 0;  // UTF-8 bytes of the text that the tokens stand for
  int32_t vocab_size = 0;  // of the tokenizer: the largest id plus one
  std::string tokenizer;   // where the tokenizer was loaded from
  std::string tokenizer_fingerprint;
};

// A number, in hexadecimal, that differs between tokenizers with different vocabularies.
std::string TokenizerFingerprint(const Tokenizer& tokenizer);

// The path of PREFIX.json.
std::string TokenFileInfoPath(const std::string& prefix);

// What stands in PREFIX.json.
std::string TokenFileInfoText(const TokenFileInfo& info);

// The three files of a prefix: .bin, .idx and .json.
std::vector<std::string> TokenFilePaths(const std::string& prefix);

// Nothing if there is no PREFIX.json. Throws Error: kInvalidArgument for a wrong field, kCorrupt if
// the counts are not those of the token file.
std::optional<TokenFileInfo> ReadTokenFileInfo(const TokenFile& tokens);

// A model's vocabulary, and what messages call its parts.
struct ModelVocabulary {
  int64_t size = 0;
  std::string size_name;                 // such as "model.vocab_size"
  const Tokenizer* tokenizer = nullptr;  // null if none is known
  std::string tokenizer_name;            // such as "data.tokenizer: FILE"
};

// Throws Error(kInvalidArgument) if PREFIX.json says that the tokens were made for another
// vocabulary. Without that file nothing is known, and nothing refused.
void CheckVocabulary(const TokenFile& tokens, const ModelVocabulary& model);

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_TOKEN_FILE_INFO_H_
