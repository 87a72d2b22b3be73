#ifndef BLOCKFORMER_BASE_LOG_H_
#define BLOCKFORMER_BASE_LOG_H_

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace blockformer {

enum class LogLevel { kInfo, kWarning, kError };

// Writes one line to standard error, so that standard output stays free for results. Thread-safe.
void LogMessage(LogLevel level, std::string_view message);

// Writes text to standard error as it is. What cannot be written there is lost, and the work it was
// about goes on, for instance where the disk is full or standard error is closed.
void WriteMessage(std::string_view text);

template <typename... Args>
void PrintMessage(fmt::format_string<Args...> format, Args&&... args) {
  WriteMessage(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  LogMessage(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  LogMessage(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_LOG_H_
