#include "text/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "base/error.h"
#include "text/python_text.h"
#include "text/template_program.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr size_t kMaxTemplateLength = size_t{1} << 16;
constexpr int kMaxStatementDepth = 32;

// Reads a template's text, statements and expressions.
class ProgramReader {
 public:
  explicit ProgramReader(TemplateProgram* program)
      : program_(program),
        text_(program->text),
        reader_(program->text, program->place, program->dialect) {}

  void Read() {
    program_->nodes = ReadBody({});
    if (!ended_with_.empty()) Fail(fmt::format("there is nothing that {} ends", ended_with_));
  }

 private:
  using Node = TemplateNode;
  using Body = std::vector<TemplateNode>;

  [[noreturn]] void Fail(const std::string& problem) const { reader_.FailAt(tag_, problem); }

  // Nodes up to a statement of one of these names, which is then in ended_with_ and read up to
  // behind its name; or up to the template's end.
  Body ReadBody(std::initializer_list<std::string_view> ends) {
    if (++depth_ > kMaxStatementDepth) {
      Fail(fmt::format("statements are nested deeper than the {} levels that are read",
                       kMaxStatementDepth));
    }
    const size_t opened = tag_;
    Body body;
    while (true) {
      ReadText(&body);
      if (offset_ == text_.size()) break;
      tag_ = offset_;
      const char kind = text_[offset_ + 1];
      offset_ += 2;
      if (offset_ < text_.size() && (text_[offset_] == '-' || text_[offset_] == '+')) ++offset_;
      if (kind == '#') {
        ReadComment();
        continue;
      }
      reader_.set_offset(offset_);
      if (kind == '{') {
        ReadOutput(&body);
        continue;
      }
      const std::string name = reader_.ReadName("the name of a statement");
      if (std::ranges::find(ends, name) != ends.end()) {
        ended_with_ = name;
        --depth_;
        return body;
      }
      ReadStatement(name, &body);
    }
    if (ends.size() > 0) {
      reader_.FailAt(opened, fmt::format("this statement has no {}", *std::prev(ends.end())));
    }
    ended_with_.clear();
    --depth_;
    return body;
  }

  // The text up to the next tag, without what white space the tags around it take.
  void ReadText(Body* body) {
    const size_t begin = offset_;
    size_t open = text_.find('{', begin);
    while (open != std::string_view::npos && text_.substr(open, 2) != "{{" &&
           text_.substr(open, 2) != "{%" && text_.substr(open, 2) != "{#") {
      open = text_.find('{', open + 1);
    }
    offset_ = std::min(open, text_.size());
    std::string_view text = text_.substr(begin, offset_ - begin);
    const bool starts_line = begin == 0 || text_[begin - 1] == '\n';
    if (strips_next_) text = StripStart(text);
    strips_next_ = false;
    if (offset_ < text_.size()) {
      const char sign = offset_ + 2 < text_.size() ? text_[offset_ + 2] : '\0';
      if (sign == '-') {
        text = StripEnd(text);
      } else if (program_->dialect.trim_blocks && sign != '+' && text_[offset_ + 1] != '{') {
        text = WithoutIndent(text, starts_line);
      }
    }
    if (text.empty()) return;
    Node node;
    node.text = text;
    body->push_back(std::move(node));
  }

  // Without the white space at the end, if it is all of its line.
  static std::string_view WithoutIndent(std::string_view text, bool starts_line) {
    const size_t line_end = text.rfind('\n');
    if (line_end == std::string_view::npos && !starts_line) return text;
    const size_t line = line_end + 1;  // 0 if there is no line end
    return StripStart(text.substr(line)).empty() ? text.substr(0, line) : text;
  }

  // Behind a tag that ended with `sign` before its end.
  void Continue(size_t offset, char sign, bool is_output) {
    offset_ = offset;
    strips_next_ = sign == '-';
    const bool trims = program_->dialect.trim_blocks && !is_output && sign == '\0';
    if (trims && offset_ < text_.size() && text_[offset_] == '\n') ++offset_;
  }

  void ReadComment() {
    const size_t end = text_.find("#}", offset_);
    if (end == std::string_view::npos) Fail("the comment does not end");
    const char before = end > offset_ ? text_[end - 1] : '\0';
    Continue(end + 2, before == '-' || before == '+' ? before : '\0', false);
  }

  void EndStatement() {
    const char sign = reader_.ExpectEnd("%}");
    Continue(reader_.offset(), sign, false);
  }

  Node MakeNode(Node::Kind kind) const {
    Node node;
    node.kind = kind;
    node.offset = tag_;
    return node;
  }

  void ReadOutput(Body* body) {
    Node node = MakeNode(Node::Kind::kOutput);
    node.expressions.push_back(reader_.ReadExpression());
    const char sign = reader_.ExpectEnd("}}");
    Continue(reader_.offset(), sign, true);
    body->push_back(std::move(node));
  }

  void ReadStatement(const std::string& name, Body* body) {
    if (name == "if") {
      body->push_back(ReadIf());
    } else if (name == "for") {
      body->push_back(ReadFor());
    } else if (name == "set") {
      body->push_back(ReadSet());
    } else if (name == "macro") {
      body->push_back(ReadMacro());
    } else if (name == "generation") {
      Node node = MakeNode(Node::Kind::kBody);
      EndStatement();
      node.bodies.push_back(ReadBody({"endgeneration"}));
      EndStatement();
      body->push_back(std::move(node));
    } else if ((name == "break" || name == "continue") && loops_ > 0) {
      body->push_back(MakeNode(name == "break" ? Node::Kind::kBreak : Node::Kind::kContinue));
      EndStatement();
    } else {
      Fail(
          fmt::format("the statement {} is not known here; known are if, for, set, macro, "
                      "generation, and in loops break and continue",
                      name));
    }
  }

  Node ReadIf() {
    Node node = MakeNode(Node::Kind::kIf);
    node.expressions.push_back(reader_.ReadTuple());
    EndStatement();
    while (true) {
      node.bodies.push_back(ReadBody({"elif", "else", "endif"}));
      if (ended_with_ != "elif") break;
      node.expressions.push_back(reader_.ReadTuple());
      EndStatement();
    }
    if (ended_with_ == "else") {
      EndStatement();
      node.bodies.push_back(ReadBody({"endif"}));
    }
    EndStatement();
    return node;
  }

  Node ReadFor() {
    Node node = MakeNode(Node::Kind::kFor);
    do {
      node.names.push_back(reader_.ReadName("the name of a loop's variable"));
    } while (reader_.TakeSign(","));
    if (!reader_.TakeWord("in")) reader_.FailHere(reader_.Unexpected() + "; in is wanted");
    node.expressions.push_back(reader_.ReadExpression(/*with_condition=*/false));
    node.expressions.push_back(reader_.TakeWord("if") ? reader_.ReadExpression()
                                                      : TemplateExpression{});
    EndStatement();
    ++loops_;
    node.bodies.push_back(ReadBody({"else", "endfor"}));
    --loops_;
    if (ended_with_ == "else") {
      EndStatement();
      node.bodies.push_back(ReadBody({"endfor"}));
    }
    EndStatement();
    return node;
  }

  Node ReadSet() {
    Node node = MakeNode(Node::Kind::kSet);
    node.names.push_back(reader_.ReadName("the name of a variable"));
    if (reader_.TakeSign(".")) node.names.push_back(reader_.ReadName("the name of a member"));
    if (reader_.TakeSign("=")) {
      node.expressions.push_back(reader_.ReadTuple());
      EndStatement();
      return node;
    }
    node.kind = Node::Kind::kSetBody;
    EndStatement();
    node.bodies.push_back(ReadBody({"endset"}));
    EndStatement();
    return node;
  }

  Node ReadMacro() {
    Node node = MakeNode(Node::Kind::kMacro);
    node.names.push_back(reader_.ReadName("the name of a macro"));
    reader_.ExpectSign("(");
    while (!reader_.TakeSign(")")) {
      node.names.push_back(reader_.ReadName("the name of a parameter"));
      node.expressions.push_back(reader_.TakeSign("=") ? reader_.ReadExpression()
                                                       : TemplateExpression{});
      if (reader_.TakeSign(",")) continue;
      reader_.ExpectSign(")");
      break;
    }
    EndStatement();
    const int loops = std::exchange(loops_, 0);
    node.bodies.push_back(ReadBody({"endmacro"}));
    loops_ = loops;
    EndStatement();
    return node;
  }

  TemplateProgram* program_;
  std::string_view text_;
  TemplateReader reader_;
  size_t offset_ = 0;
  size_t tag_ = 0;  // where the last tag begins
  bool strips_next_ = false;
  int depth_ = 0;
  int loops_ = 0;
  std::string ended_with_;
};

}  // namespace

Template::Template() : program_(std::make_shared<TemplateProgram>()) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::Template(const Template&) = default;
Template& Template::operator=(const Template&) = default;
Template::~Template() = default;

Template Template::Parse(std::string_view text, std::string place, const TemplateDialect& dialect) {
  Require(text.size() <= kMaxTemplateLength, ErrorCode::kInvalidArgument,
          "{}: a template of {} bytes; at most {} are read", place, text.size(),
          kMaxTemplateLength);
  Require(FindInvalidUtf8(text) == text.size(), ErrorCode::kInvalidArgument,
          "{}: a template that is not valid UTF-8", place);
  auto program = std::make_shared<TemplateProgram>();
  program->text = NormalizeLineEnds(text);
  if (program->text.ends_with('\n')) program->text.pop_back();
  program->place = std::move(place);
  program->dialect = dialect;
  ProgramReader(program.get()).Read();
  Template result;
  result.program_ = std::move(program);
  return result;
}

Json Template::Evaluate(const Json& record) const {
  const std::vector<TemplateNode>& nodes = program_->nodes;
  const bool is_value = nodes.size() == 1 && nodes[0].kind == TemplateNode::Kind::kOutput;
  return is_value ? EvaluateTemplate(*program_, record) : Json(RunTemplate(*program_, record));
}

std::string Template::Render(const Json& record) const { return RunTemplate(*program_, record); }

}  // namespace blockformer
