#ifndef BLOCKFORMER_BLOCKFORMER_H_
#define BLOCKFORMER_BLOCKFORMER_H_

// The C interface (C99) of libblockformer. docs/c-interface.md says how it is used, and what stays
// as it is from version to version.
//
// Every function may be called from several threads at once, also on the same object, except that
// an object must be freed only once and not used during or after that. No function throws, and what
// a caller gets wrong (NULL, sizes, ids, bytes that are no UTF-8) is an error code. Texts are UTF-8
// with a length in bytes; they may hold zeros. What arguments point to is read during the call
// alone.

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// NOLINTBEGIN(readability-identifier-naming, modernize-use-using): this is C.

// Raised whenever something is added to this header.
#define BF_INTERFACE_VERSION 3

// What a function returns. After one of the errors (1 to 99) bf_last_error() has a message.
typedef int32_t bf_status;
enum {
  BF_OK = 0,
  BF_INVALID_ARGUMENT = 1,  // an argument or a setting is wrong
  BF_NOT_FOUND = 2,         // a file or a named thing does not exist
  BF_CORRUPT = 3,           // a file's contents contradict its format or each other
  BF_UNSUPPORTED = 4,       // valid, but this build, this machine or this model cannot do it
  BF_IO = 5,                // the operating system refused to read or write
  BF_EXHAUSTED = 6,         // memory, the model's context, time or another budget is used up
  BF_INTERRUPTED = 7,       // the engine was stopped
  BF_INTERNAL = 8,          // a defect of blockformer
  BF_FULL = 9,              // no more requests can wait now; later they can
  // Not errors: there is no event to return.
  BF_TIMEOUT = 100,  // none came within the time
  BF_IDLE = 101      // none is there, and no request is open from which one could come
};

// The version of the library, such as "0.1.0", and its BF_INTERFACE_VERSION.
const char* bf_version(void);
int32_t bf_interface_version(void);

// What was wrong in the last call of this thread that returned an error: one line that names the
// argument, the file or the field, the value, and what would be right. Valid until the thread's
// next such call. Empty before the first one.
const char* bf_last_error(void);

// A name such as "invalid argument"; "unknown" for other numbers.
const char* bf_status_name(bf_status status);

// ---------------------------------------------------------------------------------------- Loading

// Structures that callers fill begin with their size. Their init functions take it and set every
// field to its default.

typedef struct bf_engine_options {
  size_t struct_size;
  const char* device;    // "auto" (the fastest that is there), "cpu", "cuda" or "cuda:N"
  const char* dtype;     // of weights in memory: "auto" (as in the files), "f32", "bf16", "int8"
  const char* kv_dtype;  // of the KV cache: "auto" (suits the weights), "f32", "f16", "int8"
  const char* score_padding;  // where scored texts begin in a block model: "pad" (behind L - 1
                              // pads, so that all tokens are scored), "nopad" (at a block's start,
                              // the first L are not scored) or "auto" (as it was trained)
  int64_t max_sequences;      // sequences generated together; 32
  int64_t max_length;    // tokens a sequence, prompt included, and of scored texts; 0: the trained
                         // context
  int64_t max_waiting;   // requests that may wait beside max_sequences; 256
  int64_t memory_bytes;  // of the KV cache, reserved at the start; 0: what max_sequences of
                         // max_length take, but at most 80 % of what is available
  int64_t score_batch_tokens;  // tokens scored together; 8192. Scores do not depend on it
  int32_t threads;     // threads that compute; 0: as many as the processors that may be used. The
                       // engines of a process share them: while one uses them, another has one
  int32_t plain_text;  // 1: special tokens' texts in prompts and messages, such as
                       // "<|endoftext|>", are text
} bf_engine_options;

bf_status bf_engine_options_init(bf_engine_options* options, size_t struct_size);

// A model on a device, with its tokenizer and a thread that generates and scores for all requests
// together. What a request generates does not depend on the others.
typedef struct bf_engine bf_engine;

// Loads a model directory. `options` may be NULL. On success `*engine` is to be freed; otherwise it
// is NULL.
bf_status bf_engine_load(const char* model_directory, const bf_engine_options* options,
                         bf_engine** engine);

// Ends all requests (BF_FINISH_ERROR with BF_INTERRUPTED) and the engine's thread. From then on the
// engine accepts nothing (BF_INTERRUPTED), but still tokenizes. Not from callbacks.
bf_status bf_engine_stop(bf_engine* engine);

// Stops and frees the engine. NULL is ignored. Not from callbacks. Queues are freed apart, before
// or after.
void bf_engine_free(bf_engine* engine);

typedef struct bf_engine_info {
  size_t struct_size;    // set by the caller
  const char* device;    // where the model runs. These strings live as long as the engine
  const char* dtype;     // of the weights
  const char* kv_dtype;  // of the KV cache
  int64_t max_sequences;
  int64_t max_length;
  int64_t capacity;  // requests that can be open at once
  int64_t vocab_size;
  int64_t block_length;    // 1 for a vanilla model
  int32_t end_of_text_id;  // the model's
  int32_t has_chat_template;
} bf_engine_info;

bf_status bf_engine_get_info(const bf_engine* engine, bf_engine_info* info);

// As of the last step of the engine. A unit is a block, or a token of a vanilla model.
typedef struct bf_engine_stats {
  size_t struct_size;  // set by the caller
  int64_t open;        // requests that have not ended
  int64_t running;     // open requests that take part in steps
  int64_t steps;
  int64_t generated_tokens;
  int64_t computed_prompt_units;
  int64_t cached_prompt_units;  // found in the cache instead
  int64_t preemptions;
  int64_t cache_pages;
  int64_t cache_pages_in_use;
  int32_t accepting;  // 0 once the engine was stopped
} bf_engine_stats;

bf_status bf_engine_get_stats(const bf_engine* engine, bf_engine_stats* stats);

// ---------------------------------------------------------------------------------------- Texts

typedef struct bf_text {
  const char* data;  // UTF-8; may be NULL if size is 0
  size_t size;       // bytes
} bf_text;

// Flags of bf_tokenize.
enum {
  BF_NO_PREFIX = 1,     // without the ids that the tokenizer's template puts before a text
  BF_PARSE_SPECIAL = 2  // special tokens' texts are tokens, also with plain_text
};

// The following four functions write as much as fits into `capacity`, and set `*count` to how much
// there is, so that a call with a capacity of 0 asks for that. Nothing behind `*count` is written.

// The ids of a text.
bf_status bf_tokenize(const bf_engine* engine, bf_text text, int32_t flags, int32_t* ids,
                      size_t capacity, size_t* count);

// The text of ids, as UTF-8 without a zero at its end; what is no whole character becomes U+FFFD.
// With `skip_special`, special tokens have no text.
bf_status bf_detokenize(const bf_engine* engine, const int32_t* ids, size_t num_ids,
                        int32_t skip_special, char* text, size_t capacity, size_t* count);

// A conversation as the model's chat template writes it. `messages` is JSON: a list of objects,
// each with "role", a text, and "content", a text or since version 2 a list of parts
// {"type": "text", "text": ...}, which are joined. The role "developer" is "system", as in the
// server; other roles and fields are the template's. With `add_generation_prompt` the text ends
// where the assistant's answer begins. BF_UNSUPPORTED if the model has no template, or one that
// cannot be read.
bf_status bf_chat_text(const bf_engine* engine, bf_text messages, int32_t add_generation_prompt,
                       char* text, size_t capacity, size_t* count);

// The ids of that text, as bf_submit_chat continues them: special tokens' texts are tokens, but
// with plain_text those in messages are text. Since version 2.
bf_status bf_chat_ids(const bf_engine* engine, bf_text messages, int32_t add_generation_prompt,
                      int32_t* ids, size_t capacity, size_t* count);

// ---------------------------------------------------------------------------------- Generation

// Values of bf_event.finish.
enum {
  BF_GOES_ON = 0,             // more comes
  BF_FINISH_LENGTH = 1,       // max_tokens were made
  BF_FINISH_END_OF_TEXT = 2,  // the model ended its text, or one of stop_ids came
  BF_FINISH_STOP = 3,         // one of the stop texts came
  BF_FINISH_CANCELLED = 4,    // bf_cancel was called, or a callback wanted no more
  BF_FINISH_ERROR = 5         // `error` and `message` say why
};

// What became of a request since its last event. Log-probabilities are the model's own, before
// temperature and the like, in nats over the whole vocabulary.
typedef struct bf_event {
  int64_t request;   // the request's number
  const char* text;  // whole characters, not part of a stop text; zero-terminated
  size_t text_size;
  const int32_t* ids;  // including those of a stop text
  size_t num_ids;
  const double* log_probabilities;      // [num_ids]; NULL unless they were asked for
  const int32_t* top_ids;               // [num_ids, num_top], the likeliest first
  const double* top_log_probabilities;  // [num_ids, num_top]
  size_t num_top;
  int32_t finish;
  int32_t stop_id;        // the id that ended the text: end of text, or one of stop_ids; else -1
  bf_status error;        // with BF_FINISH_ERROR; else BF_OK
  const char* message;    // the error's; else empty
  int64_t prompt_tokens;  // of the prompt, without those that were cut
  int64_t cut_tokens;     // cut off the prompt's beginning, see too_long
} bf_event;

// Called on the engine's thread, so it must be quick: all requests wait for it. It may call
// bf_cancel and bf_submit_*, with a callback or a queue. The event is valid during the call. It
// returns 0 to go on; anything else cancels the request, and no event follows. It must not throw.
typedef int32_t (*bf_callback)(void* user, const bf_event* event);

// Values of bf_request_options.too_long: what becomes of a prompt that leaves no room for
// max_tokens.
enum {
  BF_TOO_LONG_ERROR = 0,         // BF_EXHAUSTED
  BF_TOO_LONG_TRUNCATE_LEFT = 1  // its last tokens are continued, as many as there is room for
};

// Values of bf_request_options.format: what form the text has. JSON texts end when they are whole,
// so that they do not go with ignore_end_of_text; max_tokens and stops may cut them. The model is
// not told: the prompt should say what is wanted. On the processor only, else BF_UNSUPPORTED. Since
// version 3.
enum {
  BF_FORMAT_TEXT = 0,         // any text
  BF_FORMAT_JSON_OBJECT = 1,  // any JSON object
  BF_FORMAT_JSON_SCHEMA = 2   // JSON that obeys json_schema
};

typedef struct bf_request_options {
  size_t struct_size;
  int64_t max_tokens;  // 128; -1: as many as fit
  // How tokens are drawn; what changes logits comes first, then the filters, in this order.
  const int32_t* bias_ids;      // [num_biases], each once
  const double* bias_values;    // [num_biases], -100 to 100; added to the logits of these ids
  size_t num_biases;            //
  double repetition_penalty;    // 1; 0.01 to 100
  double frequency_penalty;     // 0; -2 to 2
  double presence_penalty;      // 0; -2 to 2
  double temperature;           // 0: the most likely token
  int64_t top_k;                // 0: all
  double top_p;                 // 1; in (0, 1]
  double min_p;                 // 0; in [0, 1]
  uint64_t seed;                // 0. Requests of equal seed and stream draw alike
  uint64_t stream;              // 0. `blockformer generate` gives prompt i of a file stream i
  const bf_text* stops;         // [num_stops]; texts that end generation, not part of the result
  size_t num_stops;             //
  const int32_t* stop_ids;      // [num_stop_ids]; tokens that end generation
  size_t num_stop_ids;          //
  const int32_t* excluded_ids;  // [num_excluded_ids]; tokens that are never made; not all
  size_t num_excluded_ids;      //
  int64_t log_probabilities;    // of each token and this many of the likeliest (0 to 20); -1: none
  int64_t left_padding;  // pads before the prompt of a block model, 0 to L - 1; -1: as many as make
                         // it whole blocks, or as suit the next turns of a chat
  double deadline_seconds;     // fails with BF_EXHAUSTED after that long; 0: never
  int32_t priority;            // 0; higher ones go first
  int32_t ignore_end_of_text;  // 1: go on after the model ends its text
  int32_t too_long;            // BF_TOO_LONG_ERROR
  int32_t at_end;              // 1: one event, when the request ends, with all of it
  bf_callback callback;        // gets the events; then there must be no queue
  void* user;                  // for the callback
  // Since version 3.
  int64_t format;       // BF_FORMAT_TEXT
  bf_text json_schema;  // JSON; with BF_FORMAT_JSON_SCHEMA, else empty. docs/serving.md says which
                        // schemas are taken; others are BF_INVALID_ARGUMENT, and the message names
                        // the part, such as json_schema.properties.x.type
} bf_request_options;

bf_status bf_request_options_init(bf_request_options* options, size_t struct_size);

// Where events wait, in the order in which they came; any number of requests of any engines may
// share a queue.
typedef struct bf_queue bf_queue;

bf_status bf_queue_create(bf_queue** queue);

// Cancels the queue's open requests, and frees it with the events in it. NULL is ignored. Not while
// another thread waits for it.
void bf_queue_free(bf_queue* queue);

// Waits for the next event; a negative time is no limit. Returns BF_TIMEOUT when the time is over,
// BF_IDLE if there is none and no request is open, and then `*event` is NULL. Otherwise it is to be
// freed.
bf_status bf_queue_next(bf_queue* queue, double timeout_seconds, bf_event** event);

// NULL is ignored.
void bf_event_free(bf_event* event);

// Queues a request to continue a text, ids, or a conversation (see bf_chat_text), and gives its
// number, above 0, which no other request of the process has. Its events go to `queue`, or to
// options->callback, of which exactly one is wanted; the last one has `finish` set. All that is
// wrong with a request is returned here. `options` may be NULL. An empty prompt begins a new text.
// BF_FULL while capacity (bf_engine_info) requests are open.
bf_status bf_submit_text(bf_engine* engine, bf_queue* queue, bf_text prompt,
                         const bf_request_options* options, int64_t* request);
bf_status bf_submit_ids(bf_engine* engine, bf_queue* queue, const int32_t* ids, size_t num_ids,
                        const bf_request_options* options, int64_t* request);
bf_status bf_submit_chat(bf_engine* engine, bf_queue* queue, bf_text messages,
                         const bf_request_options* options, int64_t* request);

// Returns what bf_submit_ids would for what is wrong with the request itself, and queues nothing:
// so all of a batch can be checked before any of it is generated. Callback and queue may lack.
// Since version 2.
bf_status bf_check_ids(const bf_engine* engine, const int32_t* ids, size_t num_ids,
                       const bf_request_options* options);

// Ends a request within a step, and its last event tells so. One that has ended, or was never
// there, is ignored.
bf_status bf_cancel(bf_engine* engine, int64_t request);

// ------------------------------------------------------------------------------------- Scoring

// A continuation given a context; or with has_context 0 a whole text, the first token given the
// end-of-text token. They become tokens as in lm-evaluation-harness and `blockformer score`.
typedef struct bf_score_input {
  int32_t has_context;
  bf_text context;
  bf_text text;  // the continuation, or the text
} bf_score_input;

typedef struct bf_score_result {
  double log_likelihood;                // the sum, in nats; NaN if it is not a finite number
  const double* token_log_likelihoods;  // [num_tokens]
  size_t num_tokens;                    // that were scored
  int64_t cut_tokens;                   // cut off the beginning of a context that is too long
  int32_t is_greedy;                    // each token is the likeliest one
} bf_score_result;

// Log-likelihoods of texts, `count` of them; on success `*results` is to be freed with
// bf_scores_free. Waits until all are done; what is generated meanwhile goes on. The same, to the
// last digit, as `blockformer score`.
bf_status bf_score(bf_engine* engine, const bf_score_input* inputs, size_t count,
                   bf_score_result** results);

// Returns what bf_score would for what is wrong with a text, and scores nothing. Since version 2.
bf_status bf_check_score(const bf_engine* engine, const bf_score_input* input);

// NULL is ignored.
void bf_scores_free(bf_score_result* results);

// NOLINTEND(readability-identifier-naming, modernize-use-using)

#ifdef __cplusplus
}
#endif

#endif  // BLOCKFORMER_BLOCKFORMER_H_
