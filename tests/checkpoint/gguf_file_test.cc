#include "checkpoint/gguf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "base/error.h"
#include "tests/checkpoint/gguf_writer.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class GgufFileTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/gguf-file-" + std::to_string(getpid()) + ".gguf";
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string ErrorOf(const std::string& bytes) const {
    GgufWriter::WriteBytes(path_, bytes);
    try {
      const GgufFile file(path_);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(path_));
      return error.what();
    }
    return "no error";
  }

  static GgufWriter Small() {
    GgufWriter writer;
    writer.AddText("general.architecture", "llama");
    writer.AddUint("llama.block_count", 3);
    writer.AddFloat("llama.rope.freq_base", 0.5);
    writer.AddBool("tokenizer.ggml.add_bos_token", true);
    writer.AddTexts("tokenizer.ggml.tokens", {"a", "\xC4\xA0"});
    writer.AddNumbers<int32_t>("tokenizer.ggml.token_type", 5, {1, -1});
    writer.AddTensor("one", 0, {2, 3}, std::string(24, 'x'));
    writer.AddTensor("two", 2, {2, 1, 64}, std::string(72, 'y'));
    return writer;
  }

  std::string path_;
};

TEST_F(GgufFileTest, ReadsKeysAndTensorsOfBothVersions) {
  for (const uint32_t version : {2, 3}) {
    GgufWriter writer = Small();
    writer.version = version;
    writer.Write(path_);
    EXPECT_TRUE(GgufFile::IsGguf(path_));
    const GgufFile file(path_);
    EXPECT_EQ(file.metadata(), Json::parse(R"({"general.architecture": "llama",
        "llama.block_count": 3, "llama.rope.freq_base": 0.5, "tokenizer.ggml.add_bos_token": true,
        "tokenizer.ggml.tokens": ["a", "Ġ"], "tokenizer.ggml.token_type": [1, -1]})"));
    ASSERT_EQ(file.tensors().size(), 2);
    const GgufTensor& one = file.tensors().at("one");
    EXPECT_EQ(one.type->plain, DataType::kF32);
    EXPECT_EQ(one.shape, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(one.bytes.size(), 24);
    EXPECT_EQ(static_cast<char>(one.bytes.back()), 'x');
    const GgufTensor& two = file.tensors().at("two");
    EXPECT_STREQ(two.type->name, "Q4_0");
    EXPECT_EQ(two.shape, (std::vector<int64_t>{2, 1, 64}));
    EXPECT_EQ(two.NumElements(), 128);
    EXPECT_EQ(static_cast<char>(two.bytes.front()), 'y');
  }
}

TEST_F(GgufFileTest, ReadsEveryTypeOfNumber) {
  GgufWriter writer;
  writer.AddRawKey("u8", 0, GgufWriter::Raw<uint8_t>(200));
  writer.AddRawKey("i8", 1, GgufWriter::Raw<int8_t>(-7));
  writer.AddRawKey("u16", 2, GgufWriter::Raw<uint16_t>(60000));
  writer.AddRawKey("i16", 3, GgufWriter::Raw<int16_t>(-300));
  writer.AddRawKey("i32", 5, GgufWriter::Raw<int32_t>(-70000));
  writer.AddRawKey("u64", 10, GgufWriter::Raw<uint64_t>(UINT64_MAX));
  writer.AddRawKey("i64", 11, GgufWriter::Raw<int64_t>(INT64_MIN));
  writer.AddRawKey("f64", 12, GgufWriter::Raw<double>(1e300));
  writer.Write(path_);
  const Json expected = {{"u8", 200},     {"i8", -7},          {"u16", 60000},     {"i16", -300},
                         {"i32", -70000}, {"u64", UINT64_MAX}, {"i64", INT64_MIN}, {"f64", 1e300}};
  EXPECT_EQ(GgufFile(path_).metadata(), expected);
}

TEST_F(GgufFileTest, ObeysTheAlignment) {
  GgufWriter writer;
  writer.alignment = 128;
  writer.AddUint("general.alignment", 128);
  writer.AddTensor("one", 0, {1}, "abcd");
  writer.AddTensor("two", 0, {1}, "efgh");
  writer.Write(path_);
  const GgufFile file(path_);
  EXPECT_EQ(static_cast<char>(file.tensors().at("two").bytes[0]), 'e');
}

TEST_F(GgufFileTest, RefusesFilesThatAreCutAtAnyByte) {
  const std::string bytes = Small().Bytes();
  // What fills the data up to the alignment behind the last tensor may be missing.
  const size_t whole = bytes.size() - (128 - 72) % 32;
  for (size_t size = 0; size < whole; ++size) {
    EXPECT_NE(ErrorOf(bytes.substr(0, size)), "no error") << size;
  }
  EXPECT_EQ(ErrorOf(bytes.substr(0, whole)), "no error");
}

TEST_F(GgufFileTest, RefusesWhatCannotBe) {
  const auto raw = [](auto value) { return GgufWriter::Raw(value); };
  const std::string text = GgufWriter::RawText("key");
  struct Case {
    const char* message;
    std::function<void(GgufWriter*)> change;
  };
  const Case cases[] = {
      {"is no GGUF file", [](GgufWriter* w) { w->magic = "GGML"; }},
      {"version 1 of GGUF is not supported; 2 and 3 are", [](GgufWriter* w) { w->version = 1; }},
      {"version 4 of GGUF", [](GgufWriter* w) { w->version = 4; }},
      {"big-endian", [](GgufWriter* w) { w->version = 0x03000000; }},
      {"a key: is empty", [](GgufWriter* w) { w->AddUint("", 1); }},
      {"a: stands twice",
       [](GgufWriter* w) {
         w->AddUint("a", 1);
         w->AddUint("a", 1);
       }},
      {"a: byte 1 of the text is not valid UTF-8", [](GgufWriter* w) { w->AddText("a", "b\xFF"); }},
      {"a: there is no type 13", [&](GgufWriter* w) { w->AddRawKey("a", 13, raw(uint64_t{0})); }},
      {"a: 2 is no boolean", [&](GgufWriter* w) { w->AddRawKey("a", 7, raw(uint8_t{2})); }},
      {"a: a text of 18446744073709551615 bytes is not possible",
       [&](GgufWriter* w) { w->AddRawKey("a", 8, raw(UINT64_MAX)); }},
      {"a: lists of lists",
       [&](GgufWriter* w) { w->AddRawKey("a", 9, raw(uint32_t{9}) + raw(uint64_t{0})); }},
      {"a: 1152921504606846976 do not fit",
       [&](GgufWriter* w) { w->AddRawKey("a", 9, raw(uint32_t{4}) + raw(uint64_t{1} << 60)); }},
      {"general.alignment: 48 is no power of two",
       [](GgufWriter* w) { w->AddUint("general.alignment", 48); }},
      {"general.alignment: 0 is not possible",
       [](GgufWriter* w) { w->AddUint("general.alignment", 0); }},
      {"general.alignment: \"many\" is not possible",
       [](GgufWriter* w) { w->AddText("general.alignment", "many"); }},
      {"tensor one: stands twice",
       [](GgufWriter* w) {
         w->AddTensor("one", 0, {1}, "abcd");
         w->AddTensor("one", 0, {1}, "abcd");
       }},
      {"tensor one: 0 dimensions", [](GgufWriter* w) { w->AddTensorAt("one", 0, {}, 0); }},
      {"tensor one: 5 dimensions",
       [](GgufWriter* w) {
         w->AddTensorAt("one", 0, {1, 1, 1, 1, 1}, 0);
       }},
      {"tensor one: a dimension of 0", [](GgufWriter* w) { w->AddTensorAt("one", 0, {0}, 0); }},
      {"tensor one: a dimension of 18446744073709551615",
       [](GgufWriter* w) { w->AddTensorAt("one", 0, {-1}, 0); }},
      {"tensor one: a dimension of 4294967296",
       [](GgufWriter* w) {
         w->AddTensorAt("one", 0, {int64_t{1} << 32, int64_t{1} << 32, 1}, 0);
       }},
      {"is too large", [](GgufWriter* w) { w->AddTensorAt("one", 0, {INT64_MAX}, 0); }},
      {"tensor one: type 10, Q2_K, is not supported; one of F32, F16, Q4_0",
       [](GgufWriter* w) { w->AddTensorAt("one", 10, {256}, 0); }},
      {"tensor one: type 77, which has no name",
       [](GgufWriter* w) { w->AddTensorAt("one", 77, {256}, 0); }},
      {"tensor one: rows of 33 are not possible; those of Q8_0 are multiples of 32",
       [](GgufWriter* w) {
         w->AddTensorAt("one", 8, {2, 33}, 0);
       }},
      {"tensor one: offset 8 is no multiple of the alignment 32",
       [](GgufWriter* w) { w->AddTensorAt("one", 0, {1}, 8); }},
      {"tensor one: bytes 0 to 4 of the data are beyond its end at 0",
       [](GgufWriter* w) { w->AddTensorAt("one", 0, {1}, 0); }},
      {"tensor one: bytes 18446744073709551584 to",
       [](GgufWriter* w) { w->AddTensorAt("one", 0, {1}, UINT64_MAX - 31); }},
      {"tensor two: overlaps one",
       [](GgufWriter* w) {
         w->AddTensor("one", 0, {9}, std::string(36, 'x'));
         w->AddTensorAt("two", 0, {1}, 32);
       }},
  };
  for (const Case& one : cases) {
    GgufWriter writer;
    one.change(&writer);
    EXPECT_THAT(ErrorOf(writer.Bytes()), HasSubstr(one.message));
  }
}

TEST_F(GgufFileTest, RefusesCountsThatTheFileCannotHold) {
  const std::string rest(200, '\0');
  EXPECT_THAT(ErrorOf(GgufWriter().Head(UINT64_MAX, 0) + rest), HasSubstr("number of tensors"));
  EXPECT_THAT(ErrorOf(GgufWriter().Head(0, UINT64_MAX) + rest), HasSubstr("number of keys"));
  EXPECT_THAT(ErrorOf(GgufWriter().Head(0, 50) + rest), HasSubstr("number of keys: 50 do not fit"));
}

TEST_F(GgufFileTest, RefusesListsThatTakeMuchMoreMemoryThanTheFile) {
  GgufWriter writer;
  writer.AddNumbers<uint8_t>("a", 0, std::vector<uint8_t>((1 << 23) - 1));
  writer.AddNumbers<uint8_t>("b", 0, {1, 2});
  EXPECT_THAT(ErrorOf(writer.Bytes()), HasSubstr("b: a list of 2 elements is too long"));
}

TEST_F(GgufFileTest, AnotherFileIsNoGgufFile) {
  GgufWriter::WriteBytes(path_, "GGU");
  EXPECT_FALSE(GgufFile::IsGguf(path_));
  EXPECT_FALSE(GgufFile::IsGguf(testing::TempDir()));
  EXPECT_FALSE(GgufFile::IsGguf(path_ + ".not-there"));
}

// Blocks of random bytes, and what Python's gguf 0.19.0 makes of them.
TEST(GgmlType, DequantizesAsPythonsPackageDoes) {
  const Json cases = ReadJsonFile("tests/checkpoint/data/ggml_blocks.json");
  EXPECT_EQ(cases.size(), 8);
  for (const Json& one : cases) {
    const GgmlType& type = GgmlTypeOf(one["id"].get<uint32_t>(), "test");
    EXPECT_EQ(type.name, one["type"].get<std::string>());
    const auto hex = one["blocks"].get<std::string>();
    std::vector<std::byte> bytes;
    for (size_t i = 0; i < hex.size(); i += 2) {
      bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    ASSERT_EQ(bytes.size(), static_cast<size_t>(2 * type.block_bytes));
    const auto expected = one["values"].get<std::vector<float>>();
    std::vector<float> values(2 * type.block_elements);
    Dequantize(type, bytes, values);
    EXPECT_EQ(values, expected) << type.name;
  }
}

}  // namespace
}  // namespace blockformer
