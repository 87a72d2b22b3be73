#include "text/template_expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/placed_error.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr int kMaxExpressionDepth = 32;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
// Letters beyond ASCII are taken as they come.
bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool IsNameCharacter(char c) { return IsNameStart(c) || IsDigit(c); }
bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

std::string NamesOf(std::span<const TemplateFunction> functions) {
  std::string names;
  for (const TemplateFunction& function : functions) {
    names.append(names.empty() ? "" : ", ").append(function.name);
  }
  return names;
}

}  // namespace

void FailInTemplate(std::string_view text, const std::string& place, size_t offset,
                    const std::string& problem) {
  const std::string_view before = text.substr(0, offset);
  const auto line = std::ranges::count(before, '\n') + 1;
  const size_t line_begin = before.rfind('\n') + 1;  // 0 if there is none
  const int64_t column = CountCharacters(before.substr(line_begin)) + 1;
  const std::string where = text.find('\n') == std::string_view::npos
                                ? fmt::format("column {}", column)
                                : fmt::format("line {}, column {}", line, column);
  throw PlacedError(ErrorCode::kInvalidArgument, fmt::format("{}: {}", place, where), problem);
}

std::string TemplateReader::Unexpected() const {
  if (offset_ == text_.size()) return "the template ends within an expression";
  size_t end = offset_;
  while (end < text_.size() && IsNameCharacter(text_[end])) ++end;
  if (end == offset_) NextCodePoint(text_, &end);
  return fmt::format("\"{}\" is not expected here", text_.substr(offset_, end - offset_));
}

// The next character after blanks; 0 at the end.
char TemplateReader::Peek() {
  while (offset_ < text_.size() && IsBlank(text_[offset_])) ++offset_;
  return offset_ < text_.size() ? text_[offset_] : '\0';
}

bool TemplateReader::AtSign(std::string_view sign) {
  Peek();
  return text_.substr(offset_).starts_with(sign);
}

bool TemplateReader::TakeSign(std::string_view sign) {
  if (!AtSign(sign)) return false;
  offset_ += sign.size();
  return true;
}

bool TemplateReader::TakeWord(std::string_view word) {
  if (!AtSign(word)) return false;
  const size_t end = offset_ + word.size();
  if (end < text_.size() && IsNameCharacter(text_[end])) return false;
  offset_ = end;
  return true;
}

void TemplateReader::ExpectSign(std::string_view sign) {
  if (!TakeSign(sign)) FailHere(fmt::format("{}; {} is wanted", Unexpected(), sign));
}

std::string TemplateReader::ReadName(std::string_view what) {
  Peek();
  const size_t start = offset_;
  while (offset_ < text_.size() && IsNameCharacter(text_[offset_])) ++offset_;
  if (offset_ == start || !IsNameStart(text_[start])) {
    offset_ = start;
    FailHere(fmt::format("{}; {} is wanted", Unexpected(), what));
  }
  return std::string(text_.substr(start, offset_ - start));
}

char TemplateReader::ExpectEnd(std::string_view end) {
  const char sign = Peek();
  const bool has_sign = sign == '-' || sign == '+';
  if (!text_.substr(offset_ + (has_sign ? 1 : 0)).starts_with(end)) {
    FailHere(fmt::format("{}; {} ends an expression", Unexpected(), end));
  }
  offset_ += end.size() + (has_sign ? 1 : 0);
  return has_sign ? sign : '\0';
}

bool TemplateReader::AtOperator(std::string_view sign) {
  if (!AtSign(sign)) return false;
  const std::string_view rest = text_.substr(offset_ + sign.size());
  if (sign == "*" && rest.starts_with('*')) return false;
  return !(
      (sign == "-" || sign == "+" || sign == "%") &&
      (rest.starts_with("}}") || rest.starts_with("%}") || (sign == "%" && rest.starts_with('}'))));
}

TemplateExpression TemplateReader::ReadTuple() {
  Expression first = ReadExpression();
  if (!AtSign(",")) return first;
  Expression list;
  list.kind = Expression::Kind::kList;
  list.offset = first.offset;
  list.items.push_back(std::move(first));
  while (TakeSign(",")) {
    if (AtSign("%}") || AtSign("-%}") || AtSign(")")) break;
    list.items.push_back(ReadExpression());
  }
  return list;
}

TemplateExpression TemplateReader::ReadExpression(bool with_condition) {
  if (++depth_ > kMaxExpressionDepth) {
    FailHere(fmt::format("nested deeper than the {} levels that are read", kMaxExpressionDepth));
  }
  Expression value = ReadOr();
  if (with_condition && TakeWord("if")) {
    Expression conditional;
    conditional.kind = Expression::Kind::kConditional;
    conditional.offset = value.offset;
    conditional.items.push_back(std::move(value));
    conditional.items.push_back(ReadOr());
    conditional.items.push_back(TakeWord("else") ? ReadExpression() : Expression{});
    value = std::move(conditional);
  }
  --depth_;
  return value;
}

TemplateExpression TemplateReader::ReadOr() {
  Expression first = ReadAnd();
  if (!TakeWord("or")) return first;
  Expression any;
  any.kind = Expression::Kind::kOr;
  any.offset = first.offset;
  any.items.push_back(std::move(first));
  do {
    any.items.push_back(ReadAnd());
  } while (TakeWord("or"));
  return any;
}

TemplateExpression TemplateReader::ReadAnd() {
  Expression first = ReadNot();
  if (!TakeWord("and")) return first;
  Expression all;
  all.kind = Expression::Kind::kAnd;
  all.offset = first.offset;
  all.items.push_back(std::move(first));
  do {
    all.items.push_back(ReadNot());
  } while (TakeWord("and"));
  return all;
}

TemplateExpression TemplateReader::ReadNot() {
  Peek();
  const size_t start = offset_;
  int count = 0;
  while (TakeWord("not")) ++count;
  Expression value = ReadComparison();
  if (count == 0) return value;
  Expression inverse;
  inverse.kind = Expression::Kind::kNot;
  inverse.offset = start;
  if (count % 2 == 0) {  // not not: the truth value
    Expression inner;
    inner.kind = Expression::Kind::kNot;
    inner.offset = start;
    inner.items.push_back(std::move(value));
    value = std::move(inner);
  }
  inverse.items.push_back(std::move(value));
  return inverse;
}

template <typename ReadSide>
TemplateExpression TemplateReader::ReadChain(std::initializer_list<std::string_view> signs,
                                             ReadSide read_side) {
  Expression value = read_side();
  bool is_chain = false;
  while (true) {
    const auto sign =
        std::ranges::find_if(signs, [&](std::string_view wanted) { return AtOperator(wanted); });
    if (sign == signs.end()) return value;
    Operation operation;
    operation.kind = Operation::Kind::kBinary;
    operation.name = *sign;
    offset_ += sign->size();
    Peek();
    operation.offset = offset_;
    operation.arguments.push_back(read_side());
    if (!std::exchange(is_chain, true)) {
      Expression chain;
      chain.kind = Expression::Kind::kOperations;
      chain.offset = value.offset;
      chain.items.push_back(std::move(value));
      value = std::move(chain);
    }
    value.operations.push_back(std::move(operation));
  }
}

TemplateExpression TemplateReader::ReadComparison() {
  Expression value = ReadSum();
  while (true) {
    Operation operation;
    operation.kind = Operation::Kind::kBinary;
    Peek();
    const size_t start = offset_;
    for (const std::string_view sign : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (operation.name.empty() && TakeSign(sign)) operation.name = sign;
    }
    if (operation.name.empty() && TakeWord("in")) operation.name = "in";
    if (operation.name.empty() && TakeWord("not")) {
      if (TakeWord("in")) {
        operation.name = "not in";
      } else {
        offset_ = start;
      }
    }
    if (operation.name.empty()) return value;
    operation.offset = start;
    operation.arguments.push_back(ReadSum());
    Expression comparison;
    comparison.kind = Expression::Kind::kOperations;
    comparison.offset = value.offset;
    comparison.items.push_back(std::move(value));
    comparison.operations.push_back(std::move(operation));
    value = std::move(comparison);
    if (AtSign("==") || AtSign("!=") || AtSign("<") || AtSign(">")) {
      FailHere("chains of comparisons are not read");
    }
  }
}

TemplateExpression TemplateReader::ReadSum() {
  return ReadChain({"+", "-"}, [this] { return ReadConcatenation(); });
}

TemplateExpression TemplateReader::ReadConcatenation() {
  return ReadChain({"~"}, [this] { return ReadProduct(); });
}

TemplateExpression TemplateReader::ReadProduct() {
  return ReadChain({"*", "//", "/", "%"}, [this] { return ReadUnary(); });
}

// As in Jinja2, filters and tests are applied to what has its sign already.
TemplateExpression TemplateReader::ReadUnary() { return ReadFilters(ReadSigned()); }

TemplateExpression TemplateReader::ReadSigned() {
  Peek();
  const size_t start = offset_;
  if (!AtOperator("-") && !AtOperator("+")) return ReadMembers();
  const bool is_negative = text_[offset_++] == '-';
  if (++depth_ > kMaxExpressionDepth) FailHere("nested too deep");
  Expression value = ReadSigned();
  --depth_;
  if (!is_negative) return value;
  if (value.kind == Expression::Kind::kLiteral && value.literal.is_number()) {
    value.literal = value.literal.is_number_float() ? Json(-value.literal.get<double>())
                                                    : Json(-value.literal.get<int64_t>());
    return value;
  }
  Expression negative;
  negative.kind = Expression::Kind::kNegative;
  negative.offset = start;
  negative.items.push_back(std::move(value));
  return negative;
}

// Something with methods, members, items and calls after it.
TemplateExpression TemplateReader::ReadMembers() {
  Expression value = ReadPrimary();
  std::vector<Operation> operations;
  while (true) {
    if (TakeSign(".")) {
      operations.push_back(ReadMember());
    } else if (TakeSign("[")) {
      operations.push_back(ReadItem());
    } else if (operations.empty() && value.kind == Expression::Kind::kName && AtSign("(")) {
      Operation call;
      call.kind = Operation::Kind::kCall;
      call.offset = value.offset;
      call.name = value.name;
      ++offset_;
      ReadArguments(&call);
      operations.push_back(std::move(call));
    } else {
      return WithOperations(std::move(value), std::move(operations));
    }
  }
}

// What stands before filters and tests, with them.
TemplateExpression TemplateReader::ReadFilters(Expression value) {
  std::vector<Operation> operations;
  while (true) {
    if (TakeSign("|")) {
      operations.push_back(ReadFilter());
    } else if (TakeWord("is")) {
      operations.push_back(ReadTest());
    } else {
      return WithOperations(std::move(value), std::move(operations));
    }
  }
}

TemplateExpression TemplateReader::WithOperations(Expression value,
                                                  std::vector<Operation> operations) {
  if (operations.empty()) return value;
  if (value.kind != Expression::Kind::kOperations) {
    Expression expression;
    expression.kind = Expression::Kind::kOperations;
    expression.offset = value.offset;
    expression.items.push_back(std::move(value));
    value = std::move(expression);
  }
  std::ranges::move(operations, std::back_inserter(value.operations));
  return value;
}

TemplateExpression TemplateReader::ReadPrimary() {
  const char next = Peek();
  Expression value;
  value.offset = offset_;
  value.kind = Expression::Kind::kLiteral;
  if (next == '\'' || next == '"') {
    std::string text = ReadString();
    while (Peek() == '\'' || Peek() == '"') text += ReadString();  // as Python joins them
    value.literal = std::move(text);
  } else if (IsDigit(next)) {
    value.literal = ReadNumber();
  } else if (next == '{') {
    return ReadObject();
  } else if (TakeSign("[")) {
    value.kind = Expression::Kind::kList;
    while (!TakeSign("]")) {
      value.items.push_back(ReadExpression());
      if (TakeSign(",")) continue;
      ExpectSign("]");
      break;
    }
  } else if (TakeSign("(")) {
    value = ReadTuple();
    ExpectSign(")");
  } else {
    value.name = ReadName("a field, a string, an integer, a list or (");
    if (value.name == "true" || value.name == "True") {
      value.literal = true;
    } else if (value.name == "false" || value.name == "False") {
      value.literal = false;
    } else if (value.name == "none" || value.name == "None") {
      value.literal = Json();
    } else {
      value.kind = Expression::Kind::kName;
    }
  }
  return value;
}

TemplateExpression TemplateReader::ReadObject() {
  Expression object;
  object.kind = Expression::Kind::kObject;
  object.offset = offset_;
  ExpectSign("{");
  while (!TakeSign("}")) {
    object.items.push_back(ReadExpression());
    ExpectSign(":");
    object.items.push_back(ReadExpression());
    if (TakeSign(",")) continue;
    ExpectSign("}");
    break;
  }
  return object;
}

Json TemplateReader::ReadNumber() {
  const char* start = text_.data() + offset_;
  const char* limit = text_.data() + text_.size();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(start, limit, value);
  if (error == std::errc::result_out_of_range) FailHere("the integer is too large");
  const bool is_fraction = end + 1 < limit && *end == '.' && IsDigit(end[1]);
  if (!is_fraction) {
    offset_ += static_cast<size_t>(end - start);
    return value;
  }
  double number = 0;
  const auto result = std::from_chars(start, limit, number);
  offset_ += static_cast<size_t>(result.ptr - start);
  return number;
}

std::string TemplateReader::ReadString() {
  const size_t start = offset_;
  const char quote = text_[offset_++];
  std::string value;
  while (true) {
    const size_t end = text_.find_first_of(quote == '"' ? "\"\\" : "'\\", offset_);
    if (end == std::string_view::npos) FailAt(start, "the string does not end");
    value.append(text_.substr(offset_, end - offset_));
    offset_ = end + 1;
    if (text_[end] == quote) return value;
    ReadEscape(&value);
  }
}

// What follows a backslash.
void TemplateReader::ReadEscape(std::string* value) {
  constexpr std::string_view kEscapes = "\\'\"ntrbfva";
  constexpr std::string_view kCharacters = "\\'\"\n\t\r\b\f\v\a";
  const size_t start = offset_ - 1;
  const char letter = offset_ < text_.size() ? text_[offset_++] : '\0';
  const size_t found = kEscapes.find(letter);
  if (found != std::string_view::npos) {
    value->push_back(kCharacters[found]);
  } else if (letter == 'x' || letter == 'u' || letter == 'U') {
    const size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
    AppendUtf8(ReadHexadecimal(start, digits), value);
  } else {
    FailAt(start,
           "not a known escape; known are \\\\ \\' \\\" \\n \\t \\r \\b \\f \\v \\a \\xHH "
           "\\uHHHH \\UHHHHHHHH");
  }
}

char32_t TemplateReader::ReadHexadecimal(size_t start, size_t digits) {
  const std::string_view number = text_.substr(offset_, digits);
  uint32_t value = 0;
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), value, 16);
  const bool whole = number.size() == digits && end == number.data() + digits;
  if (!whole || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
    FailAt(start, fmt::format("not a character; {} hexadecimal digits of one are wanted", digits));
  }
  offset_ += digits;
  return value;
}

// After "(": by position, and then name=value.
void TemplateReader::ReadArguments(Operation* call) {
  while (!TakeSign(")")) {
    Peek();
    const size_t start = offset_;
    size_t end = start;
    while (end < text_.size() && IsNameCharacter(text_[end])) ++end;
    size_t sign = end;
    while (sign < text_.size() && IsBlank(text_[sign])) ++sign;
    const bool is_named = end > start && IsNameStart(text_[start]) && sign + 1 < text_.size() &&
                          text_[sign] == '=' && text_[sign + 1] != '=';
    if (is_named) {
      const std::string name(text_.substr(start, end - start));
      offset_ = sign + 1;
      call->named.push_back({name, ReadExpression()});
    } else {
      if (!call->named.empty()) FailHere("an argument without a name stands behind one with");
      call->arguments.push_back(ReadExpression());
    }
    if (TakeSign(",")) continue;
    ExpectSign(")");
    break;
  }
}

// After ".".
TemplateOperation TemplateReader::ReadMember() {
  Operation operation;
  operation.name = ReadName("a name");
  operation.offset = offset_ - operation.name.size();
  if (!TakeSign("(")) return operation;
  operation.kind = Operation::Kind::kMethod;
  ReadArguments(&operation);
  FindFunction("method", TemplateMethods(), &operation);
  return operation;
}

// After "|".
TemplateOperation TemplateReader::ReadFilter() {
  Operation operation;
  operation.kind = Operation::Kind::kFilter;
  operation.name = ReadName("the name of a filter");
  operation.offset = offset_ - operation.name.size();
  if (TakeSign("(")) ReadArguments(&operation);
  if (!IsTemplateFilterOfItems(operation.name)) {
    for (const TemplateFunction& own : dialect_.filters) {
      if (own.name == operation.name) operation.function = &own;
    }
    if (operation.function == nullptr) FindFunction("filter", TemplateFilters(), &operation);
  }
  return operation;
}

// After "is".
TemplateOperation TemplateReader::ReadTest() {
  Operation operation;
  operation.kind = Operation::Kind::kTest;
  operation.negated = TakeWord("not");
  operation.name = ReadName("the name of a test");
  operation.offset = offset_ - operation.name.size();
  if (!IsTemplateTest(operation.name)) {
    FailAt(operation.offset, fmt::format("the test {} is not known", operation.name));
  }
  if (TakeSign("(")) {
    ReadArguments(&operation);
  } else if (TemplateTestTakesValue(operation.name)) {
    operation.arguments.push_back(ReadSigned());
  }
  return operation;
}

void TemplateReader::FindFunction(std::string_view kind,
                                  std::span<const TemplateFunction> functions,
                                  Operation* call) const {
  for (const TemplateFunction& candidate : functions) {
    if (candidate.name == call->name) call->function = &candidate;
  }
  // A chat template may have parts that are never used.
  if (call->function == nullptr && !dialect_.strict) return;
  if (call->function == nullptr) {
    FailAt(call->offset, fmt::format("the {} {} is not known; known are {}", kind, call->name,
                                     NamesOf(functions)));
  }
  const size_t count = call->arguments.size() + call->named.size();
  if (count < call->function->min_arguments || count > call->function->max_arguments) {
    FailAt(call->offset, fmt::format("{} has {} arguments; {} to {} are wanted", call->name, count,
                                     call->function->min_arguments, call->function->max_arguments));
  }
}

// After "[".
TemplateOperation TemplateReader::ReadItem() {
  Operation operation;
  operation.kind = Operation::Kind::kItem;
  operation.offset = offset_ - 1;
  const auto part = [this] { return AtSign(":") || AtSign("]") ? Expression{} : ReadExpression(); };
  operation.arguments.push_back(AtSign(":") ? Expression{} : ReadExpression());
  if (TakeSign(":")) {
    operation.kind = Operation::Kind::kSlice;
    operation.arguments.push_back(part());
    operation.arguments.push_back(TakeSign(":") ? part() : Expression{});
  }
  ExpectSign("]");
  return operation;
}

}  // namespace blockformer
