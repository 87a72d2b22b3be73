#include "text/json_automaton.h"

#include <algorithm>
#include <utility>

namespace blockformer {
namespace {

using Kind = JsonGrammar::Kind;
using Node = JsonGrammar::Node;
using Frame = JsonAutomaton::Frame;
using Stack = JsonAutomaton::Stack;
using Stacks = JsonAutomaton::Stacks;

constexpr int32_t kMaxWhiteSpace = 20;
constexpr int32_t kMaxDigits = 18;  // an int64_t holds them
constexpr int32_t kMaxExponentDigits = 2;
constexpr size_t kMaxStacks = 32;

// Where reading stands in a frame: what was read last, or what is to come.
enum Phase : int32_t {
  // Of the text as a whole.
  kTextBegins,
  kTextEnds,
  // Of strings, and of names that no schema gives.
  kStringBegins,
  kCharacters,
  kTail1,  // so many more bytes of a character
  kTail2,
  kTail3,
  kTailOfE0,  // the first byte, which limits the second
  kTailOfEd,
  kTailOfF0,
  kTailOfF4,
  kEscape,
  kHex4,  // so many more digits
  kHex3,
  kHex2,
  kHex1,
  kHex3OfD,  // behind \ud, which may begin a surrogate
  kHigh2,    // of a high surrogate
  kHigh1,
  kLowEscape,  // the low one has to follow
  kLowU,
  kLow4,
  kLow3,
  // Of numbers.
  kNumberBegins,
  kMinus,
  kZero,
  kDigits,
  kPoint,
  kFraction,
  kExponent,
  kExponentSign,
  kExponentDigits,
  // Of given texts.
  kTextBytes,
  // Of arrays.
  kArrayBegins,
  kFirstItem,
  kNextItem,
  kBehindItem,
  // Of objects. A member's name is a schema's, or another one.
  kObjectBegins,
  kFirstName,
  kNextName,
  kName,
  kColon,
  kOtherColon,
  kMemberValue,
  kOtherValue,
  kBehindMember,
};

Phase FirstPhase(Kind kind) {
  switch (kind) {
    case Kind::kString:
      return kStringBegins;
    case Kind::kNumber:
    case Kind::kInteger:
      return kNumberBegins;
    case Kind::kText:
      return kTextBytes;
    case Kind::kArray:
      return kArrayBegins;
    case Kind::kObject:
      break;
  }
  return kObjectBegins;
}

bool IsWhiteSpace(uint8_t byte) {
  return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
}
bool IsDigit(uint8_t byte) { return byte >= '0' && byte <= '9'; }
bool IsWithin(uint8_t byte, uint8_t first, uint8_t last) { return byte >= first && byte <= last; }
// The value of a hexadecimal digit, or -1.
int HexValue(uint8_t byte) {
  if (IsDigit(byte)) return byte - '0';
  if (IsWithin(byte, 'a', 'f')) return byte - 'a' + 10;
  return IsWithin(byte, 'A', 'F') ? byte - 'A' + 10 : -1;
}

// The phase behind a byte inside a string, kCharacters where it ends a character; or kNoPhase. Not
// for the closing quote.
constexpr int32_t kNoPhase = -1;

int32_t BeginCharacter(uint8_t byte, bool may_escape) {
  if (byte == '\\') return may_escape ? kEscape : kNoPhase;
  if (byte < 0x20) return kNoPhase;
  if (byte < 0x80) return kCharacters;
  // The Unicode Standard's table 3-7.
  if (IsWithin(byte, 0xC2, 0xDF)) return kTail1;
  if (byte == 0xE0) return kTailOfE0;
  if (byte == 0xED) return kTailOfEd;
  if (IsWithin(byte, 0xE1, 0xEF)) return kTail2;
  if (byte == 0xF0) return kTailOfF0;
  if (IsWithin(byte, 0xF1, 0xF3)) return kTail3;
  return byte == 0xF4 ? kTailOfF4 : kNoPhase;
}

int32_t ContinueUtf8(int32_t phase, uint8_t byte) {
  const auto from_to = [byte](uint8_t first, uint8_t last, int32_t next) {
    return IsWithin(byte, first, last) ? next : kNoPhase;
  };
  switch (phase) {
    case kTail1:
      return from_to(0x80, 0xBF, kCharacters);
    case kTail2:
      return from_to(0x80, 0xBF, kTail1);
    case kTail3:
      return from_to(0x80, 0xBF, kTail2);
    case kTailOfE0:
      return from_to(0xA0, 0xBF, kTail1);
    case kTailOfEd:
      return from_to(0x80, 0x9F, kTail1);
    case kTailOfF0:
      return from_to(0x90, 0xBF, kTail2);
    default:
      return from_to(0x80, 0x8F, kTail2);
  }
}

int32_t ContinueEscape(int32_t phase, uint8_t byte) {
  if (phase == kEscape) {
    if (byte == 'u') return kHex4;
    constexpr std::string_view kOneLetter = "\"\\/bfnrt";
    return kOneLetter.find(static_cast<char>(byte)) != std::string_view::npos ? kCharacters
                                                                              : kNoPhase;
  }
  if (phase == kLowEscape) return byte == '\\' ? kLowU : kNoPhase;
  if (phase == kLowU) return byte == 'u' ? kLow4 : kNoPhase;
  const int value = HexValue(byte);
  if (value < 0) return kNoPhase;
  switch (phase) {
    case kHex4:
      return value == 0xD ? kHex3OfD : kHex3;
    case kHex3OfD:  // \ud8 to \udb begin high surrogates, \udc to \udf low ones
      return value < 0x8 ? kHex2 : value < 0xC ? kHigh2 : kNoPhase;
    case kHex3:
      return kHex2;
    case kHex2:
      return kHex1;
    case kHigh2:
      return kHigh1;
    case kHigh1:
      return kLowEscape;
    case kLow4:
      return value == 0xD ? kLow3 : kNoPhase;
    case kLow3:
      return value >= 0xC ? kHex2 : kNoPhase;
    default:  // kHex1
      return kCharacters;
  }
}

// Reads one byte in a state.
class Step {
 public:
  Step(const JsonGrammar& grammar, uint8_t byte) : grammar_(grammar), byte_(byte) {}

  void Take(Stack stack) {
    const Frame& top = stack.back();
    if (top.node == JsonGrammar::kNone) return TakeAround(std::move(stack));
    if (top.phase <= kLow3) return TakeInString(std::move(stack));
    if (top.phase <= kExponentDigits) return TakeInNumber(std::move(stack));
    if (top.phase == kTextBytes) return TakeInText(std::move(stack));
    if (top.phase <= kBehindItem) return TakeInArray(std::move(stack));
    TakeInObject(std::move(stack));
  }

  // Where the byte has led.
  Stacks Result() {
    std::ranges::sort(result_);
    const auto rest = std::ranges::unique(result_);
    result_.erase(rest.begin(), rest.end());
    if (result_.size() > kMaxStacks) result_.resize(kMaxStacks);
    return std::move(result_);
  }

 private:
  const Node& NodeOf(const Frame& frame) const { return grammar_.nodes[frame.node]; }
  // Arrays and objects that are open, where the innermost frame is one.
  static int32_t LevelsOf(const Stack& stack) { return static_cast<int32_t>(stack.size()) - 1; }
  bool Fits(int32_t value, int32_t levels) const {
    return grammar_.Levels(value) <= JsonGrammar::kMaxLevels - levels;
  }

  void Keep(Stack stack) { result_.push_back(std::move(stack)); }
  void Enter(Stack stack, int32_t phase) {
    stack.back().phase = phase;
    stack.back().place = 0;
    Keep(std::move(stack));
  }
  // The innermost value ends with the byte.
  void EndValue(Stack stack) {
    stack.pop_back();
    Keep(std::move(stack));
  }
  // The innermost value has ended before the byte.
  void TakeBehindValue(Stack stack) {
    stack.pop_back();
    Take(std::move(stack));
  }
  // The byte is the first of a value, behind which the innermost frame goes on.
  void BeginValue(Stack stack, int32_t value, int32_t phase_behind) {
    stack.back().phase = phase_behind;
    stack.back().place = 0;
    const int32_t levels = LevelsOf(stack);
    for (const int32_t node : grammar_.values[value]) {
      if (grammar_.nodes[node].levels > JsonGrammar::kMaxLevels - levels) continue;
      Stack inner = stack;
      inner.push_back({node, FirstPhase(grammar_.nodes[node].kind)});
      Take(std::move(inner));
    }
  }
  // Takes the byte if it is white space.
  bool TakeWhiteSpace(const Stack& stack) {
    if (!IsWhiteSpace(byte_)) return false;
    if (stack.back().place < kMaxWhiteSpace) {
      Keep(stack);
      ++result_.back().back().place;
    }
    return true;
  }

  void TakeAround(Stack stack) {
    if (stack.back().phase == kTextEnds || TakeWhiteSpace(stack)) return;
    BeginValue(std::move(stack), grammar_.root, kTextEnds);
  }

  void TakeInString(Stack stack) {
    Frame& top = stack.back();
    const Node& node = NodeOf(top);
    if (top.phase == kStringBegins) {
      if (byte_ == '"') Enter(std::move(stack), kCharacters);
      return;
    }
    const bool is_name = node.kind == Kind::kObject;
    if (top.phase == kCharacters && byte_ == '"') {
      if (is_name ? IsOtherName(top, node) : top.count >= node.min) EndValue(std::move(stack));
      return;
    }
    int32_t phase = kNoPhase;
    if (top.phase == kCharacters) {
      // A name could be one of the members', written in another way.
      const bool may_escape = !is_name || node.members.empty();
      if (top.count < node.max) phase = BeginCharacter(byte_, may_escape);
    } else {
      phase =
          top.phase < kEscape ? ContinueUtf8(top.phase, byte_) : ContinueEscape(top.phase, byte_);
    }
    if (phase == kNoPhase) return;
    top.phase = phase;
    if (phase == kCharacters) CountUpTo(node, &top);
    if (is_name && top.place != ByteTree::kNone) top.place = node.texts.Child(top.place, byte_);
    Keep(std::move(stack));
  }

  // Whether a name that ends here is none of the members'.
  static bool IsOtherName(const Frame& frame, const Node& node) {
    if (frame.place == ByteTree::kNone) return true;
    const int32_t end = node.texts.Child(frame.place, '"');
    return end == ByteTree::kNone || node.texts.TextAt(end) == ByteTree::kNone;
  }

  // Counts one more, as far as it matters.
  static void CountUpTo(const Node& node, Frame* frame) {
    const int64_t most = node.max == JsonGrammar::kUnlimited ? node.min : node.max;
    if (frame->count < most) ++frame->count;
  }

  static bool MayEndNumber(int32_t phase) {
    return phase == kZero || phase == kDigits || phase == kFraction || phase == kExponentDigits;
  }

  void TakeInNumber(Stack stack) {
    Frame& top = stack.back();
    const int32_t phase = NumberPhase(top, NodeOf(top).kind == Kind::kInteger);
    if (phase == kNoPhase) {
      if (MayEndNumber(top.phase)) TakeBehindValue(std::move(stack));
      return;
    }
    top.count = phase == top.phase ? top.count + 1 : 1;
    top.phase = phase;
    Keep(std::move(stack));
  }

  int32_t NumberPhase(const Frame& top, bool is_integer) const {
    const bool is_digit = IsDigit(byte_);
    switch (top.phase) {
      case kNumberBegins:
        if (byte_ == '-') return kMinus;
        [[fallthrough]];
      case kMinus:
        if (byte_ == '0') return kZero;
        return is_digit ? kDigits : kNoPhase;
      case kDigits:
        if (is_digit) return top.count < kMaxDigits ? kDigits : kNoPhase;
        [[fallthrough]];
      case kZero:
        if (is_integer) return kNoPhase;
        if (byte_ == '.') return kPoint;
        return byte_ == 'e' || byte_ == 'E' ? kExponent : kNoPhase;
      case kPoint:
        return is_digit ? kFraction : kNoPhase;
      case kFraction:
        if (is_digit) return top.count < kMaxDigits ? kFraction : kNoPhase;
        return byte_ == 'e' || byte_ == 'E' ? kExponent : kNoPhase;
      case kExponent:
        if (byte_ == '+' || byte_ == '-') return kExponentSign;
        [[fallthrough]];
      case kExponentSign:
        return is_digit ? kExponentDigits : kNoPhase;
      default:
        return is_digit && top.count < kMaxExponentDigits ? kExponentDigits : kNoPhase;
    }
  }

  void TakeInText(Stack stack) {
    Frame& top = stack.back();
    const ByteTree& texts = NodeOf(top).texts;
    const int32_t child = texts.Child(top.place, byte_);
    if (child == ByteTree::kNone) {
      if (texts.TextAt(top.place) != ByteTree::kNone) TakeBehindValue(std::move(stack));
      return;
    }
    top.place = child;
    if (texts.HasChildren(child)) return Keep(std::move(stack));
    EndValue(std::move(stack));
  }

  void TakeInArray(Stack stack) {
    const Frame& top = stack.back();
    const Node& node = NodeOf(top);
    const bool may_add = top.count < node.max && Fits(node.items, LevelsOf(stack));
    if (top.phase == kArrayBegins) {
      if (byte_ == '[') Enter(std::move(stack), kFirstItem);
      return;
    }
    if (TakeWhiteSpace(stack)) return;
    if (byte_ == ']' && top.phase != kNextItem) {
      if (top.count >= node.min) EndValue(std::move(stack));
    } else if (top.phase == kBehindItem) {
      if (byte_ == ',' && may_add) Enter(std::move(stack), kNextItem);
    } else if (may_add) {
      CountUpTo(node, &stack.back());
      BeginValue(std::move(stack), node.items, kBehindItem);
    }
  }

  // In an object, `count` members of the schema's are past, written or left out.
  bool MayEndObject(const Frame& top, const Node& node) const {
    return node.required[top.count] == std::ssize(node.members);
  }
  bool MayBeOther(const Frame& top, const Node& node, int32_t levels) const {
    return MayEndObject(top, node) && node.other_members != JsonGrammar::kNone &&
           Fits(node.other_members, levels);
  }
  // Whether one of the members that may come next is among the texts from `place` on.
  bool MayBeMember(const Frame& top, const Node& node, int32_t place, int32_t levels) const {
    const std::vector<int32_t>& members = node.texts.TextsFrom(place);
    const int32_t last = node.required[top.count];
    for (auto member = std::ranges::lower_bound(members, top.count);
         member != members.end() && *member <= last; ++member) {
      if (Fits(node.members[*member].value, levels)) return true;
    }
    return false;
  }

  void TakeInObject(Stack stack) {
    const Frame& top = stack.back();
    const Node& node = NodeOf(top);
    const int32_t levels = LevelsOf(stack);
    switch (top.phase) {
      case kObjectBegins:
        if (byte_ == '{') Enter(std::move(stack), kFirstName);
        return;
      case kName:
        return TakeInName(std::move(stack));
      case kColon:
      case kOtherColon:
        if (byte_ == ':') {
          const bool is_other = top.phase == kOtherColon;
          Enter(std::move(stack), is_other ? kOtherValue : kMemberValue);
        }
        return;
      default:
        break;
    }
    if (TakeWhiteSpace(stack)) return;
    if (byte_ == '}' && (top.phase == kFirstName || top.phase == kBehindMember)) {
      if (MayEndObject(top, node)) EndValue(std::move(stack));
    } else if (top.phase == kMemberValue) {
      const int32_t value = node.members[top.count - 1].value;
      BeginValue(std::move(stack), value, kBehindMember);
    } else if (top.phase == kOtherValue) {
      BeginValue(std::move(stack), node.other_members, kBehindMember);
    } else if (top.phase == kBehindMember) {
      const bool may_add =
          MayBeMember(top, node, ByteTree::kRoot, levels) || MayBeOther(top, node, levels);
      if (byte_ == ',' && may_add) Enter(std::move(stack), kNextName);
    } else if (byte_ == '"') {
      BeginName(std::move(stack));
    }
  }

  void BeginName(Stack stack) {
    const Node& node = NodeOf(stack.back());
    const int32_t place = node.texts.Child(ByteTree::kRoot, '"');
    if (MayBeOther(stack.back(), node, LevelsOf(stack))) {
      Stack other = stack;
      other.back().phase = kOtherColon;
      other.back().count = static_cast<int32_t>(node.members.size());
      other.back().place = 0;
      other.push_back({stack.back().node, kCharacters, 0, place});
      Keep(std::move(other));
    }
    stack.back().place = ByteTree::kRoot;
    TakeInName(std::move(stack));
  }

  void TakeInName(Stack stack) {
    const Node& node = NodeOf(stack.back());
    const int32_t place = node.texts.Child(stack.back().place, byte_);
    if (place == ByteTree::kNone || !MayBeMember(stack.back(), node, place, LevelsOf(stack)))
      return;
    const int32_t member = node.texts.TextAt(place);
    if (member != ByteTree::kNone) {
      stack.back().count = member + 1;
      return Enter(std::move(stack), kColon);
    }
    stack.back().phase = kName;
    stack.back().place = place;
    Keep(std::move(stack));
  }

  const JsonGrammar& grammar_;
  uint8_t byte_;
  Stacks result_;
};

// Whether the frame is inside a string that is no name, and in no escape.
bool IsInString(const JsonGrammar& grammar, const Frame& frame) {
  return frame.phase >= kCharacters && frame.phase <= kTailOfF4 &&
         grammar.nodes[frame.node].kind == Kind::kString;
}

struct ByteRange {
  int32_t first;
  int32_t last;
};

// The bytes that do the same as this one where IsInString() holds, but for quotes and backslashes.
ByteRange AlikeInStrings(uint8_t byte) {
  constexpr uint8_t kFirst[] = {0x00, 0x20, 0x80, 0x90, 0xA0, 0xC0, 0xC2, 0xE0,
                                0xE1, 0xED, 0xEE, 0xF0, 0xF1, 0xF4, 0xF5};
  if (byte == '"' || byte == '\\') return {byte, byte};
  const auto* next = std::ranges::upper_bound(kFirst, byte);
  return {next[-1], next == std::end(kFirst) ? 0xFF : *next - 1};
}

// The least count behind which the same may follow for so many bytes. In the stacks of one state,
// the frames of one string or array have the same count, so that stacks stay in their order.
int32_t CountFarFromLimits(const Node& node, int32_t count, int64_t bytes) {
  if (node.kind != Kind::kString && node.kind != Kind::kArray) return count;
  if (count + bytes < node.min) return 0;
  const bool is_far = count >= node.min && count <= node.max - bytes;
  return is_far ? static_cast<int32_t>(node.min) : count;
}

// Whether the text may end here: nothing is open but a number or a text that may end.
bool MayEndText(const JsonGrammar& grammar, const Stack& stack) {
  if (stack.front().phase != kTextEnds || stack.size() > 2) return false;
  if (stack.size() == 1) return true;
  const Frame& top = stack.back();
  switch (top.phase) {
    case kZero:
    case kDigits:
    case kFraction:
    case kExponentDigits:
      return true;
    case kTextBytes:
      return grammar.nodes[top.node].texts.TextAt(top.place) != ByteTree::kNone;
    default:
      return false;
  }
}

}  // namespace

JsonAutomaton::JsonAutomaton(std::shared_ptr<const JsonGrammar> grammar)
    : grammar_(std::move(grammar)) {
  StateOf({{Frame{}}});
}

int32_t JsonAutomaton::StateOf(Stacks stacks) {
  const auto [found, is_new] =
      numbers_.emplace(std::move(stacks), static_cast<int32_t>(states_.size()));
  if (!is_new) return found->second;
  State& state = states_.emplace_back();
  state.stacks = &found->first;
  state.next.fill(kUnknown);
  num_bytes_ += static_cast<int64_t>(sizeof(State) + sizeof(*found));
  for (const Stack& stack : *state.stacks) {
    state.is_complete |= MayEndText(*grammar_, stack);
    num_bytes_ += static_cast<int64_t>(sizeof(Stack) + stack.capacity() * sizeof(Frame));
  }
  return found->second;
}

int32_t JsonAutomaton::FindNext(int32_t state, uint8_t byte) {
  Step step(*grammar_, byte);
  const Stacks& from = StacksOf(state);
  for (const Stack& stack : from) step.Take(stack);
  Stacks stacks = step.Result();
  const int32_t next = stacks.empty() ? kNoState : StateOf(std::move(stacks));
  states_[state].next[byte] = next;
  const bool in_strings = std::ranges::all_of(
      from, [this](const Stack& stack) { return IsInString(*grammar_, stack.back()); });
  if (!in_strings) return next;
  const ByteRange alike = AlikeInStrings(byte);
  for (int32_t other = alike.first; other <= alike.last; ++other) {
    if (other != '"' && other != '\\') states_[state].next[other] = next;
  }
  return next;
}

int32_t JsonAutomaton::StateFarFromLimits(int32_t state, int64_t bytes) {
  Stacks stacks = StacksOf(state);
  for (Stack& stack : stacks) {
    for (Frame& frame : stack) {
      if (frame.node == JsonGrammar::kNone) continue;
      frame.count = CountFarFromLimits(grammar_->nodes[frame.node], frame.count, bytes);
    }
  }
  return StateOf(std::move(stacks));
}

int32_t JsonAutomaton::Next(int32_t state, std::string_view bytes) {
  for (const char byte : bytes) {
    if (state == kNoState) break;
    state = Next(state, static_cast<uint8_t>(byte));
  }
  return state;
}

}  // namespace blockformer
