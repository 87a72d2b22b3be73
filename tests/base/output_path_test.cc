#include "base/output_path.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class OutputPathTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/output-path-test-" + std::to_string(getpid());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  std::string MakeFile(const std::string& name) const {
    WriteFileAtomically(Path(name), "old");
    return Path(name);
  }
  std::string MakeLink(const std::string& target, const std::string& name) const {
    std::filesystem::create_symlink(target, Path(name));
    return Path(name);
  }
  size_t NumFiles() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(directory_), {}));
  }
  static mode_t ModeOf(const std::string& path) {
    struct stat status = {};
    EXPECT_EQ(stat(path.c_str(), &status), 0);
    return status.st_mode & 07777;
  }
  static std::string MessageOf(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
  // What CheckOutputs() says of one output.
  static std::string Refusal(const std::string& output, const std::vector<std::string>& inputs = {},
                             bool force = false) {
    return MessageOf([&] { CheckOutputs({{"--out", output}}, inputs, force); });
  }

  std::string directory_;
};

TEST_F(OutputPathTest, ALinkStaysAndItsTargetIsReplaced) {
  MakeFile("target");
  const std::string link = MakeLink("target", "link");
  WriteFileAtomically(MakeLink("link", "second"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(Path("second")));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(ReadFile(Path("target")), "new");
  AtomicFile file(link);
  file.RemoveOld();
  EXPECT_FALSE(FileExists(Path("target")));
  file.Commit();
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(ReadFile(Path("target")), "");
  EXPECT_EQ(NumFiles(), 3U);
}

TEST_F(OutputPathTest, ALinkToNothingCreatesItsTarget) {
  std::filesystem::create_directories(Path("folder"));
  WriteFileAtomically(MakeLink("folder/new", "link"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(Path("link")));
  EXPECT_EQ(ReadFile(Path("folder/new")), "new");
  const std::string lost = MakeLink("none/new", "lost");
  EXPECT_THAT(MessageOf([&] { WriteFileAtomically(lost, "x"); }),
              StartsWith(lost + ": the folder"));
  const std::string circle = MakeLink("circle", "circle");
  EXPECT_THAT(MessageOf([&] { WriteFileAtomically(circle, "x"); }),
              AllOf(StartsWith(circle), HasSubstr("symbolic links")));
}

TEST_F(OutputPathTest, APipeIsWrittenIntoAndStays) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  MakeLink("pipe", "link");
  std::string text;
  std::thread reader([&] {
    std::ifstream pipe(Path("pipe"));  // waits for the writer
    text.assign(std::istreambuf_iterator<char>(pipe), {});
  });
  WriteFileAtomically(Path("link"), "through");
  reader.join();
  EXPECT_EQ(text, "through");
  EXPECT_TRUE(std::filesystem::is_fifo(Path("pipe")));
  EXPECT_EQ(NumFiles(), 2U);
}

TEST_F(OutputPathTest, APipeThatNobodyReadsAnyMoreIsAnError) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  const std::string path = "/dev/fd/" + std::to_string(ends[1]);
  EXPECT_EQ(MessageOf([&] { WriteFileAtomically(path, "x"); }),
            path + ": cannot write: Broken pipe");
  close(ends[1]);
}

TEST_F(OutputPathTest, DevicesAreWrittenInto) {
  WriteFileAtomically("/dev/null", "x");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  EXPECT_EQ(MessageOf([&] { WriteFileAtomically("/dev/full", "x"); }),
            "/dev/full: cannot write: No space left on device");
  EXPECT_EQ(MessageOf([&] { WriteFileAtomically("/dev/fd/999", "x"); }),
            "/dev/fd/999: file descriptor 999 is not open for writing");
}

// As a shell's redirection has it: what was written there before stays.
TEST_F(OutputPathTest, AnOpenDescriptorIsWrittenIntoEvenIfItIsAFile) {
  const std::string path = MakeFile("file");
  const int descriptor = open(path.c_str(), O_WRONLY | O_APPEND);
  for (const char* folder : {"/dev/fd/", "/proc/self/fd/"}) {
    WriteFileAtomically(folder + std::to_string(descriptor), " new");
  }
  close(descriptor);
  EXPECT_EQ(ReadFile(path), "old new new");
  const int read_only = open(path.c_str(), O_RDONLY);
  EXPECT_THAT(MessageOf([&] { WriteFileAtomically("/dev/fd/" + std::to_string(read_only), "x"); }),
              HasSubstr("is not open for writing"));
  close(read_only);
}

TEST_F(OutputPathTest, StandardOutputHasSeveralNames) {
  for (const char* name : {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}) {
    EXPECT_TRUE(IsStandardOutput(name)) << name;
    testing::internal::CaptureStdout();
    std::printf("before ");
    WriteFileAtomically(name, "written ");
    std::printf("after");
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "before written after") << name;
  }
  EXPECT_FALSE(IsStandardOutput(Path("x")));
  EXPECT_FALSE(IsStandardOutput(Path("none/x")));
}

TEST_F(OutputPathTest, ANewFileHasTheOrdinaryPermissionsAndAReplacedOneKeepsItsOwn) {
  const mode_t old_mask = umask(027);
  WriteFileAtomically(Path("new"), "x");
  EXPECT_EQ(ModeOf(Path("new")), 0640U);
  std::filesystem::permissions(Path("new"), std::filesystem::perms(0604));
  AtomicFile file(Path("new"));
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    EXPECT_EQ(ModeOf(entry.path().string()), 0604U) << entry.path();
  }
  file.Commit();
  EXPECT_EQ(ModeOf(Path("new")), 0604U);
  umask(old_mask);
}

// Somebody else may have put a link where the temporary file would be.
TEST_F(OutputPathTest, TheTemporaryFileIsANewOne) {
  const std::string victim = MakeFile("victim");
  const std::string pid = std::to_string(getpid());
  MakeLink("victim", "file.tmp." + pid);
  MakeLink("victim", "file.tmp." + pid + ".0");
  WriteFileAtomically(Path("file"), "new");
  EXPECT_EQ(ReadFile(victim), "old");
  EXPECT_EQ(ReadFile(Path("file")), "new");
  EXPECT_FALSE(std::filesystem::is_symlink(Path("file")));
  WriteFileAtomically(Path(std::string(255, 'n')), "new");
  EXPECT_EQ(ReadFile(Path(std::string(255, 'n'))), "new");
}

TEST_F(OutputPathTest, RefusesWhereNoFileCanBe) {
  EXPECT_EQ(Refusal(""), "no error") << "an output that is not asked for";
  EXPECT_EQ(Refusal(Path("new")), "no error");
  EXPECT_EQ(Refusal("/dev/null"), "no error");
  EXPECT_EQ(NumFiles(), 0U) << "checking left something behind";
  EXPECT_THAT(Refusal(directory_), AllOf(StartsWith("--out: "), HasSubstr("is a folder")));
  EXPECT_THAT(Refusal(directory_ + "/"), HasSubstr("is a folder"));
  EXPECT_THAT(Refusal(Path("none/x")), HasSubstr("/none cannot be entered: No such file"));
  MakeFile("file");
  EXPECT_THAT(Refusal(Path("file/x")), HasSubstr("is not a folder"));
  EXPECT_THAT(Refusal(Path(std::string(300, 'n'))), HasSubstr("File name too long"));
  sockaddr_un address = {AF_UNIX, "socket"};
  const std::string old_folder = std::filesystem::current_path();
  std::filesystem::current_path(directory_);
  const int socket_descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(socket_descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  close(socket_descriptor);
  std::filesystem::current_path(old_folder);
  EXPECT_THAT(Refusal(Path("socket")), HasSubstr("is a socket"));
}

TEST_F(OutputPathTest, RefusesPlacesWithoutPermission) {
  constexpr uid_t kNobody = 65534;
  std::filesystem::create_directories(Path("closed"));
  MakeFile("closed/file");
  std::filesystem::create_directories(Path("open"));
  MakeFile("open/protected");
  std::filesystem::permissions(Path("closed"), std::filesystem::perms(0555));
  std::filesystem::permissions(Path("open"), std::filesystem::perms(0777));
  std::filesystem::permissions(Path("open/protected"), std::filesystem::perms(0444));
  const bool is_root = geteuid() == 0;
  ASSERT_TRUE(!is_root || seteuid(kNobody) == 0);
  EXPECT_THAT(Refusal(Path("closed/new")), AllOf(StartsWith("--out: "), HasSubstr("denied")));
  EXPECT_THAT(Refusal(Path("closed/file"), {}, true), HasSubstr("Permission denied"));
  EXPECT_THAT(Refusal(Path("open/protected"), {}, true), HasSubstr("Permission denied"));
  EXPECT_EQ(Refusal(Path("open/new")), "no error");
  ASSERT_TRUE(!is_root || seteuid(0) == 0);
}

TEST_F(OutputPathTest, ReplacesOnlyWithForce) {
  const std::string file = MakeFile("file");
  EXPECT_EQ(Refusal(file), "--out: " + file + ": is there already; `force` replaces it");
  EXPECT_THAT(Refusal(MakeLink("file", "link")), HasSubstr("link: is there already"));
  EXPECT_EQ(Refusal(MakeLink("new", "dangling")), "no error");
  EXPECT_EQ(Refusal(file, {}, true), "no error");
  EXPECT_EQ(ReadFile(file), "old");
}

TEST_F(OutputPathTest, NeverOverwritesAnInputByWhateverName) {
  std::filesystem::create_directories(Path("model"));
  MakeFile("model/config.json");
  const std::string file = MakeFile("file");
  MakeLink("file", "link");
  MakeLink("model", "model-link");
  std::filesystem::create_hard_link(file, Path("hard"));
  for (const char* name : {"file", "./file", "model/../file", "link", "hard"}) {
    EXPECT_THAT(Refusal(Path(name), {Path("absent"), file}, true), HasSubstr("is also an input"))
        << name;
  }
  EXPECT_THAT(Refusal(file, {Path("link")}, true), HasSubstr("is also an input"));
  EXPECT_THAT(Refusal(Path("model-link/config.json"), {Path("model")}, true),
              HasSubstr("is also an input"));
  EXPECT_EQ(Refusal(Path("model/new.json"), {Path("model")}), "no error");
  EXPECT_EQ(Refusal("/dev/null", {"/dev/null"}), "no error");
}

TEST_F(OutputPathTest, TwoOutputsAreTwoFiles) {
  const auto refusal = [&](const std::string& a, const std::string& b) {
    return MessageOf([&] { CheckOutputs({{"--a", a}, {"--b", b}}, {}, true); });
  };
  MakeLink("new", "link");
  EXPECT_EQ(refusal(Path("new"), Path("other")), "no error");
  EXPECT_THAT(refusal(Path("new"), Path("./new")),
              AllOf(StartsWith("--b: "), HasSubstr("is also another output")));
  EXPECT_THAT(refusal(Path("new"), Path("link")), HasSubstr("is also another output"));
  MakeFile("new");
  EXPECT_THAT(refusal(Path("link"), Path("new")), HasSubstr("is also another output"));
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(refusal(Path("pipe"), Path("pipe")), HasSubstr("is also another output"));
  EXPECT_EQ(refusal("/dev/null", "/dev/null"), "no error");
}

}  // namespace
}  // namespace blockformer
