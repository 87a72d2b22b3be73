#include "base/error.h"

#include <system_error>

namespace blockformer {

std::string SystemErrorText(int error_number) {
  return std::generic_category().message(error_number);
}

}  // namespace blockformer
