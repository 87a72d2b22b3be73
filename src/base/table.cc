#include "base/table.h"

#include <algorithm>

namespace blockformer {
namespace {

// Bytes of UTF-8 that begin a character.
size_t Width(const std::string& cell) {
  return static_cast<size_t>(
      std::ranges::count_if(cell, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

std::vector<size_t> Widths(const std::vector<TableColumn>& columns, const TableRows& rows) {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns.size(); ++i) {
    widths.push_back(Width(columns[i].header));
    for (const auto& row : rows) widths[i] = std::max(widths[i], Width(row[i]));
  }
  return widths;
}

std::string Padded(const std::string& cell, size_t width, bool is_number) {
  const std::string space(width - Width(cell), ' ');
  return is_number ? space + cell : cell + space;
}

}  // namespace

std::string AlignedTable(const std::vector<TableColumn>& columns, const TableRows& rows) {
  const std::vector<size_t> widths = Widths(columns, rows);
  std::string text;
  const auto add_row = [&](const auto& cell) {
    std::string line;
    for (size_t i = 0; i < columns.size(); ++i) {
      line += (i == 0 ? "" : "  ") + Padded(cell(i), widths[i], columns[i].is_number);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  add_row([&](size_t i) { return columns[i].header; });
  for (const auto& row : rows) add_row([&](size_t i) { return row[i]; });
  return text;
}

std::string MarkdownTable(const std::vector<TableColumn>& columns, const TableRows& rows) {
  constexpr size_t kLeast = 3;  // of a rule's dashes
  std::vector<size_t> widths = Widths(columns, rows);
  for (size_t& width : widths) width = std::max(width, kLeast);
  std::string text;
  const auto add_row = [&](const auto& cell) {
    text += '|';
    for (size_t i = 0; i < columns.size(); ++i) {
      text += Padded(cell(i), widths[i], columns[i].is_number) + "|";
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

std::string CsvLine(const std::vector<std::string>& fields) {
  std::string line;
  for (const std::string& field : fields) {
    if (&field != &fields.front()) line += ',';
    if (field.find_first_of(",\"\r\n") == std::string::npos) {
      line += field;
      continue;
    }
    line += '"';
    for (const char c : field) line += c == '"' ? "\"\"" : std::string(1, c);
    line += '"';
  }
  return line + '\n';
}

}  // namespace blockformer
