#ifndef BLOCKFORMER_TEXT_TEMPLATE_FUNCTIONS_H_
#define BLOCKFORMER_TEXT_TEMPLATE_FUNCTIONS_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/json.h"

namespace blockformer {

// What templates may produce in one evaluation, intermediate values included.
constexpr size_t kMaxTemplateBytes = size_t{1} << 26;

// A method (value.name(arguments)) or a filter (value | name(arguments)) of templates. `call`
// throws Error(kInvalidArgument) with what is wrong with a value; the caller knows where it stands.
struct TemplateFunction {
  std::string_view name;
  size_t min_arguments;
  size_t max_arguments;
  Json (*call)(const Json& value, const std::vector<Json>& arguments);
};

std::span<const TemplateFunction> TemplateMethods();
std::span<const TemplateFunction> TemplateFilters();

// "a string", "an integer", ... for messages.
std::string_view KindOf(const Json& value);

// A value in a message: on one line, and not all of a book.
std::string Quote(const Json& value);

// A value in the middle of a text: strings as they are, others as Python prints them (numbers with
// a fraction only below 1e15). Throws Error(kInvalidArgument) for null, lists and objects.
std::string ToTemplateText(const Json& value);

// Throw Error(kInvalidArgument) for a value of another kind; `what` names it.
const std::string& StringIn(const Json& value, std::string_view what);
int64_t IntegerIn(const Json& value, std::string_view what);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TEMPLATE_FUNCTIONS_H_
