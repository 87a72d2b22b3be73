#ifndef BLOCKFORMER_CONFIG_STACK_JSON_H_
#define BLOCKFORMER_CONFIG_STACK_JSON_H_

#include <cstdint>
#include <initializer_list>
#include <string>

#include "config/json.h"
#include "config/stack.h"

namespace blockformer {

// Limits of sizes in configurations.
inline constexpr int64_t kMaxWidth = 1 << 17;
inline constexpr int64_t kMaxLayers = 1024;
inline constexpr int64_t kMaxLength = 1 << 24;

// Whether a size that is missing has a default (in recipes) or is an error (in checkpoints).
enum class Sizes { kRequired, kDefaulted };

int64_t ReadHeads(const ObjectReader& reader, int64_t hidden_size, Sizes sizes);
int64_t ReadIntermediateSize(const ObjectReader& reader, int64_t hidden_size, Sizes sizes);

// A stack in our own form: `architecture`, GPT-NeoX if it is missing, and the fields that Hugging
// Face's configuration of that family has.
StackConfig ReadStack(const ObjectReader& reader, Sizes sizes);
OrderedJson WriteStack(const StackConfig& config);

// The family that the field `key` names. Throws for others, with a list that begins with
// `also_known`.
StackFamily FamilyOf(const ObjectReader& reader, const std::string& key,
                     std::initializer_list<const char*> also_known);

// Hugging Face's configuration of a vanilla model as transformers 4 and 5 write it, with the values
// of its class for what it leaves out. Throws as NormalizedNeoxFields() does.
Json WithClassDefaults(const Json& json, StackFamily family, const std::string& source);
// The stack of such a configuration; `context` is its number of positions. Throws
// Error(kUnsupported) that names the field for what cannot be obeyed.
StackConfig ReadHfStack(const ObjectReader& reader, StackFamily family, int64_t context);
OrderedJson WriteHfStack(const StackConfig& config, int64_t vocab_size, int64_t context);

// Throws Error(kInvalidArgument), opening with `where`, for sizes that contradict each other.
void ValidateStack(const StackConfig& config, const std::string& where);

}  // namespace blockformer

#endif  // BLOCKFORMER_CONFIG_STACK_JSON_H_
