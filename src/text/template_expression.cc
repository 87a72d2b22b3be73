#include "text/template_expression.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "base/error.h"
#include "text/python_text.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr int kMaxDepth = 32;

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

// Recursive descent, straight from the text: a token is at most a name, a number or a string.
class Parser {
 public:
  Parser(std::string_view text, const std::string& place, size_t offset)
      : text_(text), place_(place), offset_(offset) {}

  Expression Parse() {
    if (offset_ < text_.size() && (text_[offset_] == '-' || text_[offset_] == '+')) {
      FailHere(
          fmt::format("\"{{{{{}\" is not read; white space is kept as it stands", text_[offset_]));
    }
    Expression expression = ParseSum();
    if (!Take('}')) FailHere(Unexpected() + "; }} ends an expression");
    // The two may not be apart.
    if (offset_ == text_.size() || text_[offset_] != '}') FailHere("}} ends an expression, not }");
    ++offset_;
    return expression;
  }

  size_t offset() const { return offset_; }

 private:
  [[noreturn]] void FailAt(size_t offset, const std::string& problem) const {
    FailInTemplate(text_, place_, offset, problem);
  }
  [[noreturn]] void FailHere(const std::string& problem) const { FailAt(offset_, problem); }

  std::string Unexpected() const {
    if (offset_ == text_.size()) return "the template ends within an expression";
    size_t end = offset_;
    while (end < text_.size() && IsNameCharacter(text_[end])) ++end;
    if (end == offset_) NextCodePoint(text_, &end);
    return fmt::format("\"{}\" is not expected here", text_.substr(offset_, end - offset_));
  }

  // The next character after blanks; 0 at the end.
  char Peek() {
    while (offset_ < text_.size() && IsBlank(text_[offset_])) ++offset_;
    return offset_ < text_.size() ? text_[offset_] : '\0';
  }
  bool Take(char wanted) {
    if (Peek() != wanted) return false;
    ++offset_;
    return true;
  }
  void Expect(char wanted) {
    if (!Take(wanted)) FailHere(fmt::format("{}; {} is wanted", Unexpected(), wanted));
  }

  std::string TakeName(std::string_view what) {
    Peek();
    const size_t start = offset_;
    while (offset_ < text_.size() && IsNameCharacter(text_[offset_])) ++offset_;
    if (offset_ == start || !IsNameStart(text_[start])) {
      offset_ = start;
      FailHere(fmt::format("{}; {} is wanted", Unexpected(), what));
    }
    return std::string(text_.substr(start, offset_ - start));
  }

  Expression ParseSum() {
    if (++depth_ > kMaxDepth) {
      FailHere(fmt::format("nested deeper than the {} levels that are read", kMaxDepth));
    }
    Expression sum;
    do {
      sum.terms.push_back(ParseTerm());
    } while (Take('+'));
    --depth_;
    return sum;
  }

  // Expressions with commas between them and maybe after them, up to `close`.
  std::vector<Expression> ParseList(char close) {
    std::vector<Expression> items;
    while (!Take(close)) {
      items.push_back(ParseSum());
      if (Take(',')) continue;
      Expect(close);
      break;
    }
    return items;
  }

  // Something with methods, members and items after it, and then with filters.
  Term ParseTerm() {
    Term term = ParsePrimary();
    while (true) {
      if (Take('.')) {
        term.operations.push_back(ParseMember());
      } else if (Take('[')) {
        term.operations.push_back(ParseItem());
      } else {
        break;
      }
    }
    while (Take('|')) term.operations.push_back(ParseFilter());
    return term;
  }

  Term ParsePrimary() {
    const char next = Peek();
    Term term;
    term.offset = offset_;
    if (next == '\'' || next == '"') {
      term.literal = ParseString();
    } else if (next == '-' || IsDigit(next)) {
      term.literal = ParseInteger();
    } else if (Take('[')) {
      term.kind = Term::Kind::kList;
      term.items = ParseList(']');
    } else if (Take('(')) {
      term.kind = Term::Kind::kGroup;
      term.items.push_back(ParseSum());
      Expect(')');
    } else {
      term.kind = Term::Kind::kField;
      term.name = TakeName("a field, a string, an integer, a list or (");
    }
    return term;
  }

  int64_t ParseInteger() {
    const char* start = text_.data() + offset_;
    int64_t value = 0;
    const auto [end, error] = std::from_chars(start, text_.data() + text_.size(), value);
    if (error == std::errc::invalid_argument) FailHere("\"-\" is only read before digits");
    if (error == std::errc::result_out_of_range) FailHere("the integer is too large");
    offset_ += static_cast<size_t>(end - start);
    return value;
  }

  std::string ParseString() {
    const size_t start = offset_;
    const char quote = text_[offset_++];
    std::string value;
    while (true) {
      const size_t end = text_.find_first_of(quote == '"' ? "\"\\" : "'\\", offset_);
      if (end == std::string_view::npos) FailAt(start, "the string does not end");
      value.append(text_.substr(offset_, end - offset_));
      offset_ = end + 1;
      if (text_[end] == quote) return value;
      ParseEscape(&value);
    }
  }

  // What follows a backslash.
  void ParseEscape(std::string* value) {
    constexpr std::string_view kEscapes = "\\'\"ntrbfva";
    constexpr std::string_view kCharacters = "\\'\"\n\t\r\b\f\v\a";
    const size_t start = offset_ - 1;
    const char letter = offset_ < text_.size() ? text_[offset_++] : '\0';
    const size_t found = kEscapes.find(letter);
    if (found != std::string_view::npos) {
      value->push_back(kCharacters[found]);
    } else if (letter == 'x' || letter == 'u' || letter == 'U') {
      const size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
      AppendUtf8(ParseHexadecimal(start, digits), value);
    } else {
      FailAt(start,
             "not a known escape; known are \\\\ \\' \\\" \\n \\t \\r \\b \\f \\v \\a \\xHH "
             "\\uHHHH \\UHHHHHHHH");
    }
  }

  char32_t ParseHexadecimal(size_t start, size_t digits) {
    const std::string_view number = text_.substr(offset_, digits);
    uint32_t value = 0;
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), value, 16);
    const bool whole = number.size() == digits && end == number.data() + digits;
    if (!whole || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      FailAt(start,
             fmt::format("not a character; {} hexadecimal digits of one are wanted", digits));
    }
    offset_ += digits;
    return value;
  }

  // After ".".
  Operation ParseMember() {
    Operation operation;
    operation.name = TakeName("a name");
    operation.offset = offset_ - operation.name.size();
    if (!Take('(')) return operation;
    return MakeCall(operation.offset, operation.name, "method", TemplateMethods(), ParseList(')'));
  }

  // After "|".
  Operation ParseFilter() {
    const std::string name = TakeName("the name of a filter");
    const size_t offset = offset_ - name.size();
    std::vector<Expression> arguments;
    if (Take('(')) arguments = ParseList(')');
    return MakeCall(offset, name, "filter", TemplateFilters(), std::move(arguments));
  }

  Operation MakeCall(size_t offset, const std::string& name, std::string_view kind,
                     std::span<const TemplateFunction> functions,
                     std::vector<Expression> arguments) const {
    const TemplateFunction* function = nullptr;
    for (const TemplateFunction& candidate : functions) {
      if (candidate.name == name) function = &candidate;
    }
    if (function == nullptr) {
      FailAt(offset,
             fmt::format("the {} {} is not known; known are {}", kind, name, NamesOf(functions)));
    }
    if (arguments.size() < function->min_arguments || arguments.size() > function->max_arguments) {
      FailAt(offset, fmt::format("{} has {} arguments; {} to {} are wanted", name, arguments.size(),
                                 function->min_arguments, function->max_arguments));
    }
    Operation call;
    call.kind = Operation::Kind::kCall;
    call.offset = offset;
    call.function = function;
    call.arguments = std::move(arguments);
    return call;
  }

  // After "[".
  Operation ParseItem() {
    Operation operation;
    operation.kind = Operation::Kind::kItem;
    operation.offset = offset_ - 1;
    operation.arguments.push_back(Peek() == ':' ? Expression{} : ParseSum());
    if (Take(':')) {
      operation.kind = Operation::Kind::kSlice;
      operation.arguments.push_back(Peek() == ']' || Peek() == ':' ? Expression{} : ParseSum());
      if (Peek() == ':') FailHere("steps of slices are not read");
    }
    Expect(']');
    return operation;
  }

  std::string_view text_;
  const std::string& place_;
  size_t offset_;
  int depth_ = 0;
};

}  // namespace

Expression ParseExpression(std::string_view text, const std::string& place, size_t* offset) {
  Parser parser(text, place, *offset);
  Expression expression = parser.Parse();
  *offset = parser.offset();
  return expression;
}

void FailInTemplate(std::string_view text, const std::string& place, size_t offset,
                    const std::string& problem) {
  Fail(ErrorCode::kInvalidArgument, "{}: column {}: {}", place,
       CountCharacters(text.substr(0, offset)) + 1, problem);
}

}  // namespace blockformer
