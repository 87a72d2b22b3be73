#include "data/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {
namespace {

using ::testing::HasSubstr;

using Documents = std::vector<std::vector<int32_t>>;

constexpr size_t kHeaderBytes = 34;

class TokenFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = ::testing::TempDir() + "token_file_" + test->name() + "/";
    std::filesystem::remove_all(directory_);
    MakeDirectories(directory_);
    prefix_ = directory_ + "tokens";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Write(const Documents& documents, int32_t vocab_size = 1000) const {
    TokenFileWriter writer(prefix_, vocab_size);
    for (const auto& document : documents) writer.Add(document);
    writer.Commit();
  }

  static Documents ReadAll(const std::string& prefix) {
    const TokenFile tokens(prefix);
    Documents documents;
    for (int64_t i = 0; i < tokens.NumDocuments(); ++i) {
      documents.emplace_back(static_cast<size_t>(tokens.DocumentLength(i)));
      tokens.ReadTokens(i, 0, documents.back());
    }
    return documents;
  }

  // Changes the index or the data of a pair with three documents; returns the message of the error.
  template <typename Change>
  std::string FailureAfter(const std::string& extension, const Change& change) {
    if (index_.empty()) {
      Write({{1, 2, 3}, {}, {4, 5}});
      index_ = ReadFile(prefix_ + ".idx");
      data_ = ReadFile(prefix_ + ".bin");
    }
    std::string index = index_;
    std::string data = data_;
    change(extension == ".idx" ? index : data);
    // Not atomically: syncing hundreds of files takes seconds.
    std::ofstream(prefix_ + ".idx", std::ios::binary) << index;
    std::ofstream(prefix_ + ".bin", std::ios::binary) << data;
    try {
      const TokenFile tokens(prefix_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  template <typename T>
  static void Put(std::string& bytes, size_t offset, T value) {
    std::memcpy(bytes.data() + offset, &value, sizeof(T));
  }

  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string directory_;
  std::string prefix_;
  std::string index_;  // of the pair that FailureAfter changes
  std::string data_;
};

TEST_F(TokenFileTest, RoundTrip) {
  const Documents documents = {{1, 2, 3}, {}, {999}, {0, 4, 5, 6}};
  Write(documents);
  EXPECT_EQ(ReadAll(prefix_), documents);
  EXPECT_EQ(ReadAll(prefix_ + ".bin"), documents);
  EXPECT_EQ(ReadAll(prefix_ + ".idx"), documents);
  EXPECT_EQ(TokenFile(prefix_).NumTokens(), 8);
  EXPECT_EQ(TokenFile(prefix_ + ".idx").prefix(), prefix_);
}

TEST_F(TokenFileTest, TokensAreU16WhereTheVocabularyFits) {
  const Documents documents = {{65535, 0}, {7}};
  Write(documents, 65536);
  EXPECT_EQ(std::filesystem::file_size(prefix_ + ".bin"), 6u);
  EXPECT_EQ(ReadAll(prefix_), documents);
  Write(documents, 65537);
  EXPECT_EQ(std::filesystem::file_size(prefix_ + ".bin"), 12u);
  EXPECT_EQ(ReadAll(prefix_), documents);
}

TEST_F(TokenFileTest, ReadsPartsOfADocument) {
  for (const int32_t vocab_size : {1000, 100000}) {
    Write({{9}, {10, 11, 12, 13}}, vocab_size);
    const TokenFile tokens(prefix_);
    std::vector<int32_t> part(2);
    tokens.ReadTokens(1, 1, part);
    EXPECT_THAT(part, ::testing::ElementsAre(11, 12));
    EXPECT_THROW(tokens.ReadTokens(1, 3, part), Error);
    EXPECT_THROW(tokens.ReadTokens(1, -1, part), Error);
    EXPECT_THROW(tokens.ReadTokens(2, 0, part), Error);
    EXPECT_THROW(tokens.DocumentLength(-1), Error);
  }
}

TEST_F(TokenFileTest, NoDocuments) {
  Write({});
  EXPECT_EQ(TokenFile(prefix_).NumDocuments(), 0);
  EXPECT_EQ(TokenFile(prefix_).NumTokens(), 0);
}

TEST_F(TokenFileTest, LayoutOfTheIndex) {
  Write({{1, 2, 3}, {4}});
  const std::string index = ReadFile(prefix_ + ".idx");
  const std::string expected(
      "MMIDIDX\0\0"
      "\1\0\0\0\0\0\0\0"
      "\10"
      "\2\0\0\0\0\0\0\0"
      "\3\0\0\0\0\0\0\0"
      "\3\0\0\0\1\0\0\0"
      "\0\0\0\0\0\0\0\0\6\0\0\0\0\0\0\0"
      "\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0",
      kHeaderBytes + 8 + 16 + 24);
  EXPECT_EQ(index, expected);
}

TEST_F(TokenFileTest, DocumentsMayLieInAnyOrder) {
  EXPECT_EQ(FailureAfter(".idx",
                         [](std::string& index) {
                           Put<int64_t>(index, kHeaderBytes + 12, 4);       // after the third
                           Put<int64_t>(index, kHeaderBytes + 12 + 16, 0);  // the third
                         }),
            "");
  EXPECT_EQ(ReadAll(prefix_), (Documents{{3, 4, 5}, {}, {1, 2}}));
}

TEST_F(TokenFileTest, NothingAppearsWithoutCommit) {
  {
    TokenFileWriter writer(prefix_, 10);
    writer.Add(std::vector<int32_t>{1, 2});
    EXPECT_FALSE(FileExists(prefix_ + ".bin"));
    EXPECT_FALSE(FileExists(prefix_ + ".idx"));
  }
  EXPECT_THAT(Files(), ::testing::IsEmpty());
}

TEST_F(TokenFileTest, AnOlderPairStaysUntilCommit) {
  Write({{1}});
  {
    TokenFileWriter writer(prefix_, 10);
    writer.Add(std::vector<int32_t>{1, 2});
  }
  EXPECT_EQ(ReadAll(prefix_), (Documents{{1}}));
  Write({{3}, {4}});
  EXPECT_EQ(ReadAll(prefix_), (Documents{{3}, {4}}));
  EXPECT_THAT(Files(), ::testing::ElementsAre("tokens.bin", "tokens.idx"));
}

TEST_F(TokenFileTest, WriterRefusesIdsOutsideTheVocabulary) {
  TokenFileWriter writer(prefix_, 10);
  EXPECT_THROW(writer.Add(std::vector<int32_t>{9, 10}), Error);
  EXPECT_THROW(writer.Add(std::vector<int32_t>{-1}), Error);
}

TEST_F(TokenFileTest, MissingFilesAreNamed) {
  Write({{1}});
  std::filesystem::remove(prefix_ + ".bin");
  try {
    const TokenFile tokens(prefix_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.what(), HasSubstr(prefix_ + ".bin"));
  }
}

TEST_F(TokenFileTest, DamagedHeader) {
  EXPECT_THAT(FailureAfter(".idx", [](std::string& index) { index[0] = 'X'; }),
              HasSubstr("does not begin with MMIDIDX"));
  EXPECT_THAT(FailureAfter(".idx", [](std::string& index) { index.clear(); }),
              HasSubstr("does not begin with MMIDIDX"));
  EXPECT_THAT(FailureAfter(".idx", [](std::string& index) { Put<uint64_t>(index, 9, 2); }),
              HasSubstr("version 2"));
  for (const uint8_t code : {0, 1, 3, 5, 6, 9, 255}) {
    EXPECT_THAT(FailureAfter(".idx", [&](std::string& index) { Put<uint8_t>(index, 17, code); }),
                HasSubstr("token type code " + std::to_string(code)));
  }
}

TEST_F(TokenFileTest, CountsThatContradictTheIndexSize) {
  const uint64_t huge = std::numeric_limits<uint64_t>::max();
  // 2^64 / 12 rounded up: the product with 12 bytes overflows to a small number.
  for (const uint64_t count : {uint64_t{2}, uint64_t{4}, huge, huge / 12 + 1, huge / 8 + 1}) {
    EXPECT_THAT(FailureAfter(".idx", [&](std::string& index) { Put<uint64_t>(index, 18, count); }),
                HasSubstr("which is not what"))
        << count;
    EXPECT_THAT(
        FailureAfter(".idx", [&](std::string& index) { Put<uint64_t>(index, 26, count + 1); }),
        HasSubstr("which is not what"))
        << count;
  }
  EXPECT_THAT(FailureAfter(".idx", [](std::string& index) { index += "12345678"; }),
              HasSubstr("which is not what"));
}

TEST_F(TokenFileTest, TruncatedAnywhereIsAnError) {
  const std::pair<const char*, size_t> files[] = {{".idx", kHeaderBytes + 3 * 12 + 4 * 8},
                                                  {".bin", 10}};
  for (const auto& [extension, size] : files) {
    for (size_t length = 0; length < size; ++length) {
      EXPECT_NE(FailureAfter(extension, [&](std::string& contents) { contents.resize(length); }),
                "")
          << extension << " " << length;
    }
  }
}

TEST_F(TokenFileTest, DocumentsThatLieOutsideTheData) {
  struct Place {
    size_t document;
    int64_t offset;
  };
  for (const Place place : std::vector<Place>{{0, -2}, {0, 1}, {2, 8}, {2, 1 << 20}, {1, 11}}) {
    EXPECT_THAT(FailureAfter(".idx",
                             [&](std::string& index) {
                               Put<int64_t>(index, kHeaderBytes + 12 + place.document * 8,
                                            place.offset);
                             }),
                HasSubstr("tokens.bin is 10 bytes long"))
        << place.document << " " << place.offset;
  }
  for (const int32_t length : {-1, 6, std::numeric_limits<int32_t>::max()}) {
    EXPECT_THAT(FailureAfter(
                    ".idx", [&](std::string& index) { Put<int32_t>(index, kHeaderBytes, length); }),
                HasSubstr("document 0 has " + std::to_string(length) + " tokens"));
  }
}

TEST_F(TokenFileTest, DataOfAnotherLength) {
  EXPECT_THAT(FailureAfter(".bin", [](std::string& data) { data += "xx"; }),
              HasSubstr("tokens.bin: is 12 bytes long, but the 3 documents"));
  EXPECT_THAT(
      FailureAfter(".idx", [](std::string& index) { Put<int32_t>(index, kHeaderBytes, 2); }),
      HasSubstr("hold 4 tokens"));
}

TEST_F(TokenFileTest, DocumentIndexThatMakesNoSense) {
  const size_t start = kHeaderBytes + 3 * 12;
  for (const int64_t value : {int64_t{-1}, int64_t{4}, std::numeric_limits<int64_t>::max()}) {
    EXPECT_THAT(
        FailureAfter(".idx", [&](std::string& index) { Put<int64_t>(index, start + 8, value); }),
        HasSubstr("entry 1 of the document index is"))
        << value;
  }
}

}  // namespace
}  // namespace blockformer
