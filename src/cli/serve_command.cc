// `blockformer serve`: an OpenAI-compatible HTTP server for one model.
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "server/server.h"

namespace blockformer {
namespace {

constexpr char kKeyVariable[] = "BLOCKFORMER_API_KEY";
constexpr double kMaxSeconds = 1e6;

struct ServeFlags {
  std::string model;
  std::string memory;
  std::string max_body = "4M";
  std::string key_file;
  int64_t port = 8000;
  double request_timeout = 600;
  double drain_timeout = 30;
  double idle_timeout = 75;
  double receive_timeout = 30;
  double send_timeout = 30;
  ServerOptions server;
};

constexpr uint64_t kMaxKeyBytes = 4096;

// From a file or the environment: a flag's value could be seen by everybody on the machine.
std::string ReadKey(const std::string& path) {
  const char* variable = std::getenv(kKeyVariable);
  std::string key = variable != nullptr ? variable : "";
  std::string source = kKeyVariable;
  if (!path.empty()) {
    key = ReadFile(path, kMaxKeyBytes);
    source = path;
    while (key.ends_with('\n') || key.ends_with('\r')) key.pop_back();
  }
  Require(!key.empty() || (path.empty() && variable == nullptr), ErrorCode::kInvalidArgument,
          "{}: holds no key", source);
  for (const char c : key) {
    Require(c > ' ' && c < '\x7F', ErrorCode::kInvalidArgument,
            "{}: a key is made of letters, digits and signs of ASCII, without spaces", source);
  }
  return key;
}

std::chrono::milliseconds Milliseconds(const std::string& flag, double seconds, double min) {
  Require(seconds >= min && seconds <= kMaxSeconds, ErrorCode::kInvalidArgument,
          "{}: {} is out of range; {} to {} seconds are wanted", flag, seconds, min, kMaxSeconds);
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

void Serve(ServeFlags flags) {
  ServerOptions& server = flags.server;
  RequireInRange("--port", flags.port, 0, 65535);
  RequireInRange("--threads", server.engine.threads, 0, kMaxThreads);
  RequireInRange("--max-queue", server.max_queue, 0, 1 << 20);
  RequireInRange("--max-connections", server.max_connections, 1, 1 << 20);
  server.port = static_cast<uint16_t>(flags.port);
  if (!flags.memory.empty()) server.engine.memory_bytes = ParseSize("--memory", flags.memory);
  server.http.max_body_bytes = ParseSize("--max-body", flags.max_body);
  server.http.idle_timeout = Milliseconds("--idle-timeout", flags.idle_timeout, 0.1);
  server.http.receive_timeout = Milliseconds("--receive-timeout", flags.receive_timeout, 0.1);
  server.http.send_timeout = Milliseconds("--send-timeout", flags.send_timeout, 0.1);
  server.request_timeout = Milliseconds("--request-timeout", flags.request_timeout, 0);
  server.drain_timeout = Milliseconds("--drain-timeout", flags.drain_timeout, 0);
  server.api_key = ReadKey(flags.key_file);
  server.handle_signals = true;
  std::signal(SIGPIPE, SIG_IGN);  // whoever reads the messages may go away
  Server running(flags.model, server);
  PrintMessage("serving {} at {}\n", flags.model, running.url());
  running.Run();
}

void AddModelFlags(CLI::App* command, ServeFlags* flags) {
  ServerOptions& server = flags->server;
  command->add_option(kModelArgument, flags->model, "Model directory")
      ->required()
      ->type_name("DIR");
  command->add_option("--model-name", server.model_name,
                      "What requests call the model; without it the directory's name");
  GeneratorOptions& engine = server.engine;
  AddEngineFlags(command, {&engine.device, &engine.max_sequences, &engine.max_length,
                           &flags->memory, &engine.dtype, &engine.kv_dtype, &engine.threads});
  command->add_flag(
      "--plain-text", engine.plain_text,
      "The text of a special token in a prompt or a message is text; otherwise it is the "
      "token");
}

void AddListenFlags(CLI::App* command, ServeFlags* flags) {
  ServerOptions& server = flags->server;
  command->add_option("--host", server.host, "Name or address to listen at")->capture_default_str();
  command->add_option("--port", flags->port, "0: any that is free")->capture_default_str();
  command
      ->add_option("--api-key-file", flags->key_file,
                   "File with the key that every route but /health asks for; without it the "
                   "environment's BLOCKFORMER_API_KEY, if it is set")
      ->type_name("FILE");
  command->add_flag("--insecure-listen", server.insecure_listen,
                    "Serve without a key at addresses that other machines reach");
  command->add_option("--tls-cert", server.tls_certificate, "Certificate chain (PEM), for HTTPS")
      ->type_name("FILE");
  command->add_option("--tls-key", server.tls_key, "The certificate's key (PEM)")
      ->type_name("FILE");
  command->add_option("--cors-origin", server.cors_origin,
                      "Origin whose web pages may read answers, or *; without it none may");
}

void AddLimitFlags(CLI::App* command, ServeFlags* flags) {
  ServerOptions& server = flags->server;
  const auto seconds = [&](const char* name, double* value, const char* help) {
    command->add_option(name, *value, help)->capture_default_str()->type_name("SECONDS");
  };
  command
      ->add_option("--max-queue", server.max_queue,
                   "Sequences that may wait beside those of --batch; more are refused with 429")
      ->capture_default_str();
  command->add_option("--max-body", flags->max_body, "Largest body of a request")
      ->capture_default_str()
      ->type_name("SIZE");
  command->add_option("--max-connections", server.max_connections, "Connections open at once")
      ->capture_default_str();
  seconds("--request-timeout", &flags->request_timeout,
          "For all of an answer, waiting included; 0: no limit");
  seconds("--drain-timeout", &flags->drain_timeout,
          "After SIGTERM, for requests that are being answered");
  seconds("--idle-timeout", &flags->idle_timeout, "For a connection between requests");
  seconds("--receive-timeout", &flags->receive_timeout, "For a client to send a request");
  seconds("--send-timeout", &flags->send_timeout, "For a client to take each piece of an answer");
  command
      ->add_option("--access-log", server.access_log,
                   "A JSON line a request, without texts; - is standard output")
      ->type_name("FILE");
}

}  // namespace

void AddServeCommand(CLI::App& app) {
  const auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand(
      "serve", "Serves a model over HTTP, with OpenAI's interface (docs/serving.md).");
  AddModelFlags(command, flags.get());
  AddListenFlags(command, flags.get());
  AddLimitFlags(command, flags.get());
  command->callback([flags] { Serve(*flags); });
}

}  // namespace blockformer
