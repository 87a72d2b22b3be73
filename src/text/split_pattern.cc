#include "text/split_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "base/placed_error.h"
#include "config/json.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr size_t kFirstJitStackBytes = size_t{32} << 10;
constexpr size_t kMaxJitStackBytes = size_t{16} << 20;
// The most steps that PCRE2 may take to match at one place of a text. A run of a million spaces
// takes the patterns of known tokenizers up to about a million.
constexpr uint32_t kMaxMatchSteps = 10'000'000;
// Limits of matching without JIT, which takes its memory from the heap.
constexpr uint32_t kMaxHeapKilobytes = uint32_t{64} << 10;
constexpr uint32_t kMaxDepth = 1'000'000;

struct Pcre2Deleter {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

template <typename T>
using Pcre2Pointer = std::unique_ptr<T, Pcre2Deleter>;

std::string ErrorText(int error) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(error, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

// For a message: on one line, and not longer than one.
std::string Quoted(const std::string& pattern) {
  constexpr size_t kMost = 200;  // bytes
  size_t end = std::min(pattern.size(), kMost);
  while (end < pattern.size() && end > 0 && (static_cast<uint8_t>(pattern[end]) & 0xC0) == 0x80) {
    --end;  // a character is not cut
  }
  return ToText(Json(pattern.substr(0, end))) + (end < pattern.size() ? "..." : "");
}

// PCRE2's \s has U+180E besides the property White_Space, which is what the tokenizers mean.
std::string WithUnicodeSpace(const std::string& pattern) {
  std::string result;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      result.push_back(pattern[i]);
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 's' || escaped == 'S') {
      result.append(escaped == 's' ? "\\p{White_Space}" : "\\P{White_Space}");
    } else {
      result.append({'\\', escaped});
    }
  }
  return result;
}

}  // namespace

struct SplitPattern::Compiled {
  std::string source;
  std::string quoted;  // the pattern, for messages
  Pcre2Pointer<pcre2_code> code;
};

struct SplitPattern::Cursor::Matcher {
  const Compiled& compiled;
  Pcre2Pointer<pcre2_match_data> data;
  Pcre2Pointer<pcre2_match_context> context;
  Pcre2Pointer<pcre2_jit_stack> stack;

  explicit Matcher(const Compiled& pattern)
      : compiled(pattern),
        data(pcre2_match_data_create_from_pattern(pattern.code.get(), nullptr)),
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(kFirstJitStackBytes, kMaxJitStackBytes, nullptr)) {
    if (!data || !context || !stack) {
      throw PlacedError(ErrorCode::kExhausted, pattern.source, "no memory to match a pattern");
    }
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
    pcre2_set_match_limit(context.get(), kMaxMatchSteps);
    pcre2_set_heap_limit(context.get(), kMaxHeapKilobytes);
    pcre2_set_depth_limit(context.get(), kMaxDepth);
  }

  // Finds the first match that starts at `begin` or later; false if there is none.
  bool Find(std::string_view text, size_t begin, size_t* match_begin, size_t* match_end) {
    const int result =
        pcre2_match(compiled.code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                    begin, PCRE2_NO_UTF_CHECK, data.get(), context.get());
    if (result == PCRE2_ERROR_NOMATCH) return false;
    if (result < 0) {
      FailPattern(fmt::format("fails at byte {} of a text of {} bytes: {}", begin, text.size(),
                              ErrorText(result)));
    }
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(data.get());
    *match_begin = offsets[0];
    *match_end = offsets[1];
    // \K in a lookaround can put the begin after the end, or the match before `begin`.
    if (*match_begin < begin || *match_end < *match_begin) FailPattern("matches backwards");
    return true;
  }

  [[noreturn]] void FailPattern(const std::string& problem) const {
    throw PlacedError(ErrorCode::kUnsupported, compiled.source,
                      fmt::format("pre_tokenizer: the pattern {} {}", compiled.quoted, problem));
  }
};

SplitPattern::SplitPattern(const std::string& pattern, const std::string& source) {
  const std::string quoted = Quoted(pattern);
  // They could switch off JIT, UTF-8 or a limit; tokenizers' own libraries do not know them.
  Require(!pattern.starts_with("(*"), ErrorCode::kUnsupported,
          "{}: pre_tokenizer: the pattern {} begins with a setting of PCRE2, \"(*\"; a pattern "
          "without is wanted",
          source, quoted);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::string translated = WithUnicodeSpace(pattern);
  Pcre2Pointer<pcre2_code> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
  Require(code != nullptr, ErrorCode::kUnsupported,
          "{}: pre_tokenizer: the pattern {} is not understood: {}", source, quoted,
          ErrorText(error));
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // without it matching is only slower
  compiled_ = std::make_unique<const Compiled>(Compiled{source, quoted, std::move(code)});
}

SplitPattern::SplitPattern(SplitPattern&&) noexcept = default;
SplitPattern& SplitPattern::operator=(SplitPattern&&) noexcept = default;
SplitPattern::~SplitPattern() = default;

SplitPattern::Cursor::Cursor(const SplitPattern& pattern, std::string_view text)
    : matcher_(std::make_unique<Matcher>(*pattern.compiled_)), text_(text) {}

SplitPattern::Cursor::~Cursor() = default;

std::string_view SplitPattern::Cursor::Next() {
  while (position_ < text_.size()) {
    if (match_end_ > position_ || match_begin_ > position_) {
      const size_t end = match_begin_ > position_ ? match_begin_ : match_end_;
      const std::string_view piece = text_.substr(position_, end - position_);
      position_ = end;
      return piece;
    }
    // After an empty match the search goes on behind the next character, not at the same place.
    size_t begin = match_end_;
    if (match_begin_ == match_end_ && searched_) NextCodePoint(text_, &begin);
    searched_ = true;
    if (!matcher_->Find(text_, begin, &match_begin_, &match_end_)) {
      match_begin_ = match_end_ = text_.size();
    }
  }
  return {};
}

std::string Pcre2Version() {
  std::string version(64, '\0');
  const int length = pcre2_config(PCRE2_CONFIG_VERSION, version.data());
  version.resize(length > 0 ? static_cast<size_t>(length) - 1 : 0);  // the length counts the end
  return version;
}

}  // namespace blockformer
