#ifndef BLOCKFORMER_ERROR_H_
#define BLOCKFORMER_ERROR_H_

#include <stdexcept>
#include <string>

namespace blockformer {

// What kind of failure an Error reports; its message says the rest.
enum class ErrorCode {
  kInvalidArgument,  // an option, a request or a setting is wrong
  kNotFound,         // a file or a named thing does not exist
  kCorrupt,          // a file's contents contradict its format or each other
  kUnsupported,      // valid, but this build or this machine cannot do it
  kIo,               // the operating system refused to read or write
  kExhausted,        // memory, disk or another stated budget is used up
  kInterrupted,      // stopped before it was done, by a signal or by who asked for it
  kInternal,         // a defect of blockformer
};

// The only exception type that blockformer throws on purpose. The message is one line for a person:
// it names the file, field or option, the offending value, and what would be right. An option that
// is a flag of the programs under the same name stands in backquotes (`max_tokens`); they show it
// as that flag, --max-tokens.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}

  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ERROR_H_
