#include "server/server_files.h"

#include <algorithm>

#include "base/embedded_file.h"

namespace blockformer {

std::span<const EmbeddedFile> EmbeddedServerFiles();

std::string_view ServerFile(std::string_view name) {
  return std::ranges::find(EmbeddedServerFiles(), name, &EmbeddedFile::name)->text();
}

}  // namespace blockformer
