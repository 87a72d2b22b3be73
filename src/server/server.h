#ifndef BLOCKFORMER_SERVER_SERVER_H_
#define BLOCKFORMER_SERVER_SERVER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "blockformer/text_generator.h"
#include "server/connection.h"

namespace blockformer {

struct ServerOptions {
  // The model.
  std::string model_name;  // empty for the directory's
  GeneratorOptions engine;
  // Where it listens: a name of this machine or an address.
  std::string host = "127.0.0.1";
  uint16_t port = 8000;          // 0 for any that is free
  bool insecure_listen = false;  // without a key, at other addresses than this machine's own too
  std::string api_key;
  std::string tls_certificate;  // PEM files, both or none
  std::string tls_key;
  std::string cors_origin;  // whose web pages may read answers: an origin, or "*"; empty for none
  HttpLimits http;
  int64_t max_connections = 16384;
  int64_t max_queue = 256;                             // sequences that wait
  std::chrono::milliseconds request_timeout{600'000};  // 0 for none
  std::chrono::milliseconds drain_timeout{30'000};
  std::string access_log;       // a file, "-" for standard output, empty for none
  bool handle_signals = false;  // SIGTERM and SIGINT drain; a second one ends at once
};

// Serves a model over HTTP, see docs/serving.md.
class Server {
 public:
  // Loads the model and listens. Throws Error that names the option or file that is wrong.
  Server(const std::string& model_directory, const ServerOptions& options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const;
  std::string url() const;

  // Serves on the calling thread until Shutdown() or a signal, and what runs then has ended.
  void Run();

  // Refuses what is new, lets what runs go on for drain_timeout, and ends Run(). From any thread;
  // a second call ends what runs at once.
  void Shutdown();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_SERVER_H_
