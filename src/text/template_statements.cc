// Runs the statements of a template that template.cc has read.
#include <fmt/format.h>

#include "text/python_text.h"
#include "text/template_evaluator.h"

namespace blockformer {
namespace {

constexpr int kMaxCallDepth = 16;

using Node = TemplateNode;
using Operation = TemplateOperation;
using Expression = TemplateExpression;
using Operand = TemplateOperand;
using Loop = TemplateLoop;

}  // namespace

std::string TemplateEvaluator::Run(const std::vector<Node>& nodes) {
  std::string text;
  RunBody(nodes, &text);
  return text;
}

TemplateEvaluator::Flow TemplateEvaluator::RunBody(const std::vector<Node>& nodes,
                                                   std::string* text) {
  for (const Node& node : nodes) {
    CountStep(node.offset);
    const Flow flow = RunNode(node, text);
    if (flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

TemplateEvaluator::Flow TemplateEvaluator::RunNode(const Node& node, std::string* text) {
  switch (node.kind) {
    case Node::Kind::kText:
      Charge(node.text.size(), node.offset);
      *text += node.text;
      return Flow::kOn;
    case Node::Kind::kOutput:
      Output(node, text);
      return Flow::kOn;
    case Node::Kind::kIf:
      for (size_t i = 0; i < node.bodies.size(); ++i) {
        if (i == node.expressions.size() || Truth(node.expressions[i])) {
          return RunBody(node.bodies[i], text);
        }
      }
      return Flow::kOn;
    case Node::Kind::kFor:
      RunFor(node, text);
      return Flow::kOn;
    case Node::Kind::kSet:
      Set(node, Evaluate(node.expressions[0]));
      return Flow::kOn;
    case Node::Kind::kSetBody: {
      std::string value;
      RunBody(node.bodies[0], &value);
      Set(node, std::move(value));
      return Flow::kOn;
    }
    case Node::Kind::kMacro:
      macros_[node.names[0]] = &node;
      return Flow::kOn;
    case Node::Kind::kBody:
      return RunBody(node.bodies[0], text);
    case Node::Kind::kBreak:
      return Flow::kBreak;
    case Node::Kind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kOn;
}

void TemplateEvaluator::Output(const Node& node, std::string* text) {
  const Operand value = EvaluateOperand(node.expressions[0]);
  const std::string piece = At(node.offset, [&] { return TextOfValue(value.get()); });
  Charge(piece.size(), node.offset);
  *text += piece;
}

void TemplateEvaluator::RunFor(const Node& node, std::string* text) {
  // By value: the body may set what the list came from.
  const Json list = Charged(IterableOf(node.expressions[0]).Take(), node.offset);
  const Expression& condition = node.expressions[1];
  Json kept = Json::array();
  const bool filters = condition.kind != Expression::Kind::kNothing;
  if (filters) {
    for (const Json& element : list) {
      scopes_.emplace_back();
      Bind(node, element);
      if (Truth(condition)) kept.push_back(Charged(element, node.offset));
      scopes_.pop_back();
    }
  }
  const Json& elements = filters ? kept : list;
  if (elements.empty()) {
    if (node.bodies.size() > 1) RunBody(node.bodies[1], text);
    return;
  }
  Loop loop{&elements, 0};
  Loop* const outer = std::exchange(loop_, &loop);
  for (; loop.index < elements.size(); ++loop.index) {
    CountStep(node.offset);
    scopes_.emplace_back();
    Bind(node, elements[loop.index]);
    const Flow flow = RunBody(node.bodies[0], text);
    scopes_.pop_back();
    if (flow == Flow::kBreak) break;
  }
  loop_ = outer;
}

Operand TemplateEvaluator::IterableOf(const Expression& expression) {
  Operand value = EvaluateOperand(expression);
  if (value.get().is_array()) return value;
  if (value.get().is_discarded() && !program_.dialect.strict) return Operand(Json::array());
  return At(expression.offset, [&] {
    const TemplateFunction* list = FilterNamed("list");
    return Operand(Charged(list->call(value.get(), {}), expression.offset));
  });
}

void TemplateEvaluator::Bind(const Node& node, const Json& element) {
  if (node.names.size() == 1) {
    scopes_.back()[node.names[0]] = Charged(element, node.offset);
    return;
  }
  if (!element.is_array() || element.size() != node.names.size()) {
    FailAt(node.offset, fmt::format("{} cannot be taken apart into {} variables", KindOf(element),
                                    node.names.size()));
  }
  for (size_t i = 0; i < node.names.size(); ++i) {
    scopes_.back()[node.names[i]] = Charged(element[i], node.offset);
  }
}

void TemplateEvaluator::Set(const Node& node, Json value) {
  if (node.names.size() == 1) {
    scopes_.back()[node.names[0]] = std::move(value);
    return;
  }
  // A macro changes nothing outside, so that no expression changes what it reads.
  for (size_t i = scopes_.size(); i > first_scope_; --i) {
    const auto found = scopes_[i - 1].find(node.names[0]);
    if (found == scopes_[i - 1].end()) continue;
    if (!found->second.is_object()) break;
    found->second[node.names[1]] = std::move(value);
    return;
  }
  FailAt(node.offset, fmt::format("{} is no namespace", node.names[0]));
}

Json TemplateEvaluator::CallMacro(const Node& macro, const Operation& operation) {
  const size_t parameters = macro.names.size() - 1;
  if (operation.arguments.size() > parameters) {
    FailAt(operation.offset, fmt::format("{} has {} arguments; at most {} are wanted",
                                         operation.name, operation.arguments.size(), parameters));
  }
  if (++calls_ > kMaxCallDepth) FailAt(operation.offset, "macros call each other too deep");
  std::map<std::string, Json> scope;
  for (size_t i = 0; i < parameters; ++i) {
    scope[macro.names[i + 1]] = i < operation.arguments.size()
                                    ? Charged(Evaluate(operation.arguments[i]), operation.offset)
                                    : Evaluate(macro.expressions[i]);
  }
  for (const auto& [name, argument] : operation.named) {
    if (!scope.contains(name)) {
      FailAt(operation.offset, fmt::format("{} has no parameter {}", operation.name, name));
    }
    scope[name] = Charged(Evaluate(argument), operation.offset);
  }
  // A parameter without a value is as if there were no such name.
  std::erase_if(scope, [](const auto& entry) { return entry.second.is_discarded(); });
  const size_t first_scope = std::exchange(first_scope_, scopes_.size());
  Loop* const loop = std::exchange(loop_, nullptr);
  scopes_.push_back(std::move(scope));
  std::string text;
  RunBody(macro.bodies[0], &text);
  scopes_.pop_back();
  first_scope_ = first_scope;
  loop_ = loop;
  --calls_;
  return text;
}

std::string RunTemplate(const TemplateProgram& program, const Json& record) {
  return TemplateEvaluator(program, record).Run(program.nodes);
}

Json EvaluateTemplate(const TemplateProgram& program, const Json& record) {
  return TemplateEvaluator(program, record).Evaluate(program.nodes[0].expressions[0]);
}

}  // namespace blockformer
