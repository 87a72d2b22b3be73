#ifndef BLOCKFORMER_TEXT_TEMPLATE_H_
#define BLOCKFORMER_TEXT_TEMPLATE_H_

#include <string>
#include <string_view>
#include <vector>

#include "config/json.h"
#include "text/template_expression.h"

namespace blockformer {

// A part of Jinja2 that the prompts of most evaluation tasks get by with. A template is text with
// {{ expressions }} over the fields of a record:
//
//   expression  term + term ...                   strings, lists, integers
//   term        a field of the record, 'string', "string", integer, [list, ...], (expression);
//               then any of  .name  [index]  [begin:end]  .method(...)
//               then any of  | filter  | filter(...)
//   methods     split([separator[, most]]) strip() lstrip() rstrip() index(x) replace(a, b) lower()
//               upper() capitalize()
//   filters     join([separator]) trim lower upper capitalize length replace(a, b)
//               wikitext_detokenize (ours, see wikitext.h)
//
// Values are as in Python: negative positions count from the end, strings are counted in
// characters, white space is Python's. Letters change case one for one (text/unicode.h). As in
// Jinja2, "\r\n" is read as "\n" and one line end at the template's end is dropped. What is not
// defined is an error, and so are {% statements %}, {# comments #} and "{{-".
//
// Immutable; threads may share it.
class Template {
 public:
  Template() = default;  // the empty text

  // `place` opens all messages, also those about records. Throws Error(kInvalidArgument) that names
  // it and the column, for text that is not in the language or is longer than 64 KiB.
  static Template Parse(std::string_view text, std::string place);

  // The value if the template is a single {{ expression }}, otherwise the text. Throws
  // Error(kInvalidArgument) for fields that are missing or of another kind, and if more than
  // kMaxTemplateBytes were produced on the way.
  Json Evaluate(const Json& record) const;

  // The text, with numbers as Python prints them; a list or null in it is an error.
  std::string Render(const Json& record) const;

 private:
  struct Part {
    std::string text;       // before the expression
    Expression expression;  // without terms in the last part of a template that ends with text
    size_t offset = 0;      // of the expression
  };

  std::string text_;
  std::string place_;
  std::vector<Part> parts_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TEMPLATE_H_
