#include "base/table.h"

#include <gtest/gtest.h>

namespace blockformer {
namespace {

TEST(TableTest, ColumnsLineUp) {
  const std::vector<TableColumn> columns = {{"name"}, {"loss", true}, {""}};
  const TableRows rows = {{"block", "4.17 ± 0.1", "best"}, {"é", "10", ""}};
  EXPECT_EQ(AlignedTable(columns, rows),
            "name         loss\n"
            "block  4.17 ± 0.1  best\n"
            "é              10\n");
  EXPECT_EQ(MarkdownTable(columns, rows),
            "|name |      loss|    |\n"
            "|-----|---------:|----|\n"
            "|block|4.17 ± 0.1|best|\n"
            "|é    |        10|    |\n");
}

TEST(TableTest, CsvQuotesWhatOthersWouldMisread) {
  EXPECT_EQ(CsvLine({"a", "", "1.5"}), "a,,1.5\n");
  EXPECT_EQ(CsvLine({"a,b", "say \"x\"", "two\nlines"}),
            "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\"\n");
}

}  // namespace
}  // namespace blockformer
