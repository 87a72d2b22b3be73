#ifndef BLOCKFORMER_BASE_TABLE_H_
#define BLOCKFORMER_BASE_TABLE_H_

#include <string>
#include <vector>

namespace blockformer {

// Tables for people and programs. Rows have a cell for each column, in UTF-8 with characters that
// are one place wide.

struct TableColumn {
  std::string header;
  bool is_number = false;  // stands at the right
};
using TableRows = std::vector<std::vector<std::string>>;

// Columns that are as wide as their widest cell, two spaces apart, below a line of their headers.
std::string AlignedTable(const std::vector<TableColumn>& columns, const TableRows& rows);

// A Markdown table whose columns line up in plain text too.
std::string MarkdownTable(const std::vector<TableColumn>& columns, const TableRows& rows);

// A line of comma-separated values (RFC 4180); what needs it stands in quotes.
std::string CsvLine(const std::vector<std::string>& fields);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_TABLE_H_
