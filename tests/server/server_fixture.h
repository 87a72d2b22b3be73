#ifndef BLOCKFORMER_TESTS_SERVER_SERVER_FIXTURE_H_
#define BLOCKFORMER_TESTS_SERVER_SERVER_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <regex>
#include <string>
#include <thread>

#include "server/server.h"
#include "tests/cpu/tiny_model_directory.h"
#include "tests/server/http_client.h"
#include "tests/wait_until.h"

namespace blockformer {

// A server of a tiny random model, in this process.
class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/server-test-" + std::to_string(getpid()) + "/tiny";
    WriteTinyModel(directory_, TinyTextConfig());
    options_.port = 0;
    options_.engine.dtype = "int8";  // a row's results depend on the row alone
    options_.engine.max_sequences = 4;
    options_.engine.max_length = 1024;
    options_.drain_timeout = std::chrono::milliseconds(0);
  }
  void TearDown() override {
    Stop();
    std::filesystem::remove_all(std::filesystem::path(directory_).parent_path());
  }

  void Start() {
    server_ = std::make_unique<Server>(directory_, options_);
    thread_ = std::thread([this] { server_->Run(); });
  }
  void Stop() {
    if (!thread_.joinable()) return;
    server_->Shutdown();
    thread_.join();
    server_.reset();
  }

  uint16_t port() const { return server_->port(); }
  ClientResponse Get(const std::string& path, const std::string& headers = "") const {
    return HttpClient(port()).Get(path, headers);
  }
  ClientResponse Post(const std::string& path, const Json& body) const {
    return HttpClient(port()).Post(path, body);
  }
  ClientResponse Complete(const Json& body) const { return Post("/v1/completions", body); }

  // A metric's value, without its labels.
  double Metric(const std::string& name) const {
    std::smatch found;
    const std::string text = Get("/metrics").body;
    if (!std::regex_search(text, found, std::regex("\n" + name + "\\{[^}]*\\} ([^\n]+)"))) {
      ADD_FAILURE() << name << " is no metric in " << text;
      return -1;
    }
    return std::stod(found[1]);
  }

  // Sequences that run or wait.
  double Open() const {
    return Metric("vllm:num_requests_running") + Metric("vllm:num_requests_waiting");
  }

  // A stream that takes seconds, where max_length allows it.
  static Json LongRequest() {
    return {{"prompt", "x"}, {"max_tokens", 60'000}, {"ignore_eos", true}, {"stream", true}};
  }

  std::string directory_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_SERVER_SERVER_FIXTURE_H_
