#include "text/normalizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/text/random_text.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

std::string Utf8(const std::vector<char32_t>& characters) {
  std::string text;
  for (const char32_t character : characters) AppendUtf8(character, &text);
  return text;
}

std::string Nfc(const std::vector<char32_t>& characters) {
  std::string storage;
  return std::string(NormalizeNfc(Utf8(characters), &storage));
}

TEST(NormalizeNfc, ReturnsSettledTextItself) {
  const std::string text = "Größe, Straße, 你好 \xF0\x9F\x98\x80 Привет";
  std::string storage;
  EXPECT_EQ(NormalizeNfc(text, &storage).data(), text.data());
}

TEST(NormalizeNfc, Composes) {
  EXPECT_EQ(Nfc({'x', 'e', 0x301, 'y'}), Utf8({'x', 0xE9, 'y'}));
  EXPECT_EQ(Nfc({0x1100, 0x1161, 0x11A8}), Utf8({0xAC01}));
  EXPECT_EQ(Nfc({0xAC00, 0x11A8}), Utf8({0xAC01}));
  EXPECT_EQ(Nfc({0x301, 'a'}), Utf8({0x301, 'a'}));  // nothing before it
}

TEST(NormalizeNfc, OrdersMarksByCombiningClass) {
  EXPECT_EQ(Nfc({'q', 0x307, 0x323}), Utf8({'q', 0x323, 0x307}));
  EXPECT_EQ(Nfc({'a', 0x307, 0x323}), Utf8({0x1EA1, 0x307}));
}

TEST(NormalizeNfc, DecomposesWhatDoesNotComposeAgain) {
  EXPECT_EQ(Nfc({0x212B}), Utf8({0xC5}));         // a singleton
  EXPECT_EQ(Nfc({0x958}), Utf8({0x915, 0x93C}));  // excluded from composition
  EXPECT_EQ(Nfc({0x2F800}), Utf8({0x4E3D}));
}

TEST(NormalizeNfc, KeepsToUnicode9) {
  // U+07FD is of Unicode 11; U+0301 before it would come after it by today's combining classes.
  EXPECT_EQ(Nfc({'x', 0x301, 0x7FD}), Utf8({'x', 0x301, 0x7FD}));
  EXPECT_EQ(Nfc({0x11935, 0x11930}), Utf8({0x11935, 0x11930}));
}

TEST(NormalizeNfc, IsIdempotent) {
  Random random(2);
  for (int i = 0; i < 2000; ++i) {
    const std::string text = RandomText(&random, 30);
    std::string once, twice;
    const std::string_view first = NormalizeNfc(text, &once);
    EXPECT_EQ(NormalizeNfc(first, &twice), first);
  }
}

TEST(NormalizeNfc, SortsAMegabyteOfMarksInTime) {
  std::vector<char32_t> marks = {'q'};
  for (int i = 0; i < 250000; ++i) marks.insert(marks.end(), {0x307, 0x323});
  const auto begin = std::chrono::steady_clock::now();
  const std::string text = Nfc(marks);
  EXPECT_EQ(text.size(), 1u + 1000000u);
  EXPECT_EQ(text.substr(1, 4), Utf8({0x323, 0x323}));
  // Quadratic sorting takes minutes.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

}  // namespace
}  // namespace blockformer
