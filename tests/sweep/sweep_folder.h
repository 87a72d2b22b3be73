#ifndef BLOCKFORMER_TESTS_SWEEP_SWEEP_FOLDER_H_
#define BLOCKFORMER_TESTS_SWEEP_SWEEP_FOLDER_H_

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "sweep/sweep_config.h"

namespace blockformer {

// A temporary directory with a base recipe, and whatever sweeps a test writes there.
class SweepFolder {
 public:
  SweepFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sweep.XXXXXX").string();
    path_ = mkdtemp(pattern.data());
    WriteFileAtomically(Path("base.yaml"), R"(
model:
  type: block
  vocab_size: 64
  max_length: 32
  block_length: 4
  embedder: {type: lookup, projection: concat, hidden_size: 16}
  block_decoder: {hidden_size: 64, num_hidden_layers: 3, num_attention_heads: 2}
  token_decoder: {type: prefix, expansion_ratio: 2, expansion: expansion_layer, hidden_size: 64,
                  num_hidden_layers: 3, num_attention_heads: 2, intermediate_size: 96}
training: {steps: 20, batch_size: 8, learning_rate: 1e-2}
output: unused
data: {train: )" + Path("tokens") + "}\n");
    for (const char* suffix : {".bin", ".idx"}) WriteFileAtomically(Path("tokens") + suffix, "");
  }
  SweepFolder(const SweepFolder&) = delete;
  SweepFolder& operator=(const SweepFolder&) = delete;
  ~SweepFolder() { std::filesystem::remove_all(path_); }

  std::string Path(const std::string& name) const { return path_ + "/" + name; }

  // Reads a sweep of these fields beside `recipe` and `output`.
  Sweep Read(const std::string& fields, const std::vector<std::string>& overrides = {}) const {
    WriteFileAtomically(Path("sweep.yaml"), "recipe: " + Path("base.yaml") +
                                                "\noutput: " + Path("out") + "\n" + fields);
    return ReadSweep(Path("sweep.yaml"), overrides);
  }

  // Writes an executable shell script and returns its path.
  std::string WriteProgram(const std::string& name, const std::string& script) const {
    WriteFileAtomically(Path(name), "#!/bin/sh\n" + script);
    chmod(Path(name).c_str(), 0755);
    return Path(name);
  }

 private:
  std::string path_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_SWEEP_SWEEP_FOLDER_H_
