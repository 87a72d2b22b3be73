#ifndef BLOCKFORMER_TEXT_TOKENIZER_CONFIG_H_
#define BLOCKFORMER_TEXT_TOKENIZER_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>

#include "config/json.h"
#include "text/tokenizer.h"
#include "text/tokenizer_files.h"

namespace blockformer {

// The contents of a directory's tokenizer_config.json, {} if it has none. Throws Error that names
// the file if they are no JSON object.
Json ReadTokenizerConfig(const std::string& directory);

// The text of the special token that such contents call `name`, such as "bos_token".
std::optional<std::string> NamedToken(const Json& config, const char* name);

// The token that ends texts: "eos_token" of the tokenizer_config.json in or beside `path`, from
// which `tokenizer` was loaded, or else "<|endoftext|>"; nothing if the tokenizer has neither.
std::optional<int32_t> EndOfTextToken(const std::string& path, const Tokenizer& tokenizer);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TOKENIZER_CONFIG_H_
