#ifndef BLOCKFORMER_TEXT_JSON_SCHEMA_H_
#define BLOCKFORMER_TEXT_JSON_SCHEMA_H_

#include <string>

#include "base/error.h"
#include "config/json.h"
#include "text/json_grammar.h"

namespace blockformer {

// Something is wrong with a JSON schema.
class JsonSchemaError : public Error {
 public:
  JsonSchemaError(std::string path, const std::string& problem);

  // Where, such as "properties.x.type"; empty for the schema itself.
  const std::string& path() const { return path_; }
  const std::string& problem() const { return problem_; }

 private:
  std::string path_;
  std::string problem_;
};

// The texts that a JSON schema allows, or some of them:
// - type (one or a list), enum, const, anyOf, oneOf (as anyOf), allOf of one schema, $ref to #,
//   #/$defs/NAME and #/definitions/NAME;
// - of objects properties, required, additionalProperties. Members come in the order of
//   `properties`, then required ones that it lacks, then others. Where `properties` has some,
//   others come only if additionalProperties is there and allows them; their names have no escapes,
//   and one of them may come twice;
// - of arrays items, minItems, maxItems; of strings minLength, maxLength, in characters;
// - without a type, the one that the other keywords are about, else any;
// - title, description and the like are ignored.
// Everything else, what is too large, and a schema that no text can obey throws JsonSchemaError.
JsonGrammar CompileJsonSchema(const OrderedJson& schema);

// The largest schemas that are compiled: JSON values in them, and bytes of their texts as JSON
// writes them, names of members among them.
inline constexpr int64_t kMaxSchemaValues = 5000;
inline constexpr int64_t kMaxSchemaBytes = 64 << 10;

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_JSON_SCHEMA_H_
