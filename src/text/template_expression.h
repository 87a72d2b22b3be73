#ifndef BLOCKFORMER_TEXT_TEMPLATE_EXPRESSION_H_
#define BLOCKFORMER_TEXT_TEMPLATE_EXPRESSION_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "config/json.h"
#include "text/template_functions.h"

namespace blockformer {

struct TemplateExpression;
struct NamedTemplateExpression;

// What is done to the value on its left.
struct TemplateOperation {
  enum class Kind {
    kMember,  // .name
    kItem,    // [index]
    kSlice,   // [begin:end:step], parts left out are kNothing
    kCall,    // (...) of a global function or a macro
    kMethod,  // .name(...)
    kFilter,  // | name(...)
    kTest,    // is name ..., is not name ...
    kBinary,  // an operator, named by it, and its right side
  };
  Kind kind = Kind::kMember;
  size_t offset = 0;  // into the template, for messages
  std::string name;
  bool negated = false;                        // kTest
  const TemplateFunction* function = nullptr;  // kMethod, kFilter: null if it is not known
  std::vector<TemplateExpression> arguments;   // by position
  std::vector<NamedTemplateExpression> named;
};

struct TemplateExpression {
  enum class Kind {
    kNothing,
    kLiteral,
    kName,
    kList,         // items
    kObject,       // items: key, value, key, value ...
    kOperations,   // items[0], then the operations from left to right
    kConditional,  // items[0] if items[1] else items[2], which may be kNothing
    kOr,           // of items
    kAnd,
    kNot,
    kNegative,
  };
  Kind kind = Kind::kNothing;
  size_t offset = 0;
  Json literal;
  std::string name;
  std::vector<TemplateExpression> items;
  std::vector<TemplateOperation> operations;
};

// name=expression, an argument.
struct NamedTemplateExpression {
  std::string name;
  TemplateExpression expression;
};

// Throws Error(kInvalidArgument): "PLACE: column COLUMN: PROBLEM", or with "line LINE" before the
// column if the template has several lines.
[[noreturn]] void FailInTemplate(std::string_view text, const std::string& place, size_t offset,
                                 const std::string& problem);

// Reads expressions, and the signs and words around them, from a template's text. The grammar is in
// template.h. Throws as FailInTemplate does.
class TemplateReader {
 public:
  // `place` and what `text` views outlive the reader.
  TemplateReader(std::string_view text, const std::string& place, const TemplateDialect& dialect)
      : text_(text), place_(place), dialect_(dialect) {}

  size_t offset() const { return offset_; }
  void set_offset(size_t offset) { offset_ = offset; }
  std::string_view text() const { return text_; }

  // Reads an expression. Without `with_condition` it ends before an "if", which belongs to the
  // statement around it.
  TemplateExpression ReadExpression(bool with_condition = true);
  // Reads expressions with commas between them: the only one, or a list of them.
  TemplateExpression ReadTuple();

  // These skip blanks. Take...() takes a sign or a word if it comes next, and returns whether it
  // did; Expect...() fails if it does not.
  bool TakeSign(std::string_view sign);
  bool TakeWord(std::string_view word);
  void ExpectSign(std::string_view sign);
  std::string ReadName(std::string_view what);
  // Takes "%}" or "}}". Returns the "-" or "+" before it, or '\0' if there is none.
  char ExpectEnd(std::string_view end);
  bool AtSign(std::string_view sign);

  [[noreturn]] void FailAt(size_t offset, const std::string& problem) const {
    FailInTemplate(text_, place_, offset, problem);
  }
  [[noreturn]] void FailHere(const std::string& problem) const { FailAt(offset_, problem); }
  std::string Unexpected() const;

 private:
  using Expression = TemplateExpression;
  using Operation = TemplateOperation;

  char Peek();
  // Whether an operator stands there, and not the end of an expression such as "-}}".
  bool AtOperator(std::string_view sign);
  Expression ReadOr();
  Expression ReadAnd();
  Expression ReadNot();
  Expression ReadComparison();
  Expression ReadSum();
  Expression ReadConcatenation();
  Expression ReadProduct();
  Expression ReadUnary();
  Expression ReadSigned();
  Expression ReadMembers();
  Expression ReadFilters(Expression value);
  static Expression WithOperations(Expression value, std::vector<Operation> operations);
  Expression ReadPrimary();
  Expression ReadObject();
  Json ReadNumber();
  std::string ReadString();
  void ReadEscape(std::string* value);
  char32_t ReadHexadecimal(size_t start, size_t digits);
  void ReadArguments(Operation* call);
  Operation ReadMember();
  Operation ReadItem();
  Operation ReadFilter();
  Operation ReadTest();
  void FindFunction(std::string_view kind, std::span<const TemplateFunction> functions,
                    Operation* call) const;
  // Reads operands with operators of `signs` between them, which are applied from left to right.
  template <typename ReadSide>
  Expression ReadChain(std::initializer_list<std::string_view> signs, ReadSide read_side);

  std::string_view text_;
  const std::string& place_;
  const TemplateDialect& dialect_;
  size_t offset_ = 0;
  int depth_ = 0;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TEMPLATE_EXPRESSION_H_
