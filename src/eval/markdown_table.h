#ifndef BLOCKFORMER_EVAL_MARKDOWN_TABLE_H_
#define BLOCKFORMER_EVAL_MARKDOWN_TABLE_H_

#include <string>
#include <vector>

namespace blockformer {

struct TableColumn {
  std::string header;
  bool is_number = false;  // stands at the right
};

// A Markdown table whose columns line up in plain text too. Rows have a cell for each column, in
// ASCII or with characters that are one column wide.
std::string MarkdownTable(const std::vector<TableColumn>& columns,
                          const std::vector<std::vector<std::string>>& rows);

}  // namespace blockformer

#endif  // BLOCKFORMER_EVAL_MARKDOWN_TABLE_H_
