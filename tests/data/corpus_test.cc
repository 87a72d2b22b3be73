#include "data/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <string>
#include <thread>
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

  static std::string CompressLong(const std::string& contents, int window_log) {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    // Without the size of the contents the window is what was asked for.
    std::string out(ZSTD_compressBound(contents.size()) + 64, '\0');
    ZSTD_inBuffer input = {contents.data(), contents.size(), 0};
    ZSTD_outBuffer output = {out.data(), out.size(), 0};
    ZSTD_compressStream2(context, &output, &input, ZSTD_e_flush);
    ZSTD_compressStream2(context, &output, &input, ZSTD_e_end);
    ZSTD_freeCCtx(context);
    out.resize(output.pos);
    return out;
  }

  static std::string Gzip(const std::string& contents) {
    z_stream stream = {};
    EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string out(deflateBound(&stream, contents.size()), '\0');
    std::string in = contents;
    stream.next_in = reinterpret_cast<Bytef*>(in.data());
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
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
}

TEST_F(CorpusTest, EndingsOfJsonLines) {
  const std::string lines = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
  for (const char* ending : {"jsonl", "ndjson", "jsonlines", "jl", "json", "JSONL", "NdJson"}) {
    const std::string name = std::string("a.") + ending;
    EXPECT_THAT(ReadAll({Write(name, lines)}), ElementsAre("one", "two")) << name;
    for (const char* zstd : {".zst", ".zstd", ".ZST"}) {
      EXPECT_THAT(ReadAll({Write(name + zstd, Compress(lines))}), ElementsAre("one", "two"));
    }
    for (const char* gzip : {".gz", ".GZ"}) {
      EXPECT_THAT(ReadAll({Write(name + gzip, Gzip(lines))}), ElementsAre("one", "two"));
    }
  }
}

TEST_F(CorpusTest, CompressionIsFoundByContents) {
  const std::string lines = "{\"text\": \"one\"}\n";
  EXPECT_THAT(ReadAll({Write("a.jsonl", Compress(lines)), Write("b.jsonl", Gzip(lines)),
                       Write("c.jsonl.gz", Compress(lines)), Write("d.txt", Gzip("plain"))}),
              ElementsAre("one", "one", "one", "plain"));
}

TEST_F(CorpusTest, OtherFormsAreNamedWithTheRemedy) {
  for (const auto& [ending, remedy] :
       std::vector<std::pair<std::string, std::string>>{{"jsonl.bz2", "bzip2 -dc"},
                                                        {"txt.xz", "xz -dc"},
                                                        {"jsonl.lz4", "lz4 -dc"},
                                                        {"jsonl.br", "brotli -dc"},
                                                        {"zip", "unzip -p"},
                                                        {"7Z", "7z x -so"},
                                                        {"tar.gz", "tar -xf"},
                                                        {"tgz", "tar -xf"},
                                                        {"txt.Z", "uncompress -c"},
                                                        {"parquet", "to_json"},
                                                        {"jsonl.lzma", "xz -dc"},
                                                        {"tar.zst", "tar -xf"}}) {
    const std::string path = Write("a." + ending, "x");
    EXPECT_THAT(FailureOf({path}),
                ::testing::AllOf(HasSubstr(path), HasSubstr(remedy), HasSubstr("not read")));
  }
  using namespace std::string_literals;
  for (const auto& [contents, remedy] : std::vector<std::pair<std::string, std::string>>{
           {"BZh91AY&SYxx", "bzip2 -dc"},
           {"\xFD"
            "7zXZ\0\0"s,
            "xz -dc"},
           {"\x04\x22\x4D\x18xx", "lz4 -dc"},
           {"PK\x03\x04xx", "unzip -p"},
           {"7z\xBC\xAF\x27\x1Cxx", "7z x -so"},
           {std::string(257, 'a') + "ustar", "tar -xf"}}) {
    EXPECT_THAT(FailureOf({Write("a.jsonl", contents)}), HasSubstr(remedy));
    EXPECT_THAT(FailureOf({Write("a.jsonl.zst", contents)}), HasSubstr(remedy));
  }
  EXPECT_EQ(FailureOf({Write("a.txt", "BZh is no magic, PK neither, 7z")}), "");
}

TEST_F(CorpusTest, ALongZstdWindowIsRead) {
  const std::string lines = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
  for (const int window_log :
       {27, 28, 30, 31}) {  // zstd itself reads 27 unless it is asked for more
    EXPECT_THAT(ReadAll({Write("a.jsonl.zst", CompressLong(lines, window_log))}),
                ElementsAre("one", "two"))
        << window_log;
  }
  std::string frame = CompressLong(lines, 31);
  constexpr size_t kWindowByte = 5;  // behind the magic number and the frame header's descriptor
  ASSERT_EQ(static_cast<uint8_t>(frame[kWindowByte]), (31 - 10) << 3);
  frame[kWindowByte] = static_cast<char>((33 - 10) << 3);
  EXPECT_THAT(FailureOf({Write("a.jsonl.zst", frame)}), HasSubstr("window is longer than 2^31"));
}

TEST_F(CorpusTest, GzipMembersInARow) {
  const std::string first = Gzip("{\"text\": \"a\"}\n{\"text\": \"b");
  const std::string second = Gzip("c\"}\n");
  EXPECT_THAT(ReadAll({Write("a.jsonl.gz", first + Gzip("") + second)}), ElementsAre("a", "bc"));
  EXPECT_THAT(ReadAll({Write("a.jsonl.gz", first + second + std::string(512, '\0'))}),
              ElementsAre("a", "bc"));
}

TEST_F(CorpusTest, DamagedGzip) {
  std::string lines;
  for (int i = 0; i < 20000; ++i) lines += "{\"text\": \"" + std::to_string(i * i) + "\"}\n";
  const std::string member = Gzip(lines);
  for (const size_t length :
       {size_t{0}, size_t{1}, size_t{5}, member.size() / 2, member.size() - 1}) {
    EXPECT_THAT(FailureOf({Write("cut.jsonl.gz", member.substr(0, length))}),
                HasSubstr("cut.jsonl.gz: the gzip data end inside a member"))
        << length;
  }
  EXPECT_THAT(FailureOf({Write("plain.jsonl.gz", lines)}),
              HasSubstr("is not valid gzip data, which its name promises"));
  EXPECT_THAT(FailureOf({Write("tail.jsonl.gz", member + "garbage")}),
              HasSubstr("tail.jsonl.gz: is not valid gzip data"));
  std::string flipped = member;
  flipped[member.size() - 6] = static_cast<char>(~flipped[member.size() - 6]);  // of the checksum
  EXPECT_THAT(FailureOf({Write("flipped.jsonl.gz", flipped)}), HasSubstr("not valid gzip data"));
}

TEST_F(CorpusTest, JsonLinesUnderANameOfPlainTextAreRefused) {
  const std::string lines = "\n{\"text\": \"one\", \"x\": NaN}\r\n\n{\"text\": \"cut";
  for (const std::string name : {"a.txt", "a", "a.jsonl.bak", "a.txt.gz"}) {
    const std::string path = Write(name, name.ends_with(".gz") ? Gzip(lines) : lines);
    EXPECT_THAT(FailureOf({path}),
                ::testing::AllOf(HasSubstr(path), HasSubstr("`input_format` jsonl"),
                                 HasSubstr("`input_format` text")));
    EXPECT_THAT(ReadAll({path}, {.format = InputFormat::kText}), ElementsAre(lines));
  }
  EXPECT_THAT(
      ReadAll({Write("a.txt", "{\"text\": \"one\"}\n")}, {.format = InputFormat::kJsonLines}),
      ElementsAre("one"));
  for (const std::string text : {"{\"a\": 1}\nand text", "{a}\n{b}\n", "{\n}\n", "[1]\n", "\n"}) {
    EXPECT_THAT(ReadAll({Write("a.txt", text)}), ElementsAre(text));
  }
}

TEST_F(CorpusTest, PipesAreReadOnce) {
  const std::string path = directory_ + "pipe.jsonl";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  for (const bool is_compressed : {false, true}) {
    const std::string lines = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
    std::thread writer([&] {
      std::FILE* pipe = std::fopen(path.c_str(), "w");
      const std::string bytes = is_compressed ? Gzip(lines) : lines;
      std::fwrite(bytes.data(), 1, bytes.size(), pipe);
      std::fclose(pipe);
    });
    CorpusReader reader({path});
    EXPECT_EQ(reader.TotalBytes(), 0u);
    std::string document;
    EXPECT_TRUE(reader.Next(&document));
    EXPECT_TRUE(reader.Next(&document));
    EXPECT_EQ(document, "two");
    EXPECT_FALSE(reader.Next(&document));
    writer.join();
  }
}

TEST_F(CorpusTest, NullTexts) {
  const std::string path = Write("a.jsonl", "{\"text\": \"a\"}\n{\"text\": null}\n");
  EXPECT_THAT(FailureOf({path}), HasSubstr("a.jsonl:2: text: is null; a string is wanted, and "
                                           "`skip_null` leaves such lines out"));
  EXPECT_THAT(ReadAll({path}, {.skip_null = true}), ElementsAre("a"));
  EXPECT_THAT(FailureOf({Write("b.jsonl", "{\"txt\": \"a\"}\n")}, {.skip_null = true}),
              HasSubstr("b.jsonl:1: text: is missing"));
}

TEST_F(CorpusTest, Utf16IsNamed) {
  for (const std::string mark : {"\xFF\xFE", "\xFE\xFF"}) {
    EXPECT_THAT(FailureOf({Write("a.txt", mark + "a")}, {.invalid_utf8 = InvalidUtf8::kReplace}),
                HasSubstr("iconv -f UTF-16 -t UTF-8"));
  }
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
                       // Decompression gives the mark in two pieces.
                       Write("c.txt.zst", Compress("\xEF\xBB") + Compress("\xBFtwo")),
                       Write("b.jsonl", "\xEF\xBB\xBF{\"text\": \"json\"}\n")}),
              ElementsAre("text", "two", "json"));
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
      {"{\"text\": \"\xFF\"}", "text: byte 10 of the line: 0xFF is not valid UTF-8"},
      {"{\"text\": 3}", "text: 3 is not possible; a string is wanted"},
      {"{\"txt\": \"x\"}", "text: is missing"},
      {"[\"text\"]", "an object is wanted, not an array"},
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

TEST_F(CorpusTest, AnyNestingIsReadInFieldsThatAreNotUsed) {
  const std::string open(200000, '[');
  const std::string close(200000, ']');
  EXPECT_THAT(FailureOf({Write("deep.jsonl", "{\"a\": " + open)}), HasSubstr("not valid JSON"));
  EXPECT_THAT(ReadAll({Write("a.jsonl", "{\"a\": " + open + close + ", \"text\": \"x\"}")}),
              ElementsAre("x"));
}

TEST_F(CorpusTest, DocumentsThatAreTooLong) {
  const CorpusOptions options = {.max_line_bytes = 900, .max_document_bytes = 1000};
  EXPECT_EQ(CorpusOptions().max_line_bytes, uint64_t{256} << 20);
  const std::string text(1000, 'x');
  EXPECT_EQ(FailureOf({Write("fits.txt", text)}, options), "");
  EXPECT_THAT(FailureOf({Write("long.txt", text + "x")}, options),
              HasSubstr("long.txt: a document of more than 1000 bytes"));
  EXPECT_THAT(FailureOf({Write("long.jsonl", "\n" + text + "x")}, options),
              HasSubstr("long.jsonl:2: a line of more than 900 bytes"));
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
