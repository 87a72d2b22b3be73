#ifndef BLOCKFORMER_ENGINE_JSON_FORMATS_H_
#define BLOCKFORMER_ENGINE_JSON_FORMATS_H_

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "blockformer/text_generator.h"
#include "config/json.h"
#include "config/model_config.h"
#include "runner/token_constraint.h"
#include "text/json_token_masks.h"
#include "text/tokenizer.h"

namespace blockformer {

// The largest schema as a text, white space included; see also kMaxSchemaBytes.
inline constexpr size_t kMaxSchemaTextBytes = size_t{1} << 20;

// Throws JsonSchemaError for what is no object or has more than kMaxSchemaValues values. Others may
// become OrderedJson, whose objects take quadratic time.
void RequireSmallSchema(const Json& schema);

// Throws JsonSchemaError for a schema, given as a text, that is not taken.
void CheckJsonSchema(std::string_view schema);

// The masks of the JSON formats that were asked for last, since most requests ask for the same
// ones: a few of them, in about 64 MiB of memory. Thread-safe. Calls of one object are about one
// model.
class JsonFormats {
 public:
  // Of texts that obey a JSON schema, which is given as a text; of any JSON object if that is
  // empty. Throws JsonSchemaError, and Error(kUnsupported) for a model that cannot end such texts.
  std::shared_ptr<JsonTokenMasks> Masks(std::string_view schema, const Tokenizer& tokenizer,
                                        const ModelConfig& config);

  // What `options`, which are valid, want; empty where they take any text. Throws as Masks() does,
  // but a JsonSchemaError becomes Error(kInvalidArgument) that begins with "json_schema" and names
  // the part.
  TokenConstraintFactory Constraint(const TextOptions& options, const Tokenizer& tokenizer,
                                    const ModelConfig& config);

 private:
  static constexpr size_t kMaxKept = 16;
  static constexpr int64_t kMaxKeptBytes = int64_t{64} << 20;  // or else one

  // Forgets those that are too much, but not the last one.
  void Trim();

  std::mutex mutex_;  // guards what follows
  std::shared_ptr<const TokenTrie> trie_;
  std::vector<int32_t> end_ids_;
  // By the schema's text, the last used first.
  std::list<std::pair<std::string, std::shared_ptr<JsonTokenMasks>>> kept_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_JSON_FORMATS_H_
