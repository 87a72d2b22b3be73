// A program in C99 as users write them, called by c_interface_test.cc. Returns NULL, or what was
// found wrong.
#include "tests/api/c_interface.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "blockformer/blockformer.h"

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      snprintf(problem, sizeof(problem), "line %d: %s (%s)", __LINE__, #condition, \
               bf_last_error());                                                   \
      return problem;                                                              \
    }                                                                              \
  } while (0)

static char problem[1024];

static bf_text Text(const char* text) {
  bf_text result;
  result.data = text;
  result.size = strlen(text);
  return result;
}

static const char* CheckTexts(const bf_engine* engine) {
  int32_t ids[16];
  char text[64];
  size_t count = 0;
  CHECK(bf_tokenize(engine, Text("abc the"), 0, NULL, 0, &count) == BF_OK);
  CHECK(count == 4);
  CHECK(bf_tokenize(engine, Text("abc the"), 0, ids, 16, &count) == BF_OK);
  CHECK(ids[0] == 'a' + 1);
  CHECK(bf_detokenize(engine, ids, count, 0, text, sizeof(text), &count) == BF_OK);
  CHECK(count == 7 && memcmp(text, "abc the", 7) == 0);
  return NULL;
}

static const char* CheckQueue(bf_engine* engine) {
  bf_queue* queue = NULL;
  bf_request_options options;
  bf_event* event = NULL;
  int64_t requests[3];
  size_t tokens[3] = {0, 0, 0};
  int open = 3;
  int i;
  CHECK(bf_queue_create(&queue) == BF_OK);
  CHECK(bf_queue_next(queue, -1, &event) == BF_IDLE);
  CHECK(bf_request_options_init(&options, sizeof(options)) == BF_OK);
  options.temperature = 1;
  options.max_tokens = 11;
  options.ignore_end_of_text = 1;
  for (i = 0; i < 3; ++i) {
    options.stream = (uint64_t)i;
    CHECK(bf_submit_text(engine, queue, Text("the end"), &options, &requests[i]) == BF_OK);
  }
  while (open > 0) {
    CHECK(bf_queue_next(queue, 60, &event) == BF_OK);
    for (i = 0; i < 3; ++i) {
      if (event->request == requests[i]) tokens[i] += event->num_ids;
    }
    CHECK(strlen(event->text) <= event->text_size);
    if (event->finish != BF_GOES_ON) {
      CHECK(event->finish == BF_FINISH_LENGTH);
      --open;
    }
    bf_event_free(event);
  }
  for (i = 0; i < 3; ++i) CHECK(tokens[i] == 11);
  CHECK(bf_queue_next(queue, -1, &event) == BF_IDLE);
  bf_queue_free(queue);
  return NULL;
}

static const char* CheckFormats(bf_engine* engine) {
  bf_queue* queue = NULL;
  bf_request_options options;
  bf_event* event = NULL;
  int64_t request;
  CHECK(bf_queue_create(&queue) == BF_OK);
  CHECK(bf_request_options_init(&options, sizeof(options)) == BF_OK);
  CHECK(options.format == BF_FORMAT_TEXT && options.json_schema.size == 0);
  options.max_tokens = 40;
  options.at_end = 1;
  options.format = BF_FORMAT_JSON_SCHEMA;
  options.json_schema = Text("{\"const\": 17}");
  CHECK(bf_submit_text(engine, queue, Text("the end"), &options, &request) == BF_OK);
  CHECK(bf_queue_next(queue, 60, &event) == BF_OK);
  CHECK(event->finish == BF_FINISH_END_OF_TEXT);
  CHECK(event->text_size >= 2 && strcmp(event->text + event->text_size - 2, "17") == 0);
  bf_event_free(event);
  bf_queue_free(queue);
  return NULL;
}

static const char* CheckScores(bf_engine* engine) {
  bf_score_input inputs[2];
  bf_score_result* results = NULL;
  double sum = 0;
  size_t i;
  memset(inputs, 0, sizeof(inputs));
  inputs[0].has_context = 1;
  inputs[0].context = Text("the");
  inputs[0].text = Text(" end");
  inputs[1].text = Text("the end");
  CHECK(bf_score(engine, inputs, 2, &results) == BF_OK);
  CHECK(results[0].num_tokens == 4);
  for (i = 0; i < 4; ++i) sum += results[0].token_log_likelihoods[i];
  CHECK(results[0].log_likelihood == sum && isfinite(sum) && sum < 0);
  bf_scores_free(results);
  return NULL;
}

const char* RunCInterface(const char* model_directory) {
  bf_engine* engine = NULL;
  bf_engine_options options;
  bf_engine_info info;
  bf_engine_stats stats;
  const char* found;
  CHECK(bf_interface_version() == BF_INTERFACE_VERSION);
  CHECK(bf_engine_options_init(&options, sizeof(options)) == BF_OK);
  options.dtype = "int8";
  options.score_padding = "pad";
  options.max_sequences = 2;
  CHECK(bf_engine_load(model_directory, &options, &engine) == BF_OK);
  info.struct_size = sizeof(info);
  CHECK(bf_engine_get_info(engine, &info) == BF_OK);
  CHECK(strcmp(info.dtype, "int8") == 0 && strcmp(info.kv_dtype, "f16") == 0);
  found = CheckTexts(engine);
  if (found == NULL) found = CheckQueue(engine);
  if (found == NULL) found = CheckScores(engine);
  if (found != NULL) return found;
  stats.struct_size = sizeof(stats);
  do { /* the last step may still be under way */
    CHECK(bf_engine_get_stats(engine, &stats) == BF_OK);
  } while (stats.generated_tokens < 33);
  CHECK(stats.generated_tokens == 33 && stats.accepting == 1);
  found = CheckFormats(engine);
  if (found != NULL) return found;
  bf_engine_free(engine);
  CHECK(bf_engine_load("no-such-model", NULL, &engine) != BF_OK);
  CHECK(engine == NULL && strstr(bf_last_error(), "no-such-model") != NULL);
  return NULL;
}
