#ifndef BLOCKFORMER_TEXT_TEMPLATE_NUMBERS_H_
#define BLOCKFORMER_TEXT_TEMPLATE_NUMBERS_H_

#include <string>
#include <vector>

#include "config/json.h"

namespace blockformer {

// What templates calculate, as Python does. All throw Error(kInvalidArgument) for what is too large
// or undefined.

// Two numbers joined by +, -, *, /, // or %: whole numbers of 64 bits stay that, but for /.
Json CalculateInTemplate(const std::string& name, const Json& a, const Json& b);

// The list that range(end), range(begin, end) or range(begin, end, step) stands for.
Json TemplateRange(const std::vector<Json>& arguments);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TEMPLATE_NUMBERS_H_
