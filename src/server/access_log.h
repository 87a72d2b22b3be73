#ifndef BLOCKFORMER_SERVER_ACCESS_LOG_H_
#define BLOCKFORMER_SERVER_ACCESS_LOG_H_

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace blockformer {

// Lines for a file, a pipe or a terminal, which a thread of its own writes: a reader that is slow,
// stalls or goes away holds nobody up. What cannot be written, and what does not fit into the
// bytes that may wait, is lost; a warning tells of the first time.
class AccessLog {
 public:
  static constexpr size_t kMaxWaitingBytes = 1 << 20;

  // Appends to the file `path`; "-" is standard output. Throws Error (kIo).
  explicit AccessLog(const std::string& path);
  // Writes what still waits if it is taken within a second.
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Adds the line, without its end. Never waits for the reader. Thread-safe.
  void Write(std::string_view line);

 private:
  void Run();
  // Waits for lines; returns what is there, which is empty at the end.
  std::string TakeWaiting();
  void WriteText(std::string_view text);
  // Returns false if nothing can be written within the time that is left at the end.
  bool AwaitWritable();
  void WarnOnce(const std::string& reason);

  std::string name_;
  int file_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string waiting_;
  bool ending_ = false;
  std::chrono::steady_clock::time_point end_;  // where `ending_`
  bool warned_ = false;
  std::thread thread_;  // the last member: it uses all others
};

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_ACCESS_LOG_H_
