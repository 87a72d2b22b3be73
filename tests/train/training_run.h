#ifndef BLOCKFORMER_TESTS_TRAIN_TRAINING_RUN_H_
#define BLOCKFORMER_TESTS_TRAIN_TRAINING_RUN_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "config/train_recipe.h"
#include "data/token_file.h"
#include "tests/wait_until.h"

namespace blockformer {

// A temporary directory with token files of a simple language and a recipe for a tiny model.
class TrainingFolder {
 public:
  TrainingFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "training.XXXXXX").string();
    path_ = mkdtemp(pattern.data());
    WriteTokens("train", 60, 1);
    WriteTokens("validation", 10, 2);
    WriteFileAtomically(recipe_path(), Recipe());
  }
  TrainingFolder(const TrainingFolder&) = delete;
  TrainingFolder& operator=(const TrainingFolder&) = delete;
  ~TrainingFolder() { std::filesystem::remove_all(path_); }

  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  std::string recipe_path() const { return Path("recipe.yaml"); }

  TrainRecipe Read(std::vector<std::string> overrides = {}) const {
    return ReadTrainRecipe(recipe_path(), overrides);
  }

  // Overrides that give the model an encoder and a T5 decoder; with dropout if `rate` is not 0.
  static std::vector<std::string> EncoderAndT5(double rate) {
    const std::string dropout = ", dropout: " + std::to_string(rate) + "}";
    return {
        "model.embedder={type: roberta_cls, n_cls_tokens: 2, hidden_size: 16, "
        "num_hidden_layers: 1, num_attention_heads: 2" +
            dropout,
        "model.token_decoder={type: cross_attention, expansion: expansion_layer, "
        "hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, head_size: 8" +
            dropout};
  }

  void WriteTokens(const std::string& name, int documents, uint64_t seed) const {
    TokenFileWriter writer(Path(name), 64);
    Random random(seed);
    for (int i = 0; i < documents; ++i) {
      std::vector<int32_t> tokens(20 + random.Below(180));
      int32_t token = 1;
      for (int32_t& next : tokens) {
        next = token = (token * 3 + static_cast<int32_t>(random.Below(2))) % 61 + 1;
      }
      writer.Add(tokens);
    }
    writer.Commit();
  }

 private:
  std::string Recipe() const {
    return R"(
model:
  type: block
  vocab_size: 64
  max_length: 32
  block_length: 4
  embedder: {type: lookup, projection: concat, hidden_size: 8}
  block_decoder: {hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2}
  token_decoder: {type: prefix, expansion_ratio: 2, expansion: expansion_layer, hidden_size: 32,
                  num_hidden_layers: 1, num_attention_heads: 2}
training: {steps: 20, batch_size: 8, micro_batch_size: 4, learning_rate: 1e-2, warmup_steps: 4,
           threads: 1, device: cpu}
validation: {interval: 5, samples: 16}
checkpoint: {interval: 5}
)" + ("data: {train: " + Path("train") + ", validation: " + Path("validation") +
      "}\noutput: " + Path("run") + "\n");
  }

  std::string path_;
};

// blockformer-train as a process, with its standard error in a file.
class TrainerProcess {
 public:
  // `prepare` runs in the child before the program starts.
  TrainerProcess(
      std::vector<std::string> arguments, const std::string& error_path,
      const std::function<void()>& prepare = [] {})
      : error_path_(error_path) {
    arguments.insert(arguments.begin(), {BLOCKFORMER_TRAIN_PROGRAM, "train"});
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ != 0) return;
    const int error = open(error_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(error, STDERR_FILENO);
    prepare();
    execv(argv[0], argv.data());
    _exit(127);
  }
  TrainerProcess(const TrainerProcess&) = delete;
  TrainerProcess& operator=(const TrainerProcess&) = delete;
  ~TrainerProcess() {
    if (!reaped_) kill(pid_, SIGKILL), Wait();
  }

  void Signal(int signal_number) const { kill(pid_, signal_number); }
  bool IsRunning() {
    if (!reaped_ && waitpid(pid_, &status_, WNOHANG) == pid_) reaped_ = true;
    return !reaped_;
  }
  // Waits; the exit code, or 128 and the signal's number.
  int Wait() {
    if (!reaped_) waitpid(pid_, &status_, 0);
    reaped_ = true;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  }
  // What it has written to standard error so far; nothing before it has begun.
  std::string Errors() const { return FileExists(error_path_) ? ReadFile(error_path_) : ""; }
  pid_t pid() const { return pid_; }

 private:
  std::string error_path_;
  pid_t pid_ = 0;
  int status_ = 0;
  bool reaped_ = false;
};

// The lines of metrics.jsonl without what depends on the clock.
inline std::vector<Json> ReadMetrics(const std::string& output) {
  std::vector<Json> lines;
  const std::string text = ReadFile(output + "/metrics.jsonl");
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    lines.push_back(ParseJson(text.substr(begin, end - begin), "metrics.jsonl"));
    lines.back().erase("tokens_per_s");
    lines.back().erase("mfu");
    begin = end + 1;
  }
  return lines;
}

// Whether two runs ended with the same weights and moments, to the bit.
inline void ExpectSameTensors(const std::string& run, const std::string& other) {
  for (const char* name : {"/latest/model.safetensors", "/latest/optimizer.safetensors"}) {
    EXPECT_EQ(ReadFile(run + name), ReadFile(other + name)) << name;
  }
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_TRAIN_TRAINING_RUN_H_
