#include "eval/needle_prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <iterator>

#include "base/error.h"
#include "base/random.h"
#include "data/corpus.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr size_t kMaxHaystackBytes = size_t{4} << 20;
constexpr int64_t kMaxLength = int64_t{1} << 20;
constexpr int64_t kMaxSamples = 1000;
constexpr int64_t kMaxShift = 8;  // the needle moves by up to one such part of the haystack

// None is part of another's name.
constexpr const char* kCities[] = {
    "Amsterdam", "Athens",   "Baghdad",   "Bangkok",   "Barcelona", "Beijing",  "Berlin",
    "Bogota",    "Boston",   "Brussels",  "Budapest",  "Cairo",     "Chicago",  "Copenhagen",
    "Dakar",     "Dallas",   "Delhi",     "Dublin",    "Geneva",    "Hamburg",  "Havana",
    "Helsinki",  "Istanbul", "Jakarta",   "Karachi",   "Lagos",     "Lima",     "Lisbon",
    "London",    "Madrid",   "Manila",    "Melbourne", "Milan",     "Montreal", "Moscow",
    "Mumbai",    "Nairobi",  "Oslo",      "Paris",     "Prague",    "Rome",     "Santiago",
    "Seattle",   "Seoul",    "Singapore", "Stockholm", "Sydney",    "Tokyo",    "Toronto",
    "Vienna",    "Warsaw",   "Zurich"};

bool IsSpace(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
bool IsLetter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

// Whether a period behind this text belongs to a word such as "Mr" or "J".
bool EndsWithAbbreviation(std::string_view text) {
  constexpr size_t kMaxLetters = 3;
  size_t letters = 0;
  while (letters < text.size() && IsLetter(text[text.size() - 1 - letters])) ++letters;
  return letters >= 1 && letters <= kMaxLetters &&
         std::isupper(static_cast<unsigned char>(text[text.size() - letters])) != 0;
}

bool EndsSentence(std::string_view text) {
  constexpr std::string_view kClosing[] = {"\"", "'", ")", "]", "\u201D", "\u2019", "\u00BB"};
  const auto closes = [&](std::string_view mark) { return text.ends_with(mark); };
  for (const auto* mark = std::ranges::find_if(kClosing, closes); mark != std::end(kClosing);
       mark = std::ranges::find_if(kClosing, closes)) {
    text.remove_suffix(mark->size());
  }
  if (text.ends_with('!') || text.ends_with('?')) return true;
  return text.ends_with('.') && !EndsWithAbbreviation(text.substr(0, text.size() - 1));
}

// Whether a sentence or a paragraph ends before text[offset].
bool IsSentenceEnd(std::string_view text, size_t offset) {
  if (offset == 0 || IsSpace(text[offset - 1]) || !IsSpace(text[offset])) return false;
  return text.substr(offset).starts_with("\n\n") || EndsSentence(text.substr(0, offset));
}

// Where the needle goes into tokens [begin, end) of the haystack.
int64_t PlaceOf(const Haystack& haystack, int64_t begin, int64_t end, double depth) {
  const int64_t wanted = begin + std::llround(depth * static_cast<double>(end - begin));
  const std::vector<int64_t>& ends = haystack.sentence_ends;
  const auto after = std::ranges::lower_bound(ends, wanted);  // is at most `end`
  int64_t nearest = *after;
  if (after != ends.begin() && *std::prev(after) >= begin &&
      wanted - *std::prev(after) < nearest - wanted) {
    nearest = *std::prev(after);
  }
  return std::abs(nearest - wanted) <= (end - begin) / kMaxShift ? nearest : wanted;
}

void CheckOptions(const NeedleOptions& options) {
  Require(!options.lengths.empty(), ErrorCode::kInvalidArgument,
          "`lengths`: is empty; at least one length is wanted");
  for (const int64_t length : options.lengths) {
    Require(length >= 1 && length <= kMaxLength, ErrorCode::kInvalidArgument,
            "`lengths`: {} is out of range; 1 to {} is wanted", length, kMaxLength);
  }
  Require(!options.depths.empty(), ErrorCode::kInvalidArgument,
          "`depths`: is empty; at least one depth is wanted");
  for (const double depth : options.depths) {
    Require(depth >= 0 && depth <= 1, ErrorCode::kInvalidArgument,
            "`depths`: {} is out of range; 0 to 1 is wanted", depth);
  }
  Require(options.samples >= 1 && options.samples <= kMaxSamples, ErrorCode::kInvalidArgument,
          "`samples`: {} is out of range; 1 to {} is wanted", options.samples, kMaxSamples);
}

// Fills in the tokens of a prompt, and where the needle came to lie.
void Assemble(const Tokenizer& tokenizer, const Haystack& haystack, NeedleForm form, Random* random,
              NeedlePrompt* prompt) {
  const std::vector<int32_t> needle =
      tokenizer.Encode(NeedleSentence(prompt->city, prompt->digits));
  const std::vector<int32_t> ending = tokenizer.Encode(NeedleEnding(form, prompt->city));
  const int64_t taken = static_cast<int64_t>(needle.size() + ending.size()) + kNeedleNewTokens;
  const int64_t size = prompt->length - taken;
  Require(size >= 1, ErrorCode::kInvalidArgument,
          "`lengths`: {} is too short, since the needle, the prompt's end and {} new tokens take "
          "{}; more is wanted",
          prompt->length, kNeedleNewTokens, taken);
  const auto first_end = std::ranges::lower_bound(haystack.sentence_ends, size);
  Require(first_end != haystack.sentence_ends.end(), ErrorCode::kInvalidArgument,
          "`data`: the haystack of {} tokens is too short for a length of {}, which needs {}",
          haystack.tokens.size(), prompt->length, size);
  const auto choices = static_cast<uint64_t>(haystack.sentence_ends.end() - first_end);
  const int64_t end = first_end[static_cast<int64_t>(random->Below(choices))];
  const int64_t begin = end - size;
  const int64_t place = PlaceOf(haystack, begin, end, prompt->depth);
  prompt->placed = static_cast<double>(place - begin) / static_cast<double>(size);
  const auto tokens = haystack.tokens.begin();
  prompt->tokens.assign(tokens + begin, tokens + place);
  prompt->tokens.insert(prompt->tokens.end(), needle.begin(), needle.end());
  prompt->tokens.insert(prompt->tokens.end(), tokens + place, tokens + end);
  prompt->tokens.insert(prompt->tokens.end(), ending.begin(), ending.end());
}

}  // namespace

const char* NeedleFormName(NeedleForm form) {
  return form == NeedleForm::kQuestion ? "question" : "continuation";
}

NeedleForm ParseNeedleForm(const std::string& flag, const std::string& name) {
  for (const NeedleForm form : {NeedleForm::kQuestion, NeedleForm::kContinuation}) {
    if (name == NeedleFormName(form)) return form;
  }
  Fail(ErrorCode::kInvalidArgument,
       "{}: \"{}\" is not known; one of question, continuation is wanted", flag, name);
}

std::string ReadHaystack(const std::vector<std::string>& paths, const CorpusOptions& options) {
  CorpusReader reader(paths, options);
  std::string text;
  CorpusRecord record;
  while (text.size() < kMaxHaystackBytes && reader.NextRecord(&record)) {
    const std::string location = record.location;
    std::string document = ExtractText(std::move(record), options).value_or("");  // "" for null
    if (document.empty()) continue;
    if (options.invalid_utf8 == InvalidUtf8::kReplace) document = ReplaceInvalidUtf8(document);
    const size_t invalid = FindInvalidUtf8(document);
    Require(invalid == document.size(), ErrorCode::kCorrupt,
            "{}: the byte at offset {} is not valid UTF-8, which is wanted", location, invalid);
    if (!text.empty()) text += "\n\n";
    text += document;
  }
  if (text.size() <= kMaxHaystackBytes) return text;
  size_t size = kMaxHaystackBytes;
  while ((static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;  // inside a character
  text.resize(size);
  return text;
}

Haystack EncodeHaystack(const Tokenizer& tokenizer, std::string_view text) {
  Haystack haystack;
  haystack.tokens = tokenizer.Encode(text);
  // With the space that some tokenizers put before a text, since the first token's bytes hold it.
  const std::string decoded = tokenizer.DecodeContinuation(haystack.tokens);
  size_t offset = 0;
  for (size_t i = 0; i < haystack.tokens.size(); ++i) {
    if (IsSentenceEnd(decoded, offset)) haystack.sentence_ends.push_back(static_cast<int64_t>(i));
    offset += tokenizer.TokenBytes(haystack.tokens[i]).size();
  }
  haystack.sentence_ends.push_back(static_cast<int64_t>(haystack.tokens.size()));
  return haystack;
}

std::string NeedleSentence(const std::string& city, const std::string& digits) {
  return fmt::format(" The magic number of {} is {}.", city, digits);
}

std::string NeedleEnding(NeedleForm form, const std::string& city) {
  if (form == NeedleForm::kContinuation) return fmt::format(" The magic number of {} is", city);
  return fmt::format(
      "\n\nQuestion: What is the magic number of {0}?\nAnswer: The magic number of {0} is", city);
}

std::vector<NeedlePrompt> MakeNeedlePrompts(const Tokenizer& tokenizer, const Haystack& haystack,
                                            const NeedleOptions& options) {
  constexpr uint64_t kSmallestNumber = 1000000;  // of seven digits
  CheckOptions(options);
  std::vector<NeedlePrompt> prompts;
  for (const double depth : options.depths) {
    for (const int64_t length : options.lengths) {
      const uint64_t cell =
          KeyedBits(options.seed, static_cast<uint64_t>(length), std::bit_cast<uint64_t>(depth));
      const std::vector<int64_t> cities = RandomPermutation(std::size(kCities), cell);
      for (int64_t sample = 0; sample < options.samples; ++sample) {
        Random random(KeyedBits(cell, static_cast<uint64_t>(sample), 0));
        NeedlePrompt prompt;
        prompt.length = length;
        prompt.depth = depth;
        prompt.city = kCities[cities[static_cast<size_t>(sample) % cities.size()]];
        prompt.digits = fmt::to_string(kSmallestNumber + random.Below(9 * kSmallestNumber));
        Assemble(tokenizer, haystack, options.form, &random, &prompt);
        prompts.push_back(std::move(prompt));
      }
    }
  }
  return prompts;
}

}  // namespace blockformer
