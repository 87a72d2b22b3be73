/* Continues prompts, all of them together: generate MODEL_DIRECTORY PROMPT... */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blockformer/blockformer.h"

static void Check(bf_status status) {
  if (status == BF_OK) return;
  fprintf(stderr, "%s: %s\n", bf_status_name(status), bf_last_error());
  exit(1);
}

int main(int argc, char** argv) {
  bf_engine* engine = NULL;
  bf_queue* queue = NULL;
  bf_request_options options;
  bf_event* event = NULL;
  int i;
  if (argc < 3) {
    fprintf(stderr, "usage: generate MODEL_DIRECTORY PROMPT... (blockformer %s)\n", bf_version());
    return 2;
  }
  Check(bf_engine_load(argv[1], NULL, &engine));
  Check(bf_queue_create(&queue));
  Check(bf_request_options_init(&options, sizeof(options)));
  options.max_tokens = 64;
  options.temperature = 0.7;
  options.top_p = 0.95;
  options.at_end = 1; /* without it an event comes with each few tokens */

  int64_t* requests = malloc((size_t)argc * sizeof(*requests));
  if (requests == NULL) return 1;
  for (i = 2; i < argc; ++i) {
    bf_text prompt;
    prompt.data = argv[i];
    prompt.size = strlen(argv[i]);
    options.stream = (uint64_t)i; /* so that equal prompts get texts of their own */
    Check(bf_submit_text(engine, queue, prompt, &options, &requests[i]));
  }
  while (bf_queue_next(queue, -1, &event) == BF_OK) {
    for (i = 2; i < argc && requests[i] != event->request;) ++i;
    if (event->finish == BF_FINISH_ERROR) {
      fprintf(stderr, "%s: %s\n", argv[i], event->message);
    } else {
      printf("%s%.*s\n", argv[i], (int)event->text_size, event->text);
    }
    bf_event_free(event);
  }
  free(requests);
  bf_queue_free(queue);
  bf_engine_free(engine);
  return 0;
}
