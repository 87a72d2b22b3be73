#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "base/error.h"

namespace blockformer {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/file-test-" + std::to_string(getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  size_t NumFiles() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_), {}));
  }
  static ErrorCode CodeOf(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "no error was thrown";
    return ErrorCode::kInternal;
  }

  std::string directory_;
};

TEST_F(FileTest, ABeginningIsThatOfARegularFile) {
  WriteFileAtomically(Path("file"), "GGUF and more");
  WriteFileAtomically(Path("short"), "GG");
  EXPECT_TRUE(FileBeginsWith(Path("file"), "GGUF"));
  EXPECT_FALSE(FileBeginsWith(Path("file"), "{"));
  EXPECT_FALSE(FileBeginsWith(Path("short"), "GGUF"));
  EXPECT_FALSE(FileBeginsWith(Path("nothing"), "GGUF"));
  EXPECT_FALSE(FileBeginsWith(directory_, "GGUF"));
  // A pipe keeps what it holds.
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "GGUF", 4), 4);
  EXPECT_FALSE(FileBeginsWith("/proc/self/fd/" + std::to_string(ends[0]), "GGUF"));
  char bytes[4];
  EXPECT_EQ(read(ends[0], bytes, 4), 4);
  for (const int end : ends) close(end);
}

TEST_F(FileTest, AtomicFileAppearsOnlyWhenCommitted) {
  WriteFileAtomically(Path("a"), "old");
  {
    AtomicFile file(Path("a"));
    file.Write("new");
    EXPECT_EQ(ReadFile(Path("a")), "old");
  }
  EXPECT_EQ(ReadFile(Path("a")), "old") << "an abandoned file replaced the old one";
  EXPECT_EQ(NumFiles(), 1U) << "an abandoned file left something behind";
  AtomicFile file(Path("a"));
  file.Write("new");
  file.Commit();
  EXPECT_EQ(ReadFile(Path("a")), "new");
  EXPECT_EQ(NumFiles(), 1U);
}

TEST_F(FileTest, WritesMoreThanItsBuffer) {
  const std::string large(3'000'000, 'x');
  AtomicFile file(Path("large"));
  file.Write("head");
  file.Write(large);
  file.Write("tail");
  file.Commit();
  EXPECT_EQ(file.bytes_written(), large.size() + 8);
  EXPECT_EQ(ReadFile(Path("large")), "head" + large + "tail");
}

TEST_F(FileTest, FullDiskKeepsTheOldFile) {
  WriteFileAtomically(Path("a"), "old");
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit;
  getrlimit(RLIMIT_FSIZE, &old_limit);
  const rlimit small = {100'000, old_limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(WriteFileAtomically(Path("a"), std::string(200'000, 'x')), Error);
  {
    AtomicFile file(Path("a"));
    file.Write(std::string(200'000, 'x'));
    EXPECT_THROW(file.Sync(), Error);
  }
  setrlimit(RLIMIT_FSIZE, &old_limit);
  EXPECT_EQ(ReadFile(Path("a")), "old");
  EXPECT_EQ(NumFiles(), 1U);
}

TEST_F(FileTest, SyncBringsAllToTheDiskUnderAnotherName) {
  AtomicFile file(Path("a"));
  file.Write("whole");
  file.Sync();
  EXPECT_FALSE(FileExists(Path("a")));
  const std::string temporary = std::filesystem::directory_iterator(directory_)->path().string();
  EXPECT_EQ(ReadFile(temporary), "whole");
  file.Write("r");
  file.Commit();
  EXPECT_EQ(ReadFile(Path("a")), "wholer");
}

TEST_F(FileTest, AFailedRenameLeavesNothingBehind) {
  std::filesystem::create_directories(Path("taken/inside"));
  EXPECT_THROW(WriteFileAtomically(Path("taken"), "x"), Error);
  EXPECT_EQ(NumFiles(), 1U);
}

TEST_F(FileTest, MapsAFileAndKeepsItsAddressWhenMoved) {
  WriteFileAtomically(Path("a"), "mapped");
  MappedFile first(Path("a"));
  const std::byte* address = first.bytes().data();
  const MappedFile second(std::move(first));
  EXPECT_EQ(second.bytes().data(), address);
  EXPECT_EQ(static_cast<char>(second.bytes()[0]), 'm');
  WriteFileAtomically(Path("empty"), "");
  EXPECT_EQ(MappedFile(Path("empty")).size(), 0U);
}

TEST_F(FileTest, PipesAreReadButNotMappedAndOneWithoutAWriterIsEmpty) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(ReadFile(Path("pipe")), "");
  EXPECT_EQ(CodeOf([&] { MappedFile file(Path("pipe")); }), ErrorCode::kInvalidArgument);
  const int reader = open(Path("pipe").c_str(), O_RDONLY | O_NONBLOCK);  // lets a writer begin
  auto pipe = std::make_unique<std::ofstream>(Path("pipe"));
  *pipe << "one " << std::flush;
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    *pipe << "two";
    pipe.reset();
  });
  EXPECT_EQ(ReadFile(Path("pipe")), "one two");
  writer.join();
  close(reader);
}

TEST_F(FileTest, ErrorsCarryTheirKind) {
  EXPECT_EQ(CodeOf([&] { ReadFile(Path("none")); }), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf([&] { MappedFile{Path("none")}; }), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf([&] { ReadFile(directory_); }), ErrorCode::kInvalidArgument);
  WriteFileAtomically(Path("a"), "12345");
  EXPECT_EQ(CodeOf([&] { ReadFile(Path("a"), 4); }), ErrorCode::kExhausted);
  EXPECT_EQ(CodeOf([&] { WriteFileAtomically(Path("none/a"), "x"); }), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace blockformer
