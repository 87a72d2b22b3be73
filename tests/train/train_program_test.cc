// blockformer-train as a process: signals, several processes, a full disk.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "tests/train/training_run.h"

namespace blockformer::train {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kInterrupted = 130;

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::istringstream text(ReadFile(fmt::format("/proc/{0}/task/{0}/children", parent)));
  return {std::istream_iterator<pid_t>(text), {}};
}

int StartAndWait(
    const TrainingFolder& folder, std::vector<std::string> arguments,
    const std::function<void()>& prepare = [] {}) {
  arguments.insert(arguments.begin(), folder.recipe_path());
  TrainerProcess process(std::move(arguments), folder.Path("errors"), prepare);
  const int code = process.Wait();
  if (code != 0) GTEST_LOG_(INFO) << process.Errors();
  return code;
}

void ExpectNearLosses(const std::string& run, const std::string& other) {
  const std::vector<Json> a = ReadMetrics(run);
  const std::vector<Json> b = ReadMetrics(other);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    for (const char* field : {"loss", "validation_loss", "grad_norm"}) {
      ASSERT_EQ(a[i].contains(field), b[i].contains(field));
      if (!a[i].contains(field)) continue;
      EXPECT_NEAR(a[i][field].get<double>(), b[i][field].get<double>(), 1e-5) << field << " " << i;
    }
  }
}

TEST(TrainProgram, TwoProcessesGiveTheLossesOfOne) {
  const TrainingFolder folder;
  ASSERT_EQ(StartAndWait(folder, {"output=" + folder.Path("one")}), 0);
  ASSERT_EQ(StartAndWait(folder, {"--nproc", "2"}), 0);
  ExpectNearLosses(folder.Path("one"), folder.Path("run"));
}

TEST(TrainProgram, TwoProcessesGiveTheLossesOfOneWithEncoderAndT5) {
  const TrainingFolder folder;
  const auto train = [&](std::vector<std::string> arguments) {
    const std::vector<std::string> model = TrainingFolder::EncoderAndT5(0);
    arguments.insert(arguments.end(), model.begin(), model.end());
    return StartAndWait(folder, arguments);
  };
  ASSERT_EQ(train({"output=" + folder.Path("one")}), 0);
  ASSERT_EQ(train({"--nproc", "2"}), 0);
  ExpectNearLosses(folder.Path("one"), folder.Path("run"));
}

TEST(TrainProgram, TwoProcessesResumeBitForBit) {
  const TrainingFolder folder;
  ASSERT_EQ(StartAndWait(folder, {"--nproc", "2", "output=" + folder.Path("whole")}), 0);
  ASSERT_EQ(StartAndWait(folder, {"--nproc", "2", "training.stop_steps=10"}), 0);
  ASSERT_EQ(StartAndWait(folder, {"--nproc", "2"}), 0);
  ExpectSameTensors(folder.Path("whole"), folder.Path("run"));
  EXPECT_EQ(ReadMetrics(folder.Path("whole")), ReadMetrics(folder.Path("run")));
}

TEST(TrainProgram, ALostProcessEndsTheOthers) {
  const TrainingFolder folder;
  TrainerProcess process(
      {folder.recipe_path(), "--nproc", "2", "training.steps=1000000", "checkpoint.interval=0"},
      folder.Path("errors"));
  ASSERT_TRUE(WaitUntil([&] {
    return FileExists(folder.Path("run/metrics.jsonl")) && !ReadMetrics(folder.Path("run")).empty();
  }));
  const std::vector<pid_t> children = ChildrenOf(process.pid());
  ASSERT_EQ(children.size(), 2u);
  kill(children[1], SIGKILL);
  EXPECT_TRUE(WaitUntil([&] { return !process.IsRunning(); }));
  EXPECT_EQ(process.Wait(), 128 + SIGKILL);
  EXPECT_THAT(process.Errors(), HasSubstr("training process 1 was ended by signal 9"));
  EXPECT_THAT(process.Errors(), HasSubstr("training process 0 of 2 cannot go on"));
}

TEST(TrainProgram, AStopSignalSavesAndTheRunContinues) {
  for (const char* processes : {"1", "2"}) {
    const TrainingFolder folder;
    const std::vector<std::string> arguments = {
        folder.recipe_path(),   "--nproc", processes, "training.steps=200", "validation.interval=0",
        "checkpoint.interval=0"};
    TrainerProcess process(arguments, folder.Path("errors"));
    ASSERT_TRUE(WaitUntil([&] {
      return FileExists(folder.Path("run/metrics.jsonl")) &&
             !ReadMetrics(folder.Path("run")).empty();
    }));
    process.Signal(processes == std::string("1") ? SIGINT : SIGTERM);
    EXPECT_EQ(process.Wait(), kInterrupted) << process.Errors();
    const std::string errors = process.Errors();
    const size_t saved = errors.find("is saved; the same command continues");
    EXPECT_NE(saved, std::string::npos) << errors;
    EXPECT_EQ(errors.find("is saved", saved + 1), std::string::npos) << errors;  // said once
    const auto last_step = ReadMetrics(folder.Path("run")).back()["step"].get<int64_t>();
    EXPECT_LT(last_step, 200);
    EXPECT_TRUE(
        FileExists(folder.Path(fmt::format("run/checkpoints/step-{:08}/state.json", last_step))));
  }
}

// Only the main process writes checkpoints and knows which are there.
TEST(TrainProgram, ProcessesThatDivergeNameACheckpointOnce) {
  const TrainingFolder folder;
  ASSERT_EQ(StartAndWait(folder, {"--nproc", "2", "training.stop_steps=5"}), 0);
  TrainerProcess process(
      {folder.recipe_path(), "--nproc", "2", "training.learning_rate=10", "training.clip_norm=0",
       "training.epsilon=1e-30", "training.weight_decay=100", "training.steps=400"},
      folder.Path("errors"));
  EXPECT_EQ(process.Wait(), 2);
  const std::string errors = process.Errors();
  EXPECT_THAT(errors, HasSubstr("not a number at step "));
  const size_t named = errors.find("the checkpoint of step ");
  EXPECT_TRUE(named == std::string::npos ||
              errors.find("the checkpoint of step ", named + 1) == std::string::npos)
      << errors;
}

std::vector<pid_t> DescendantsOf(pid_t process) {
  std::vector<pid_t> all;
  for (const pid_t child : ChildrenOf(process)) {
    all.push_back(child);
    for (const pid_t grandchild : DescendantsOf(child)) all.push_back(grandchild);
  }
  return all;
}

bool HasBegun(const TrainingFolder& folder) {
  return FileExists(folder.Path("run/metrics.jsonl")) && !ReadMetrics(folder.Path("run")).empty();
}

// As systemd stops a control group, and Slurm a step.
TEST(TrainProgram, ASignalToAllProcessesAtOnceSaves) {
  const TrainingFolder folder;
  TrainerProcess process({folder.recipe_path(), "--nproc", "2", "training.steps=1000000",
                          "validation.interval=0", "checkpoint.interval=0"},
                         folder.Path("errors"));
  ASSERT_TRUE(WaitUntil([&] { return HasBegun(folder); }));
  std::vector<pid_t> processes = DescendantsOf(process.pid());
  ASSERT_EQ(processes.size(), 2u);
  processes.push_back(process.pid());  // last, so that the others have theirs when it passes it on
  for (const pid_t one : processes) kill(one, SIGTERM);
  EXPECT_EQ(process.Wait(), kInterrupted) << process.Errors();
  EXPECT_THAT(process.Errors(), HasSubstr("is saved; the same command continues"));
  EXPECT_TRUE(FileExists(folder.Path("run/latest/state.json")));
}

// A step may take hours, and whoever stops a run does not wait for long.
TEST(TrainProgram, AStopLeavesALongStepAndTheRunContinues) {
  for (const char* processes : {"1", "2"}) {
    const TrainingFolder folder;
    const std::vector<std::string> arguments = {folder.recipe_path(),
                                                "--nproc",
                                                processes,
                                                "training.batch_size=256",
                                                "training.micro_batch_size=1",
                                                "training.steps=2",
                                                "training.warmup_steps=0",
                                                "validation.interval=0",
                                                "training.threads=" + std::string(processes)};
    TrainerProcess process(arguments, folder.Path("errors"));
    ASSERT_TRUE(WaitUntil([&] { return HasBegun(folder); }));
    process.Signal(SIGTERM);
    EXPECT_EQ(process.Wait(), kInterrupted);
    EXPECT_THAT(process.Errors(),
                AllOf(HasSubstr("info: asked to stop"), HasSubstr("stopped after step 1, which")));
    EXPECT_EQ(ReadJsonFile(folder.Path("run/latest/state.json"))["step"], 1);
    std::vector<std::string> whole = arguments;
    whole.push_back("output=" + folder.Path("whole"));
    for (const auto& command : {arguments, whole}) {
      EXPECT_EQ(TrainerProcess(command, folder.Path("errors")).Wait(), 0);
    }
    ExpectSameTensors(folder.Path("whole"), folder.Path("run"));
  }
}

TEST(TrainProgram, AStopWithinTheFirstStepSaysThatNothingIsSaved) {
  const TrainingFolder folder;
  TrainerProcess process(
      {folder.recipe_path(), "training.batch_size=1048576", "training.micro_batch_size=1"},
      folder.Path("errors"));
  ASSERT_TRUE(WaitUntil([&] { return FileExists(folder.Path("run/metrics.jsonl")); }));
  process.Signal(SIGTERM);
  EXPECT_TRUE(WaitUntil([&] { return !process.IsRunning(); }));
  EXPECT_EQ(process.Wait(), kInterrupted);
  EXPECT_THAT(process.Errors(), HasSubstr("stopped within the first step"));
}

TEST(TrainProgram, AHangUpSavesUnlessItIsIgnored) {
  const TrainingFolder folder;
  const std::vector<std::string> arguments = {folder.recipe_path(), "training.steps=1000000",
                                              "validation.interval=0", "checkpoint.interval=0"};
  TrainerProcess process(arguments, folder.Path("errors"), [] { signal(SIGHUP, SIG_DFL); });
  ASSERT_TRUE(WaitUntil([&] { return HasBegun(folder); }));
  process.Signal(SIGHUP);
  EXPECT_EQ(process.Wait(), kInterrupted) << process.Errors();
  EXPECT_TRUE(FileExists(folder.Path("run/latest/state.json")));
  // As nohup starts a program.
  TrainerProcess other(arguments, folder.Path("errors"), [] { signal(SIGHUP, SIG_IGN); });
  const size_t steps = ReadMetrics(folder.Path("run")).size();
  ASSERT_TRUE(WaitUntil([&] { return ReadMetrics(folder.Path("run")).size() > steps; }));
  other.Signal(SIGHUP);
  const size_t later = ReadMetrics(folder.Path("run")).size();
  ASSERT_TRUE(WaitUntil([&] { return ReadMetrics(folder.Path("run")).size() > later + 3; }));
  other.Signal(SIGTERM);
  EXPECT_EQ(other.Wait(), kInterrupted);
}

TEST(TrainProgram, GoesOnWhenNobodyReadsItsLog) {
  const TrainingFolder folder;
  TrainerProcess process({folder.recipe_path(), "training.stop_steps=5"}, folder.Path("errors"),
                         [] {
                           int ends[2];
                           if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0) _exit(9);
                           close(ends[0]);
                           signal(SIGPIPE, SIG_DFL);
                         });
  EXPECT_EQ(process.Wait(), 0);
}

// The local addresses of a process's TCP sockets, as /proc/net writes them. Gloo's listen only
// until they are connected, and keep their address.
std::set<std::string> SocketAddresses(pid_t process) {
  const std::string root = fmt::format("/proc/{}", process);
  std::set<std::string> sockets;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root + "/fd", error)) {
    sockets.insert(std::filesystem::read_symlink(entry.path(), error).string());
  }
  std::set<std::string> addresses;
  for (const char* table : {"/net/tcp", "/net/tcp6"}) {
    std::ifstream lines(root + table);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream text(line);
      const std::vector<std::string> fields(std::istream_iterator<std::string>(text), {});
      if (fields.size() < 10 || !sockets.contains(fmt::format("socket:[{}]", fields[9]))) continue;
      addresses.insert(fields[1].substr(0, fields[1].find(':')));
    }
  }
  return addresses;
}

TEST(TrainProgram, ProcessesOfOneMachineListenOnLoopbackAlone) {
  const TrainingFolder folder;
  TrainerProcess process({folder.recipe_path(), "--nproc", "2", "training.steps=1000000",
                          "checkpoint.interval=0", "validation.interval=0"},
                         folder.Path("errors"));
  std::set<std::string> addresses;
  ASSERT_TRUE(WaitUntil([&] {
    for (const pid_t child : ChildrenOf(process.pid())) addresses.merge(SocketAddresses(child));
    return HasBegun(folder);
  }));
  EXPECT_THAT(addresses, ElementsAre("0100007F"));  // 127.0.0.1
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Wait(), kInterrupted);
}

// A port of this machine that was free a moment ago.
int FreePort() {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  socklen_t size = sizeof(address);
  bind(descriptor, reinterpret_cast<sockaddr*>(&address), size);
  getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
  close(descriptor);
  return ntohs(address.sin_port);
}

std::function<void()> AsRank(int rank, int port, int timeout_seconds) {
  return [=] {
    setenv("RANK", std::to_string(rank).c_str(), 1);
    setenv("WORLD_SIZE", "2", 1);
    setenv("LOCAL_WORLD_SIZE", "2", 1);
    setenv("LOCAL_RANK", std::to_string(rank).c_str(), 1);
    setenv("MASTER_ADDR", "127.0.0.1", 1);
    setenv("MASTER_PORT", std::to_string(port).c_str(), 1);
    setenv("BLOCKFORMER_PEER_TIMEOUT", std::to_string(timeout_seconds).c_str(), 1);
  };
}

TEST(TrainProgram, SaysForWhomItWaitsAndEndsWhenAsked) {
  const TrainingFolder folder;
  const int port = FreePort();
  const std::string expected[] = {"waits for process 1",
                                  fmt::format("waits for process 0 at 127.0.0.1:{}", port)};
  for (const int rank : {0, 1}) {
    TrainerProcess process({folder.recipe_path()}, folder.Path("errors"), AsRank(rank, port, 300));
    ASSERT_TRUE(WaitUntil([&] {
      return process.Errors().find(expected[rank]) != std::string::npos || !process.IsRunning();
    }));
    process.Signal(SIGTERM);
    EXPECT_EQ(process.Wait(), kInterrupted) << process.Errors();
    EXPECT_THAT(process.Errors(), HasSubstr("WORLD_SIZE"));
  }
}

TEST(TrainProgram, WaitsForAMissingProcessAsLongAsItIsTold) {
  const TrainingFolder folder;
  for (const int rank : {0, 1}) {
    TrainerProcess process({folder.recipe_path()}, folder.Path("errors"),
                           AsRank(rank, FreePort(), 1));
    EXPECT_EQ(process.Wait(), 1);
    EXPECT_THAT(process.Errors(), HasSubstr(fmt::format("in vain for process {}", 1 - rank)));
  }
}

TEST(TrainProgram, ProcessesWithDifferentRecipesOrDataDoNotTrain) {
  const TrainingFolder folder;
  folder.WriteTokens("other", 60, 3);
  const std::pair<std::string, const char*> cases[] = {
      {"training.learning_rate=0.5", "training.learning_rate: 0.01 in training process 0, but 0.5"},
      {"data.train=" + folder.Path("other"), "data.train."}};
  for (const auto& [override_text, message] : cases) {
    const int port = FreePort();
    TrainerProcess first({folder.recipe_path()}, folder.Path("errors"), AsRank(0, port, 300));
    TrainerProcess second({folder.recipe_path(), override_text}, folder.Path("errors2"),
                          AsRank(1, port, 300));
    for (TrainerProcess* process : {&first, &second}) {
      EXPECT_EQ(process->Wait(), 2);
      EXPECT_THAT(process->Errors(), HasSubstr(message));
    }
  }
  EXPECT_FALSE(FileExists(folder.Path("run")));
}

TEST(TrainProgram, ProcessesOfAnotherLauncherTrainTogether) {
  const TrainingFolder folder;
  const int port = FreePort();
  // Threads, device and output are each process's own.
  TrainerProcess second({folder.recipe_path(), "output=/nowhere", "training.threads=2"},
                        folder.Path("errors2"), AsRank(1, port, 300));
  TrainerProcess first({folder.recipe_path()}, folder.Path("errors"), AsRank(0, port, 300));
  EXPECT_EQ(first.Wait(), 0) << first.Errors();
  EXPECT_EQ(second.Wait(), 0) << second.Errors();
  EXPECT_EQ(ReadMetrics(folder.Path("run")).size(), 24u);
}

TEST(TrainProgram, ARankInTheEnvironmentAndNprocContradict) {
  const TrainingFolder folder;
  TrainerProcess process({folder.recipe_path(), "--nproc", "2"}, folder.Path("errors"),
                         AsRank(0, 29500, 1));
  EXPECT_EQ(process.Wait(), 2);
  EXPECT_THAT(process.Errors(), HasSubstr("--nproc 2: RANK is set"));
}

void LimitFileSize(pid_t process, rlim_t bytes) {
  rlimit limit = {};
  ASSERT_EQ(prlimit(process, RLIMIT_FSIZE, nullptr, &limit), 0);
  limit.rlim_cur = std::min(bytes, limit.rlim_max);
  ASSERT_EQ(prlimit(process, RLIMIT_FSIZE, &limit, nullptr), 0);
}

TEST(TrainProgram, AFullDiskAtAPeriodicCheckpointDoesNotEndTheRun) {
  const TrainingFolder folder;
  const std::vector<std::string> settings = {"validation.interval=0", "checkpoint.keep_best=false"};
  const auto arguments = [&](const char* steps) {
    std::vector<std::string> result = {folder.recipe_path(), steps};
    result.insert(result.end(), settings.begin(), settings.end());
    return result;
  };
  ASSERT_EQ(TrainerProcess(arguments("training.stop_steps=10"), folder.Path("errors")).Wait(), 0);
  TrainerProcess full(arguments("training.steps=1000000"), folder.Path("errors"), [] {
    signal(SIGXFSZ, SIG_IGN);  // write() fails instead
    LimitFileSize(0, 20000);
  });
  // Until metrics.jsonl has no room left either.
  ASSERT_TRUE(WaitUntil([&] {
    const std::string errors = full.Errors();
    return (errors.find("no checkpoint of step 15") != std::string::npos &&
            errors.find("lines are kept until there is room") != std::string::npos) ||
           !full.IsRunning();
  }));
  EXPECT_FALSE(FileExists(folder.Path("run/checkpoints/step-00000005")));  // made room
  EXPECT_TRUE(FileExists(folder.Path("run/checkpoints/step-00000010")));
  ASSERT_TRUE(full.IsRunning()) << full.Errors();
  LimitFileSize(full.pid(), RLIM_INFINITY);
  const auto newest = [&] {
    return std::filesystem::read_symlink(folder.Path("run/latest")).string();
  };
  ASSERT_TRUE(WaitUntil([&] { return newest() != "checkpoints/step-00000010"; }));
  full.Signal(SIGTERM);
  EXPECT_EQ(full.Wait(), kInterrupted) << full.Errors();
  const std::vector<Json> metrics = ReadMetrics(folder.Path("run"));
  int64_t step = 0;
  for (const Json& line : metrics) {
    if (line.contains("validation_loss")) continue;
    ASSERT_EQ(line["step"], ++step);
  }
}

TEST(TrainProgram, AFullDiskKeepsTheCheckpointBefore) {
  const TrainingFolder folder;
  ASSERT_EQ(StartAndWait(folder, {"training.stop_steps=5"}), 0);
  TrainerProcess full({folder.recipe_path()}, folder.Path("errors"), [] {
    signal(SIGXFSZ, SIG_IGN);  // write() fails instead
    const rlimit limit = {100000, 100000};
    setrlimit(RLIMIT_FSIZE, &limit);
  });
  EXPECT_EQ(full.Wait(), 1);
  EXPECT_THAT(full.Errors(), HasSubstr("safetensors"));
  EXPECT_TRUE(FileExists(folder.Path("run/checkpoints/step-00000005")));
  EXPECT_FALSE(FileExists(folder.Path("run/checkpoints/step-00000010")));
  ASSERT_EQ(StartAndWait(folder, {"output=" + folder.Path("whole")}), 0);
  ASSERT_EQ(StartAndWait(folder, {}), 0);
  ExpectSameTensors(folder.Path("whole"), folder.Path("run"));
}

TEST(TrainProgram, TheModelCardHasACommandThatRunsAgain) {
  const TrainingFolder folder;
  ASSERT_EQ(StartAndWait(folder, {"output=" + folder.Path("a 'run' ```")}), 0);
  const std::string command = fmt::format("blockformer train {} 'output={}'", folder.recipe_path(),
                                          folder.Path("a '\\''run'\\'' ```"));
  EXPECT_THAT(ReadFile(folder.Path("a 'run' ```/README.md")),
              HasSubstr(fmt::format("\n````\n{}\n````\n", command)));
}

// `blockformer train` hands its arguments on, and its users know no other name.
TEST(TrainProgram, HelpSaysHowItIsCalled) {
  const std::string command = std::string(BLOCKFORMER_TRAIN_PROGRAM) + " train --help";
  FILE* pipe = popen(command.c_str(), "r");
  std::string help(1 << 16, '\0');
  help.resize(fread(help.data(), 1, help.size(), pipe));
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_THAT(help, HasSubstr("Usage: blockformer train [OPTIONS] recipe"));
}

TEST(TrainProgram, WrongArgumentsHaveExitCode2) {
  const TrainingFolder folder;
  EXPECT_EQ(StartAndWait(folder, {"training.step=5"}), 2);
  EXPECT_EQ(StartAndWait(folder, {"--nproc", "0"}), 2);
  EXPECT_EQ(StartAndWait(folder, {"--nproc", "3"}), 2);  // 8 sequences do not divide by 3
  EXPECT_EQ(StartAndWait(folder, {"--nonsense"}), 2);
}

}  // namespace
}  // namespace blockformer::train
