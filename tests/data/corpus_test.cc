#include "data/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CorpusTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = ::testing::TempDir() + "corpus_" + test->name() + "/";
    std::filesystem::remove_all(directory_);
    MakeDirectories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& contents) {
    WriteFileAtomically(directory_ + name, contents);
    return directory_ + name;
  }

  static std::string Compress(const std::string& contents) {
    std::string out(ZSTD_compressBound(contents.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), contents.data(), contents.size(), 3));
    return out;
  }

  static std::vector<std::string> ReadAll(const std::vector<std::string>& paths,
                                          const CorpusOptions& options = {}) {
    CorpusReader reader(paths, options);
    std::vector<std::string> documents;
    std::string document;
    while (reader.Next(&document)) documents.push_back(document);
    EXPECT_EQ(reader.BytesRead(), reader.TotalBytes());
    return documents;
  }

  // The message of the error that reading the files gives, or "" if there is none.
  static std::string FailureOf(const std::vector<std::string>& paths,
                               const CorpusOptions& options = {}) {
    try {
      ReadAll(paths, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  std::string directory_;
};

TEST_F(CorpusTest, PlainTextFileIsOneDocument) {
  const std::string text = "Line 1\r\n\n  Line 3 \xC3\xA9";
  EXPECT_THAT(ReadAll({Write("a.txt", text), Write("b", "B")}), ElementsAre(text, "B"));
}

TEST_F(CorpusTest, PlainTextLongerThanTheBuffer) {
  std::string text;
  for (int i = 0; i < 400000; ++i) text += std::to_string(i) + "\n";
  EXPECT_EQ(ReadAll({Write("long.txt", text)}).at(0), text);
}

TEST_F(CorpusTest, JsonLines) {
  const std::string lines =
      "{\"text\": \"one\\nline\", \"meta\": {\"text\": 3}}\r\n"
      "\n"
      "  \t\n"
      "{\"title\": \"x\", \"text\": \"\"}\n"
      "{\"text\": \"last \\u00e9 \\ud83d\\ude00\"}";
  EXPECT_THAT(ReadAll({Write("a.jsonl", lines)}),
              ElementsAre("one\nline", "", "last \xC3\xA9 \xF0\x9F\x98\x80"));
  EXPECT_THAT(ReadAll({Write("a.json", lines)}), ::testing::SizeIs(3));
}

TEST_F(CorpusTest, FieldCanBeNamed) {
  EXPECT_THAT(
      ReadAll({Write("a.jsonl", "{\"body\": \"b\", \"text\": \"t\"}\n")}, {.text_field = "body"}),
      ElementsAre("b"));
}

TEST_F(CorpusTest, LinesAcrossBufferBoundaries) {
  std::string lines;
  std::vector<std::string> expected;
  for (size_t i = 0; i < 40; ++i) {
    expected.push_back(std::string(i * 7919, static_cast<char>('a' + i % 26)));
    lines += "{\"text\": \"" + expected.back() + "\"}\n";
  }
  EXPECT_EQ(ReadAll({Write("a.jsonl", lines)}), expected);
  EXPECT_EQ(ReadAll({Write("a.jsonl.zst", Compress(lines))}), expected);
}

TEST_F(CorpusTest, ZstdFramesInARow) {
  const std::string first = Compress("{\"text\": \"a\"}\n{\"text\": \"b");
  const std::string second = Compress("c\"}\n");
  const std::string skippable("\x50\x2A\x4D\x18\x04\x00\x00\x00skip", 12);
  EXPECT_THAT(ReadAll({Write("a.jsonl.zst", first + Compress("") + skippable + second)}),
              ElementsAre("a", "bc"));
  EXPECT_THAT(ReadAll({Write("a.txt.zst", Compress("plain"))}), ElementsAre("plain"));
}

TEST_F(CorpusTest, EmptyFiles) {
  EXPECT_THAT(ReadAll({}), IsEmpty());
  EXPECT_THAT(ReadAll({Write("a.jsonl", ""), Write("b.jsonl.zst", Compress(""))}), IsEmpty());
  EXPECT_THAT(ReadAll({Write("a.txt", "")}), ElementsAre(""));
}

TEST_F(CorpusTest, ByteOrderMarkIsDropped) {
  EXPECT_THAT(ReadAll({Write("a.txt", "\xEF\xBB\xBFtext"),
                       Write("b.jsonl", "\xEF\xBB\xBF{\"text\": \"json\"}\n")}),
              ElementsAre("text", "json"));
}

TEST_F(CorpusTest, RecordsNameFileAndLine) {
  CorpusReader reader({Write("a.jsonl", "\n{\"text\": \"x\"}\n"), Write("b.txt", "y")});
  CorpusRecord record;
  ASSERT_TRUE(reader.NextRecord(&record));
  EXPECT_EQ(record.location, directory_ + "a.jsonl:2");
  EXPECT_EQ(record.bytes, "{\"text\": \"x\"}");
  EXPECT_TRUE(record.is_json);
  ASSERT_TRUE(reader.NextRecord(&record));
  EXPECT_EQ(record.location, directory_ + "b.txt");
  EXPECT_EQ(record.bytes, "y");
  EXPECT_FALSE(record.is_json);
  EXPECT_FALSE(reader.NextRecord(&record));
}

TEST_F(CorpusTest, DamagedLinesNameFileAndLine) {
  const std::string good = "{\"text\": \"x\"}\n";
  const std::pair<const char*, const char*> cases[] = {
      {"{\"text\": \"x\"", "not valid JSON"},
      {"{\"text\": \"\xFF\"}", "not valid JSON"},
      {"{\"text\": 3}", "the field \"text\" is number, not a string"},
      {"{\"txt\": \"x\"}", "the field \"text\" is missing"},
      {"[\"text\"]", "an object with the field \"text\" is wanted, not array"},
      {"{\"text\": \"x\", \"text\": \"y\"}", "stands twice"},
  };
  for (const auto& [line, problem] : cases) {
    const std::string path = Write("bad.jsonl", good + line + "\n" + good);
    EXPECT_THAT(FailureOf({path}), ::testing::AllOf(HasSubstr(path + ":2: "), HasSubstr(problem)))
        << line;
  }
}

TEST_F(CorpusTest, InvalidUtf8CanBeReplaced) {
  const std::string path = Write("bad.jsonl", "{\"text\": \"a\xFF\xE2\x82z\"}\n");
  EXPECT_THAT(ReadAll({path}, {.invalid_utf8 = InvalidUtf8::kReplace}),
              ElementsAre("a\xEF\xBF\xBD\xEF\xBF\xBDz"));
}

TEST_F(CorpusTest, MessagesStayShort) {
  const std::string path = Write("long.jsonl", "{\"text\": \"" + std::string(100000, 'x') + "\n");
  EXPECT_LT(FailureOf({path}).size(), 1000u);
}

TEST_F(CorpusTest, DeepNestingIsRefused) {
  const std::string path = Write("deep.jsonl", "{\"a\": " + std::string(200000, '['));
  EXPECT_THAT(FailureOf({path}), HasSubstr("nested deeper"));
}

TEST_F(CorpusTest, DocumentsThatAreTooLong) {
  const CorpusOptions options = {.max_document_bytes = 1000};
  const std::string text(1000, 'x');
  EXPECT_EQ(FailureOf({Write("fits.txt", text)}, options), "");
  EXPECT_THAT(FailureOf({Write("long.txt", text + "x")}, options),
              HasSubstr("long.txt: a document of more than 1000 bytes"));
  EXPECT_THAT(FailureOf({Write("long.jsonl", "\n" + text + "x")}, options),
              HasSubstr("long.jsonl:2: a document of more than 1000 bytes"));
}

TEST_F(CorpusTest, DamagedZstd) {
  std::string lines;
  for (int i = 0; i < 20000; ++i) lines += "{\"text\": \"" + std::to_string(i * i) + "\"}\n";
  const std::string frame = Compress(lines);
  for (const size_t length : {size_t{1}, size_t{5}, frame.size() / 2, frame.size() - 1}) {
    const std::string path = Write("cut.jsonl.zst", frame.substr(0, length));
    EXPECT_THAT(FailureOf({path}), HasSubstr("cut.jsonl.zst: the zstd data end inside a frame"))
        << length;
  }
  EXPECT_THAT(FailureOf({Write("empty.jsonl.zst", "")}), HasSubstr("end inside a frame"));
  EXPECT_THAT(FailureOf({Write("plain.jsonl.zst", lines)}), HasSubstr("is not valid zstd data"));
  EXPECT_THAT(FailureOf({Write("tail.jsonl.zst", frame + "garbage")}),
              HasSubstr("is not valid zstd data"));
  std::string flipped = frame;
  flipped[frame.size() / 2] = static_cast<char>(~flipped[frame.size() / 2]);
  EXPECT_NE(FailureOf({Write("flipped.jsonl.zst", flipped)}), "");
}

TEST_F(CorpusTest, FilesAreCheckedBeforeTheFirstIsRead) {
  const std::string good = Write("a.txt", "x");
  EXPECT_THROW(CorpusReader({good, directory_ + "missing.txt"}), Error);
  EXPECT_THAT(FailureOf({good, directory_ + "missing.txt"}), HasSubstr("missing.txt: cannot open"));
  EXPECT_THAT(FailureOf({directory_}), HasSubstr("is a directory"));
}

}  // namespace
}  // namespace blockformer
