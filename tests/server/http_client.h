#ifndef BLOCKFORMER_TESTS_SERVER_HTTP_CLIENT_H_
#define BLOCKFORMER_TESTS_SERVER_HTTP_CLIENT_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "config/json.h"

namespace blockformer {

struct ClientResponse {
  int status = 0;  // 0 if the server closed the connection without an answer
  std::string head;
  std::string body;

  Json json() const { return Json::parse(body); }
  bool HasHeader(const std::string& line) const {
    return head.find("\r\n" + line + "\r\n") != std::string::npos;
  }
  // The contents of server-sent events.
  std::vector<std::string> Events() const {
    std::vector<std::string> events;
    for (size_t begin = 0; begin < body.size();) {
      const size_t end = body.find("\n\n", begin);
      if (end == std::string::npos || !body.substr(begin).starts_with("data: ")) {
        throw std::runtime_error("not an event: " + body.substr(begin));
      }
      events.push_back(body.substr(begin + 6, end - begin - 6));
      begin = end + 2;
    }
    return events;
  }
};

// A connection to a server on this machine that says what it is told to, right or wrong.
class HttpClient {
 public:
  explicit HttpClient(uint16_t port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // A server that never answers fails the test rather than to hold it up.
    const timeval limit = {60, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      throw std::runtime_error("the server cannot be reached");
    }
  }
  ~HttpClient() { Close(); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void Close() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  // So that the server, not the system, holds what is not read.
  void KeepReceiveBufferSmall() {
    const int bytes = 32 << 10;
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
  }
  void EndSending() { shutdown(socket_, SHUT_WR); }

  // What the server no longer takes is lost.
  void Send(std::string_view data) {
    while (!data.empty()) {
      const ssize_t sent = send(socket_, data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      data.remove_prefix(static_cast<size_t>(sent));
    }
  }

  // Reads some bytes; false at the end of what the server sends.
  bool ReadMore() {
    char bytes[4096];
    const ssize_t size = recv(socket_, bytes, sizeof(bytes), 0);
    if (size < 0 && errno == EAGAIN) throw std::runtime_error("the server does not answer");
    if (size <= 0) return false;
    received_.append(bytes, size);
    return true;
  }
  const std::string& received() const { return received_; }

  // The next answer; one to HEAD has no body.
  ClientResponse Read(bool has_body = true) {
    ClientResponse response;
    size_t end = 0;
    while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
      if (!ReadMore()) return response;
    }
    response.head = received_.substr(0, end + 2);
    received_.erase(0, end + 4);
    response.status = std::stoi(response.head.substr(9, 3));
    if (!has_body || response.status == 100 || response.status == 204) return response;
    if (response.HasHeader("Transfer-Encoding: chunked")) {
      while (ReadChunk(&response.body)) {
      }
      return response;
    }
    const size_t field = response.head.find("Content-Length: ");
    if (field == std::string::npos) {
      while (ReadMore()) {
      }
      response.body = std::exchange(received_, "");
      return response;
    }
    const size_t size = std::stoul(response.head.substr(field + 16));
    while (received_.size() < size && ReadMore()) {
    }
    response.body = received_.substr(0, size);
    received_.erase(0, size);
    return response;
  }

  ClientResponse Get(const std::string& path, const std::string& headers = "") {
    Send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
    return Read();
  }
  ClientResponse Post(const std::string& path, const std::string& body,
                      const std::string& headers = "") {
    Send(PostText(path, body, headers));
    return Read();
  }
  ClientResponse Post(const std::string& path, const Json& body) { return Post(path, body.dump()); }

  static std::string PostText(const std::string& path, const std::string& body,
                              const std::string& headers = "") {
    return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
           "Content-Length: " + std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
  }

 private:
  bool ReadChunk(std::string* body) {
    size_t end = 0;
    while ((end = received_.find("\r\n")) == std::string::npos) {
      if (!ReadMore()) return false;
    }
    const size_t size = std::stoul(received_.substr(0, end), nullptr, 16);
    while (received_.size() < end + 2 + size + 2) {
      if (!ReadMore()) return false;
    }
    body->append(received_, end + 2, size);
    received_.erase(0, end + 2 + size + 2);
    return size > 0;
  }

  int socket_;
  std::string received_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_SERVER_HTTP_CLIENT_H_
