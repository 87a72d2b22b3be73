#ifndef BLOCKFORMER_CONFIG_NEOX_FIELDS_H_
#define BLOCKFORMER_CONFIG_NEOX_FIELDS_H_

#include <string>

#include "config/json.h"

namespace blockformer {

// Hugging Face's configuration of a GPT-NeoX model, of any version of transformers, with the rotary
// fields as `rotary_pct` and `rotary_emb_base` and the values of its class for what it leaves out.
// Throws Error that opens with `source` and names the field for rotary scaling and contradictions.
Json NormalizedNeoxFields(const Json& json, const std::string& source);

}  // namespace blockformer

#endif  // BLOCKFORMER_CONFIG_NEOX_FIELDS_H_
