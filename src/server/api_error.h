#ifndef BLOCKFORMER_SERVER_API_ERROR_H_
#define BLOCKFORMER_SERVER_API_ERROR_H_

#include <stdexcept>
#include <string>

#include "blockformer/error.h"
#include "config/json.h"

namespace blockformer {

// A request that is answered with an error, in OpenAI's form.
class ApiError : public std::runtime_error {
 public:
  // `param` is the field that is wrong, empty if it is none.
  ApiError(int status, const std::string& message, std::string param = "", std::string code = "")
      : std::runtime_error(message),
        status_(status),
        param_(std::move(param)),
        code_(std::move(code)) {}

  int status() const { return status_; }

  // {"error": {"message", "type", "param", "code"}}
  OrderedJson ToJson() const;

 private:
  int status_;
  std::string param_;
  std::string code_;
};

// Throws ApiError(400) about a field.
[[noreturn]] void FailField(const std::string& field, const std::string& problem);

// The same for what the model's parts have thrown. Answers name no file: where the problem has a
// place in one, that goes to the log alone.
[[noreturn]] void FailField(const std::string& field, const Error& error);

// The answer to a request whose time is over.
ApiError RequestTimeout();

// The answer to a request that the engine refuses or gives up for another reason than its deadline.
ApiError ToApiError(const Error& error);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_API_ERROR_H_
