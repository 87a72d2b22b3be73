#ifndef BLOCKFORMER_API_STATUS_H_
#define BLOCKFORMER_API_STATUS_H_

#include <exception>
#include <new>
#include <string>

#include "blockformer/blockformer.h"
#include "blockformer/error.h"

namespace blockformer {

// No more requests can wait now.
class FullError : public Error {
 public:
  explicit FullError(const std::string& message) : Error(ErrorCode::kExhausted, message) {}
};

bf_status StatusOf(ErrorCode code);

// The message of the calling thread's last error.
const char* LastError();

// Keeps the message for the calling thread and returns the status.
bf_status ReportError(bf_status status, const char* message) noexcept;

// Runs what a function of the C interface does, and turns what it throws into a status.
template <typename Body>
bf_status Guarded(Body&& body) noexcept {
  try {
    return body();
  } catch (const FullError& error) {
    return ReportError(BF_FULL, error.what());
  } catch (const Error& error) {
    return ReportError(StatusOf(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return ReportError(BF_EXHAUSTED, "there is not enough memory");
  } catch (const std::exception& error) {
    return ReportError(BF_INTERNAL, error.what());
  } catch (...) {
    return ReportError(BF_INTERNAL, "something unknown was thrown");
  }
}

}  // namespace blockformer

#endif  // BLOCKFORMER_API_STATUS_H_
