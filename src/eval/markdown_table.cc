#include "eval/markdown_table.h"

#include <algorithm>

#include "text/python_text.h"

namespace blockformer {
namespace {

size_t Width(const std::string& cell) { return CountCharacters(cell); }

}  // namespace

std::string MarkdownTable(const std::vector<TableColumn>& columns,
                          const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns.size(); ++i) {
    widths.push_back(std::max<size_t>(3, Width(columns[i].header)));
    for (const auto& row : rows) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string text;
  const auto add_row = [&](const auto& cell) {
    text += '|';
    for (size_t i = 0; i < columns.size(); ++i) {
      const std::string content = cell(i);
      const std::string space(widths[i] - Width(content), ' ');
      text += (columns[i].is_number ? space + content : content + space) + "|";
    }
    text += '\n';
  };
  add_row([&](size_t i) { return columns[i].header; });
  add_row([&](size_t i) {
    return std::string(widths[i] - 1, '-') + (columns[i].is_number ? ":" : "-");
  });
  for (const auto& row : rows) add_row([&](size_t i) { return row[i]; });
  return text;
}

}  // namespace blockformer
