#ifndef BLOCKFORMER_TEXT_TEMPLATE_FUNCTIONS_H_
#define BLOCKFORMER_TEXT_TEMPLATE_FUNCTIONS_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/json.h"

namespace blockformer {

// The most bytes that a template may produce in one evaluation, intermediate values included.
constexpr size_t kMaxTemplateBytes = size_t{1} << 26;

// A method (value.name(arguments)) or a filter (value | name(arguments)) of templates. `call`
// throws Error(kInvalidArgument) that says what is wrong with a value; its caller adds the place in
// the template.
struct TemplateFunction {
  std::string_view name;
  size_t min_arguments;
  size_t max_arguments;
  Json (*call)(const Json& value, const std::vector<Json>& arguments);
  std::string_view argument_name = {};  // the first argument's, if it may be given by name
};

// What differs between templates of tasks and of chats.
struct TemplateDialect {
  // True for tasks: an undefined name is an error, and so is null in a text. If false, as in Jinja2
  // by default, an undefined name is false and an empty text, and null is the text "None". An
  // unknown function is an error when the template is read if true, only when it is called if
  // false.
  bool strict = true;
  // Jinja2's trim_blocks and lstrip_blocks: a line with nothing but {% statements %} leaves none.
  bool trim_blocks = false;
  std::span<const TemplateFunction> filters = {};  // beside TemplateFilters()
};

std::span<const TemplateFunction> TemplateMethods();
std::span<const TemplateFunction> TemplateFilters();
// Filters that the evaluator has: map, select, reject, selectattr, rejectattr, default.
bool IsTemplateFilterOfItems(std::string_view name);

// Tests, as in "x is string". Those that take a value may have it without parentheses.
bool IsTemplateTest(std::string_view name);
bool TemplateTestTakesValue(std::string_view name);
// An undefined value is a discarded Json.
bool RunTemplateTest(std::string_view name, const Json& value, const std::vector<Json>& arguments);

// Whether Python takes a value for true.
bool IsTrue(const Json& value);

// The order of two numbers or two strings, below, at or above 0. Throws Error(kInvalidArgument).
int CompareTemplateValues(const Json& a, const Json& b);

// Whether a list, an object's names or a string holds a value. Throws Error(kInvalidArgument).
bool TemplateHolds(const Json& whole, const Json& part);

// Whether they are equal in Python, where true is 1 and false is 0.
bool EqualTemplateValues(const Json& a, const Json& b);

// "a string", "an integer", ... for messages.
std::string_view KindOf(const Json& value);

// A value as it stands in a message: on one line, and cut if it is long.
std::string Quote(const Json& value);

// A value in the middle of a text: strings as they are, others as Python prints them (numbers with
// a fraction only below 1e15). Throws Error(kInvalidArgument) for null, lists and objects.
std::string ToTemplateText(const Json& value);

// Throw Error(kInvalidArgument) for a value of another kind; `what` names it.
const std::string& StringIn(const Json& value, std::string_view what);
int64_t IntegerIn(const Json& value, std::string_view what);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TEMPLATE_FUNCTIONS_H_
