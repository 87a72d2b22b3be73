// Any bytes that a client may send: the first answer of a server of a tiny model is HTTP and does
// not tell of a fault of its own (500), or there is none and the connection ends.
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "server/server.h"
#include "tests/cpu/tiny_model_directory.h"
#include "tests/server/http_client.h"

namespace {

// Runs as long as the process.
class ServedTinyModel {
 public:
  ServedTinyModel() {
    std::string directory = std::filesystem::temp_directory_path() / "http-fuzz-XXXXXX";
    if (mkdtemp(directory.data()) == nullptr) throw std::runtime_error("no temporary directory");
    blockformer::WriteTinyModel(directory, blockformer::TinyTextConfig());
    blockformer::ServerOptions options;
    options.port = 0;
    options.engine.threads = 1;
    server_ = std::make_unique<blockformer::Server>(directory, options);
    std::filesystem::remove_all(directory);
    thread_ = std::thread([this] { server_->Run(); });
  }
  ~ServedTinyModel() {
    server_->Shutdown();
    server_->Shutdown();  // at once
    thread_.join();
  }
  uint16_t port() const { return server_->port(); }

 private:
  std::unique_ptr<blockformer::Server> server_;
  std::thread thread_;
};

// Whether the first answer is one that the input may have brought about.
bool IsAllowed(std::string_view received) {
  if (received.empty()) return true;  // closed without an answer
  return received.starts_with("HTTP/1.") && !received.substr(8, 4).starts_with(" 500");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ServedTinyModel served;
  blockformer::HttpClient client(served.port());
  client.Send({reinterpret_cast<const char*>(data), size});
  client.EndSending();
  while (client.ReadMore()) {
  }
  if (!IsAllowed(client.received())) {
    std::fprintf(stderr, "the answer is\n%s\n", client.received().c_str());
    abort();
  }
  return 0;
}
