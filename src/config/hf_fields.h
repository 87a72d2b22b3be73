#ifndef BLOCKFORMER_CONFIG_HF_FIELDS_H_
#define BLOCKFORMER_CONFIG_HF_FIELDS_H_

#include "config/json.h"

namespace blockformer {

// Throws Error(kUnsupported) that names the field for one of a Hugging Face configuration, `json`,
// that `reader` did not read and that might change what the model computes. Passed over are what
// every class of transformers writes, what concerns training and programs alone, and what is
// switched off: null, false, or empty.
void RejectUnknownHfFields(const ObjectReader& reader, const Json& json);

// The same for a block model's configuration, which transformers may have written. Its own fields
// mean something also where they are false or empty: of what is not known, only null passes.
void RejectUnknownBlockFields(const ObjectReader& reader, const Json& json);

}  // namespace blockformer

#endif  // BLOCKFORMER_CONFIG_HF_FIELDS_H_
