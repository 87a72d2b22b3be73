#ifndef BLOCKFORMER_SERVER_SERVER_FILES_H_
#define BLOCKFORMER_SERVER_SERVER_FILES_H_

#include <string_view>

namespace blockformer {

// The contents of a file of src/server that the program carries with it: "page.html", the page at
// /, or "openapi.json".
std::string_view ServerFile(std::string_view name);

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_SERVER_FILES_H_
