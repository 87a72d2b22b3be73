// The server's parts that need no server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/json.h"
#include "server/credentials.h"
#include "server/http_message.h"
#include "server/metrics.h"
#include "server/openapi.h"
#include "server/request_id.h"

namespace blockformer {
namespace {

using testing::HasSubstr;

TEST(ServerMetrics, HistogramsAddUpTheirBuckets) {
  Histogram histogram({1, 10});
  histogram.Add(0.5);
  histogram.Add(1);
  histogram.Add(2, 3);
  histogram.Add(100);
  MetricsWriter writer("model_name=\"" + EscapeLabel("a\"b\\") + "\"");
  writer.Write("x", "An x.", histogram);
  writer.Counters("y", "Ys.", {{"code=\"200\"", 4}});
  EXPECT_EQ(writer.text(),
            "# HELP x An x.\n# TYPE x histogram\n"
            "x_bucket{model_name=\"a\\\"b\\\\\",le=\"1\"} 2\n"
            "x_bucket{model_name=\"a\\\"b\\\\\",le=\"10\"} 5\n"
            "x_bucket{model_name=\"a\\\"b\\\\\",le=\"+Inf\"} 6\n"
            "x_sum{model_name=\"a\\\"b\\\\\"} 107.5\n"
            "x_count{model_name=\"a\\\"b\\\\\"} 6\n"
            "# HELP y Ys.\n# TYPE y counter\ny{model_name=\"a\\\"b\\\\\",code=\"200\"} 4\n");
}

TEST(ServerCredentials, Base64) {
  EXPECT_EQ(DecodeBase64(""), "");
  EXPECT_EQ(DecodeBase64("YQ=="), "a");
  EXPECT_EQ(DecodeBase64("YWI="), "ab");
  EXPECT_EQ(DecodeBase64("YWJj"), "abc");
  EXPECT_EQ(DecodeBase64("+/8="), "\xFB\xFF");
  EXPECT_EQ(DecodeBase64("Y W"), std::nullopt);
}

TEST(ServerRequestId, ClientsIdsArePlain) {
  EXPECT_TRUE(IsRequestId("a-B_9."));
  EXPECT_FALSE(IsRequestId(""));
  EXPECT_FALSE(IsRequestId("a b"));
  EXPECT_FALSE(IsRequestId("a\r\nSet-Cookie: x"));
  EXPECT_FALSE(IsRequestId(std::string(65, 'a')));
  EXPECT_TRUE(IsRequestId(NewRequestId()));
  EXPECT_NE(NewRequestId(), NewRequestId());
}

TEST(ServerHttp, HeadersAreFoundInAnyCase) {
  HttpRequest request;
  request.headers = {{"Content-TYPE", "a"}, {"X", "b"}};
  EXPECT_EQ(*request.Header("content-type"), "a");
  EXPECT_EQ(request.Header("y"), nullptr);
}

TEST(ServerOpenApi, IsJsonAndAPage) {
  const Json document = Json::parse(OpenApiText(/*needs_key=*/true));
  EXPECT_EQ(document["security"].size(), 2U);
  EXPECT_EQ(Json::parse(OpenApiText(/*needs_key=*/false))["security"], Json::array());
  EXPECT_TRUE(document["paths"].contains("/v1/completions"));
  EXPECT_THAT(DocumentationPage(), HasSubstr("<code>repetition_penalty</code>"));
}

}  // namespace
}  // namespace blockformer
