#ifndef BLOCKFORMER_SERVER_WEB_PAGE_H_
#define BLOCKFORMER_SERVER_WEB_PAGE_H_

#include <string_view>

namespace blockformer {

// The page at "/": one HTML text without outside resources, that uses the server's own interface.
std::string_view WebPage();

}  // namespace blockformer

#endif  // BLOCKFORMER_SERVER_WEB_PAGE_H_
