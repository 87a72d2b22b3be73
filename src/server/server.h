#ifndef BLOCKFORMER_SERVER_SERVER_H_
#define BLOCKFORMER_SERVER_SERVER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/number_type.h"
#include "server/connection.h"

namespace blockformer {

struct ServerOptions {
  // The model.
  std::string model_name;                 // empty for the directory's
  std::string device = "auto";            // where it runs, see devices/devices.h
  std::optional<NumberType> weight_type;  // of the weights in memory; without one, the files' own
  std::optional<NumberType> kv_type;      // without one, f32 beside f32 weights, otherwise f16
  int64_t max_sequences = 32;             // generated together
  int64_t max_length = 0;                 // tokens a sequence; 0 for the model's context
  int64_t memory_bytes = 0;               // of the KV cache; 0 leaves the choice
  int threads = 0;                        // 0 for one a processor
  bool plain_text = false;                // texts of special tokens in prompts are text
  // Where it listens: a name of this machine or an address.
  std::string host = "127.0.0.1";
  uint16_t port = 8000;          // 0 for any that is free
  bool insecure_listen = false;  // without a key, at other addresses than this machine's own too
  std::string api_key;
  std::string tls_certificate;  // PEM files, both or none
  std::string tls_key;
  std::string cors_origin;
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
