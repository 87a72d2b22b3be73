#ifndef BLOCKFORMER_TEXT_TEMPLATE_EVALUATOR_H_
#define BLOCKFORMER_TEXT_TEMPLATE_EVALUATOR_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/template_functions.h"
#include "text/template_program.h"

namespace blockformer {

// A value: a reference to one that lies elsewhere, or one of its own.
class TemplateOperand {
 public:
  explicit TemplateOperand(const Json* other) : other_(other) {}
  explicit TemplateOperand(Json own) : own_(std::move(own)) {}

  const Json& get() const { return other_ != nullptr ? *other_ : own_; }
  Json Take() {
    if (other_ != nullptr) return *other_;
    return std::move(own_);
  }
  bool is_own() const { return other_ == nullptr; }

 private:
  const Json* other_ = nullptr;
  Json own_;
};

// The loop that a body runs in.
struct TemplateLoop {
  const Json* list = nullptr;
  size_t index = 0;
};

// Runs a template's statements and evaluates its expressions on one record, within the memory and
// the steps that a record may take. Every problem is an Error that names the place in the template.
class TemplateEvaluator {
 public:
  TemplateEvaluator(const TemplateProgram& program, const Json& record)
      : program_(program), record_(record), scopes_(1) {}

  // The value of an expression; discarded if it is not defined.
  Json Evaluate(const TemplateExpression& expression) { return EvaluateOperand(expression).Take(); }

  // What a template writes.
  std::string Run(const std::vector<TemplateNode>& nodes);

 private:
  using Expression = TemplateExpression;
  using Operation = TemplateOperation;
  using Node = TemplateNode;
  using Operand = TemplateOperand;
  enum class Flow { kOn, kBreak, kContinue };

  [[noreturn]] void FailAt(size_t offset, const std::string& problem) const;

  // Runs `body`, which does not know its place in the template, and adds the place to what it
  // throws.
  template <typename Body>
  auto At(size_t offset, Body body) const {
    try {
      return body();
    } catch (const Error& error) {
      FailAt(offset, error.what());
    }
  }

  void Charge(size_t size, size_t offset);
  Json Charged(Json value, size_t offset);
  void CountStep(size_t offset);

  // Statements, in template_statements.cc. RunBody() runs the body of one and appends its output to
  // `text`.
  Flow RunBody(const std::vector<Node>& nodes, std::string* text);
  Flow RunNode(const Node& node, std::string* text);
  void Output(const Node& node, std::string* text);
  std::string TextOfValue(const Json& value) const;
  void RunFor(const Node& node, std::string* text);
  // The list that a loop runs over.
  Operand IterableOf(const Expression& expression);
  // A loop's variables.
  void Bind(const Node& node, const Json& element);
  void Set(const Node& node, Json value);
  Json CallMacro(const Node& macro, const Operation& operation);

  // Expressions, in template_evaluator.cc.
  bool Truth(const Expression& expression) { return IsTrue(EvaluateOperand(expression).get()); }
  Operand EvaluateOperand(const Expression& expression);
  Json MakeObject(const Expression& expression);
  const Json* FindName(const std::string& name) const;
  [[noreturn]] void FailNoField(const Json& object, const std::string& name, size_t offset) const;

  // Whether an operation takes a value that is not defined.
  static bool TakesUndefined(const Operation& operation);

  Operand Operations(const Expression& expression);

  // The value that the operations from *next on are applied to.
  Operand FirstOperand(const Expression& first, const std::vector<Operation>& operations,
                       size_t* next);
  Operand LoopMember(const Operation& operation) const;
  Operand Apply(const Operation& operation, Operand value, bool may_lack);
  static const TemplateFunction* FilterNamed(std::string_view name);
  // The arguments by position. The first one may be given by its `name` instead, and is then the
  // only one.
  std::vector<Json> Arguments(const Operation& operation, std::string_view name);

  Json Call(const Operation& operation, const Json& value);

  // The filters that look into lists, and default.
  Json FilterItems(const Operation& operation, const Json& value);
  static Json MemberOrUndefined(const Json& value, const std::string& name);
  Json MapElement(const Operation& operation, const Json& element,
                  const std::vector<Json>& arguments) const;
  bool Selects(const Operation& operation, const Json& value,
               const std::vector<Json>& arguments) const;
  Json Default(const Operation& operation, const Json& value);
  Json CallGlobal(const Operation& operation);
  static Json TimeText(const std::string& format);
  Operand Member(const Operand& value, const std::string& name, size_t offset, bool may_lack);

  // A part of a value: a reference if the value is one.
  Operand Part(const Operand& value, const Json& part, size_t offset);
  Operand Item(const Operand& value, const Json& index, size_t offset, bool may_lack);

  std::optional<int64_t> SliceEnd(const Operation& operation, size_t part);
  Json Slice(const Json& value, const Operation& operation);
  static int64_t LengthOf(const Json& value);
  Json Binary(const Operation& operation, Operand value);
  Json Arithmetic(const std::string& name, Json a, const Json& b, size_t offset);

  const TemplateProgram& program_;
  const Json& record_;
  std::vector<std::map<std::string, Json>> scopes_;
  size_t first_scope_ = 0;
  std::map<std::string, const Node*> macros_;
  TemplateLoop* loop_ = nullptr;
  size_t budget_ = kMaxTemplateBytes;
  int64_t steps_ = 0;
  int calls_ = 0;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TEMPLATE_EVALUATOR_H_
