#ifndef BLOCKFORMER_TEXT_TEMPLATE_H_
#define BLOCKFORMER_TEXT_TEMPLATE_H_

#include <memory>
#include <string>
#include <string_view>

#include "config/json.h"
#include "text/template_functions.h"

namespace blockformer {

struct TemplateProgram;

// The part of Jinja2 that the prompts of evaluation tasks and the chat templates of models need. A
// template is text with {{ expressions }}, {% statements %} and {# comments #}:
//
//   statements  if elif else, for ... in ... if ... else (with the variable loop), break, continue,
//               set (also of a namespace's member, and with a body up to endset), macro, generation
//   expression  a if b else c, or, and, not, == != < <= > >= in, + - ~ * / // %,
//               literals, [list, ...], {"name": value}, (expression), names of fields and
//               variables; then any of  .name  [index]  [begin:end:step]  .method(...) then any of
//               | filter  | filter(...)  is test  is not test
//   functions   range, namespace, dict, raise_exception, strftime_now, and macros
//   methods, filters and tests: see template_functions.cc
//
// Values are as in Python: negative positions count from the end, strings are counted in
// characters, white space is Python's; but the names of an object are in alphabetical order.
// Letters change case one for one (text/unicode.h). As in Jinja2, "\r\n" is read as "\n", one line
// end at the template's end is dropped, and "-" in "{%-" or "-%}" takes the white space beside it.
//
// Immutable; threads may share it.
class Template {
 public:
  Template();  // the empty text
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  Template(const Template&);
  Template& operator=(const Template&);
  ~Template();

  // `place` opens all messages, also those about records. Throws PlacedError(kInvalidArgument) that
  // names it and the column, for text that is not in the language or is longer than 64 KiB.
  static Template Parse(std::string_view text, std::string place,
                        const TemplateDialect& dialect = {});

  // The value if the template is a single {{ expression }}, otherwise the text. Throws
  // PlacedError(kInvalidArgument) for what fields and values make impossible (see TemplateDialect),
  // for what the template raises, and if it takes more steps or memory than a record may.
  Json Evaluate(const Json& record) const;

  // The text, with numbers as Python prints them; a list in it is an error.
  std::string Render(const Json& record) const;

 private:
  std::shared_ptr<const TemplateProgram> program_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TEMPLATE_H_
