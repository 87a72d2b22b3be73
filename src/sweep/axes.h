#ifndef BLOCKFORMER_SWEEP_AXES_H_
#define BLOCKFORMER_SWEEP_AXES_H_

#include <string>
#include <vector>

#include "config/json.h"

namespace blockformer {

// Names of the ready-made axes, each of which changes one property of a block model together with
// the fields that depend on it:
//   block_length   tokens a block; the lookup table's width follows
//   allocation     "A:B": layers of the block decoder and of the token decoder
//   embedder       lookup, roberta or roberta_cls, or the whole section
//   token_decoder  prefix, summation or cross_attention, or the whole section
//   prefix_length  vectors that a prefix token decoder is given
const std::vector<std::string>& ReadyMadeAxes();

// Sets property `axis` of the recipe `document`: one of the ready-made axes, or any other field of
// a recipe ("section.key"). Throws Error(kInvalidArgument) that opens with `source`.
void ApplyAxis(const std::string& axis, const Json& value, const std::string& source,
               Json* document);

// What an axis's value is called: a scalar's text, or the `type` of a section. Without characters
// that a table could not hold.
std::string AxisValueName(const Json& value, const std::string& source);

}  // namespace blockformer

#endif  // BLOCKFORMER_SWEEP_AXES_H_
