#ifndef BLOCKFORMER_TEXT_TEMPLATE_PROGRAM_H_
#define BLOCKFORMER_TEXT_TEMPLATE_PROGRAM_H_

#include <string>
#include <vector>

#include "text/template_expression.h"

namespace blockformer {

// A piece of a template that was read.
struct TemplateNode {
  enum class Kind {
    kText,
    kOutput,   // expressions[0]
    kIf,       // bodies[i] if expressions[i]; one body more is the else
    kFor,      // names over expressions[0] where expressions[1]; bodies: each, else
    kSet,      // names[0] to expressions[0]; with names[1] that member of a namespace
    kSetBody,  // names[0] to the text of bodies[0]
    kMacro,    // names[0] with parameters names[1..], whose defaults are expressions
    kBody,     // bodies[0], as of the statement generation, which changes nothing
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kText;
  size_t offset = 0;
  std::string text;
  std::vector<std::string> names;
  std::vector<TemplateExpression> expressions;
  std::vector<std::vector<TemplateNode>> bodies;
};

// A template that was read.
struct TemplateProgram {
  std::string text;
  std::string place;
  TemplateDialect dialect;
  std::vector<TemplateNode> nodes;
};

// Runs a program on a record. Throws as Template::Evaluate does.
std::string RunTemplate(const TemplateProgram& program, const Json& record);
// The value of the program's only node, which is a kOutput.
Json EvaluateTemplate(const TemplateProgram& program, const Json& record);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TEMPLATE_PROGRAM_H_
