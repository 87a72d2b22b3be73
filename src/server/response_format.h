#ifndef BLOCKFORMER_SERVER_RESPONSE_FORMAT_H_
#define BLOCKFORMER_SERVER_RESPONSE_FORMAT_H_

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "config/model_config.h"
#include "server/request_fields.h"
#include "text/json_token_masks.h"
#include "text/tokenizer.h"

namespace blockformer {

// The masks of the schemas that were asked for last, since most requests ask for the same ones: a
// few of them, in about 64 MiB of memory. Thread-safe.
class ResponseFormats {
 public:
  // Of texts that obey a schema; of any JSON object if it is null. Throws JsonSchemaError.
  std::shared_ptr<JsonTokenMasks> Masks(const OrderedJson& schema, const Tokenizer& tokenizer,
                                        const ModelConfig& config);

 private:
  static constexpr size_t kMaxKept = 16;
  static constexpr int64_t kMaxKeptBytes = int64_t{64} << 20;  // or else one

  // Forgets those that are too much, but not the last one.
  void Trim();

  std::mutex mutex_;  // guards what follows
  std::shared_ptr<const TokenTrie> trie_;
  // By the schema's text, the last used first.
  std::list<std::pair<std::string, std::shared_ptr<JsonTokenMasks>>> kept_;
};

struct ServedModel;

// Reads the field "response_format"; null where it wants nothing, as {"type": "text"}. `body` is
// the text of the request: the order of a schema's properties counts. Throws ApiError(400) that
// names the part that is wrong.
std::shared_ptr<JsonTokenMasks> ReadResponseFormat(RequestFields* fields, const std::string& body,
                                                   const ServedModel& model);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_RESPONSE_FORMAT_H_
