// Any bytes as a safetensors file: an Error, or tensors whose every byte lies in the file.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "blockformer/error.h"
#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int descriptor = memfd_create("safetensors", 0);
  if (write(descriptor, data, size) != static_cast<ssize_t>(size)) std::abort();
  try {
    const blockformer::SafetensorsFile file("/proc/self/fd/" + std::to_string(descriptor));
    size_t total = 0;
    for (const auto& [name, tensor] : file.tensors()) {
      unsigned sum = 0;
      for (const std::byte byte : tensor.bytes) sum += static_cast<unsigned>(byte);
      total += tensor.bytes.size();
      if (sum > tensor.bytes.size() * 255) std::abort();
      try {
        blockformer::ToFloats(tensor, name);
      } catch (const blockformer::Error&) {
        blockformer::ToInt64s(tensor, name);  // every type is one or the other
      }
    }
    if (total > size) std::abort();
  } catch (const blockformer::Error&) {
  }
  close(descriptor);
  return 0;
}
