#ifndef BLOCKFORMER_TEXT_TEMPLATE_EXPRESSION_H_
#define BLOCKFORMER_TEXT_TEMPLATE_EXPRESSION_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "config/json.h"
#include "text/template_functions.h"

namespace blockformer {

struct Expression;

// What is done to the value on its left.
struct Operation {
  enum class Kind { kMember, kItem, kSlice, kCall };
  Kind kind = Kind::kMember;
  size_t offset = 0;                           // into the template, for messages
  std::string name;                            // kMember
  const TemplateFunction* function = nullptr;  // kCall: a method or a filter
  // kItem: the index. kSlice: both ends, of which those left out have no terms. kCall: what stands
  // in the parentheses.
  std::vector<Expression> arguments;
};

struct Term {
  enum class Kind { kLiteral, kField, kList, kGroup };
  Kind kind = Kind::kLiteral;
  size_t offset = 0;
  Json literal;
  std::string name;               // kField
  std::vector<Expression> items;  // kList; kGroup: the one in parentheses
  std::vector<Operation> operations;
};

// The sum of its terms.
struct Expression {
  std::vector<Term> terms;
};

// Parses the expression of a template `text` that starts at `*offset`, after "{{", and moves
// `*offset` behind the "}}" that ends it. `place` opens every message. The grammar is in
// template.h.
Expression ParseExpression(std::string_view text, const std::string& place, size_t* offset);

// Throws Error(kInvalidArgument): "PLACE: column COLUMN: PROBLEM".
[[noreturn]] void FailInTemplate(std::string_view text, const std::string& place, size_t offset,
                                 const std::string& problem);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TEMPLATE_EXPRESSION_H_
