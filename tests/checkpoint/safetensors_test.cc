#include "checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

class SafetensorsTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/safetensors-test-" + std::to_string(getpid());
  }
  void TearDown() override { std::remove(path_.c_str()); }

  // Writes a file with this header and as many bytes of data.
  void WriteRaw(const std::string& header, size_t data_bytes) {
    const uint64_t size = header.size();
    std::string contents(sizeof(size), '\0');
    std::memcpy(contents.data(), &size, sizeof(size));
    WriteFileAtomically(path_, contents + header + std::string(data_bytes, '\1'));
  }

  void ExpectError(const std::string& header, size_t data_bytes, const std::string& part) {
    WriteRaw(header, data_bytes);
    ExpectError(part);
  }

  void ExpectError(const std::string& part) {
    try {
      const SafetensorsFile file(path_);
      ADD_FAILURE() << "no error about " << part;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(part));
      EXPECT_THAT(error.what(), HasSubstr(path_));
    }
  }

  std::string path_;
};

TEST_F(SafetensorsTest, WritesAndReads) {
  const std::vector<float> floats = {1.5f, -2.0f, 0.25f, 3.0f, 4.0f, 5.0f};
  const std::vector<int64_t> integers = {1, -2};
  WriteSafetensors(path_,
                   {{"a", {DataType::kF32, {2, 3}, std::as_bytes(std::span(floats))}},
                    {"b", {DataType::kI64, {2}, std::as_bytes(std::span(integers))}},
                    {"none", {DataType::kF32, {0, 4}, {}}}},
                   {{"key", "value"}});
  const SafetensorsFile file(path_);
  EXPECT_EQ(file.metadata().at("key"), "value");
  EXPECT_EQ(file.Get("a").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(ToFloats(file.Get("a"), "a"), floats);
  EXPECT_EQ(ToInt64s(file.Get("b"), "b"), integers);
  EXPECT_EQ(file.Get("none").NumElements(), 0);
  EXPECT_THROW(file.Get("c"), Error);
  EXPECT_THROW(ToFloats(file.Get("b"), "b"), Error);
  EXPECT_THROW(ToInt64s(file.Get("a"), "a"), Error);
}

TEST_F(SafetensorsTest, ConvertsHalfPrecisionExactly) {
  // Bits of one, minus two, the least subnormal, the largest value and infinity.
  const std::vector<uint16_t> half = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x8000};
  const std::vector<uint16_t> bfloat = {0x3f80, 0xc000, 0x0001, 0x7f7f, 0x7f80, 0x8000};
  WriteSafetensors(path_, {{"h", {DataType::kF16, {6}, std::as_bytes(std::span(half))}},
                           {"b", {DataType::kBF16, {6}, std::as_bytes(std::span(bfloat))}}});
  const SafetensorsFile file(path_);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(ToFloats(file.Get("h"), "h"),
            (std::vector<float>{1, -2, std::ldexp(1.0f, -24), 65504, infinity, -0.0f}));
  EXPECT_EQ(ToFloats(file.Get("b"), "b"),
            (std::vector<float>{1, -2, std::ldexp(1.0f, -133), std::ldexp(255.0f, 120), infinity,
                                -0.0f}));
}

TEST_F(SafetensorsTest, RefusesHostileFiles) {
  ExpectError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7, "do not lie in");
  ExpectError(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "needs 12 bytes");
  ExpectError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "do not lie in");
  ExpectError(R"({"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})", 8, "F99");
  ExpectError(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "not a size");
  ExpectError(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]}})", 8,
              "absurdly large");
  ExpectError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 12, "the file holds 12");
  ExpectError(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "a gap");
  ExpectError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                  "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
              12, "overlap");
  ExpectError(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                  "a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
              4, "stands twice");
  ExpectError(R"({"a":{"dtype":"F32","shape":[1]}})", 4, "data_offsets is missing");
  ExpectError(R"({"a":7})", 0, "not an object");
  ExpectError(R"({"__metadata__":{"x":1}})", 0, "not a string");
  ExpectError("[]", 0, "not a JSON object");
  ExpectError("{", 0, "not valid JSON");
}

TEST_F(SafetensorsTest, RefusesEveryTruncation) {
  const std::vector<float> values(16, 1.0f);
  WriteSafetensors(path_, {{"a", {DataType::kF32, {4, 4}, std::as_bytes(std::span(values))}}});
  const std::string whole = ReadFile(path_);
  for (size_t size = 0; size < whole.size(); ++size) {
    WriteFileAtomically(path_, whole.substr(0, size));
    EXPECT_THROW(SafetensorsFile{path_}, Error) << size << " bytes";
  }
}

TEST_F(SafetensorsTest, RefusesAHeaderLargerThanTheFile) {
  WriteFileAtomically(path_, std::string(8, '\xff') + "{}");
  ExpectError("does not fit the file");
}

}  // namespace
}  // namespace blockformer
