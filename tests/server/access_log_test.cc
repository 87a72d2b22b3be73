#include "server/access_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"

namespace blockformer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe2(ends_.data(), O_CLOEXEC), 0); }
  ~Pipe() {
    CloseReader();
    close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  std::string WriterPath() const { return "/proc/self/fd/" + std::to_string(ends_[1]); }
  void CloseReader() {
    if (ends_[0] >= 0) close(ends_[0]);
    ends_[0] = -1;
  }

 private:
  std::array<int, 2> ends_ = {-1, -1};
};

TEST(AccessLogTest, AppendsLines) {
  const std::string path = testing::TempDir() + "/access-log-" + std::to_string(getpid());
  std::ofstream(path) << "earlier\n";
  {
    AccessLog log(path);
    log.Write("one");
    log.Write("two");
  }
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  EXPECT_THAT(lines, ElementsAre("earlier", "one", "two"));
  std::filesystem::remove(path);
}

TEST(AccessLogTest, AReaderThatStallsHoldsNobodyUp) {
  const Pipe pipe;
  testing::internal::CaptureStderr();
  {
    AccessLog log(pipe.WriterPath());
    const std::string line(1000, 'x');
    for (int i = 0; i < 3000; ++i) log.Write(line);
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("it is not read"));
}

TEST(AccessLogTest, AReaderThatGoesAwayEndsNothing) {
  Pipe pipe;
  testing::internal::CaptureStderr();
  {
    AccessLog log(pipe.WriterPath());
    pipe.CloseReader();
    log.Write("nobody reads this");
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("Broken pipe"));
}

TEST(AccessLogTest, AFullDiskIsTold) {
  testing::internal::CaptureStderr();
  {
    AccessLog log("/dev/full");
    log.Write("lost");
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("/dev/full: No space left"));
}

TEST(AccessLogTest, AFileThatCannotBeOpenedIsNamed) {
  try {
    AccessLog("/nowhere/log");
    FAIL() << "it was opened";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/log"));
  }
}

}  // namespace
}  // namespace blockformer
