#ifndef BLOCKFORMER_ENGINE_JSON_CONSTRAINT_H_
#define BLOCKFORMER_ENGINE_JSON_CONSTRAINT_H_

#include <memory>

#include "runner/token_constraint.h"
#include "text/json_token_masks.h"

namespace blockformer {

// Sequences whose text is a JSON text of a grammar, and ends when that is complete. They share the
// masks.
TokenConstraintFactory JsonConstraint(std::shared_ptr<JsonTokenMasks> masks);

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_JSON_CONSTRAINT_H_
