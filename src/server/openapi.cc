#include "server/openapi.h"

#include <fmt/format.h>

#include "config/json.h"

namespace blockformer {
namespace {

constexpr std::string_view kOpenApi = R"json({
"openapi": "3.1.0",
"info": {"title": "blockformer", "version": "1", "description": "An OpenAI-compatible server of Block Transformers. A field that is not listed is refused with 400. Errors have OpenAI's form."},
"security": [{"bearer": []}, {"basic": []}],
"paths": {
"/v1/models": {"get": {"summary": "The model that is served", "responses": {"200": {"$ref": "#/components/responses/Json"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/v1/models/{model}": {"get": {"summary": "One model", "parameters": [{"name": "model", "in": "path", "required": true, "schema": {"type": "string"}}], "responses": {"200": {"$ref": "#/components/responses/Json"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/v1/completions": {"post": {"summary": "Continues texts", "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Completion"}}}}, "responses": {"200": {"$ref": "#/components/responses/JsonOrEvents"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/v1/chat/completions": {"post": {"summary": "Answers a conversation, where the model has a chat template", "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Chat"}}}}, "responses": {"200": {"$ref": "#/components/responses/JsonOrEvents"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/v1/score": {"post": {"summary": "Log-likelihoods of continuations and texts, as `blockformer score` has them", "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Score"}}}}, "responses": {"200": {"$ref": "#/components/responses/Json"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/tokenize": {"post": {"summary": "Token ids of a text", "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Tokenize"}}}}, "responses": {"200": {"$ref": "#/components/responses/Json"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/detokenize": {"post": {"summary": "Text of token ids", "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Detokenize"}}}}, "responses": {"200": {"$ref": "#/components/responses/Json"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/tokenizer_info": {"get": {"summary": "What the tokenizer is", "responses": {"200": {"$ref": "#/components/responses/Json"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/health": {"get": {"summary": "200 while the server lives; needs no key", "security": [], "responses": {"200": {"$ref": "#/components/responses/Json"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/ready": {"get": {"summary": "200 while requests are taken, 503 while the server shuts down", "responses": {"200": {"$ref": "#/components/responses/Json"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/version": {"get": {"summary": "The program's version", "responses": {"200": {"$ref": "#/components/responses/Json"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/metrics": {"get": {"summary": "Metrics in Prometheus' text format", "responses": {"200": {"description": "Metrics", "content": {"text/plain": {}}}, "default": {"$ref": "#/components/responses/Error"}}}},
"/openapi.json": {"get": {"summary": "This description", "responses": {"200": {"$ref": "#/components/responses/Json"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/docs": {"get": {"summary": "This description as a page", "responses": {"200": {"$ref": "#/components/responses/Page"}, "default": {"$ref": "#/components/responses/Error"}}}},
"/": {"get": {"summary": "A page to try the model", "responses": {"200": {"$ref": "#/components/responses/Page"}, "default": {"$ref": "#/components/responses/Error"}}}}
},
"components": {
"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}, "basic": {"type": "http", "scheme": "basic"}},
"responses": {
"Json": {"description": "The answer", "content": {"application/json": {"schema": {"type": "object"}}}},
"JsonOrEvents": {"description": "The answer, or with stream server-sent events", "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}}},
"Page": {"description": "HTML", "content": {"text/html": {}}},
"Error": {"description": "An error", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
},
"schemas": {
"Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "object", "required": ["message", "type", "param", "code"], "properties": {"message": {"type": "string"}, "type": {"type": "string"}, "param": {"type": ["string", "null"]}, "code": {"type": ["string", "null"]}}}}},
"Sampling": {"type": "object", "properties": {
"model": {"type": ["string", "null"], "description": "the served model's name, or nothing"},
"n": {"type": ["integer", "null"], "minimum": 1, "maximum": 128, "description": "choices of each prompt; 1"},
"temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 100, "description": "0 takes the most likely token; 1"},
"top_p": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1, "description": "keep the fewest tokens of this much probability; 1"},
"top_k": {"type": ["integer", "null"], "minimum": -1, "description": "keep the k most likely tokens; 0 or -1 keeps all"},
"min_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1, "description": "keep tokens this likely beside the likeliest; 0"},
"repetition_penalty": {"type": ["number", "null"], "minimum": 0.01, "maximum": 100, "description": "above 1, tokens of the prompt and the text become less likely; 1"},
"presence_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2, "description": "taken off a logit once if the token was made; 0"},
"frequency_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2, "description": "taken off a logit for each time the token was made; 0"},
"logit_bias": {"type": ["object", "null"], "description": "numbers of -100 to 100 by token id, added to logits", "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}},
"stop": {"type": ["string", "array", "null"], "items": {"type": "string"}, "maxItems": 16, "description": "texts that end generation, themselves not part of it"},
"stop_token_ids": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}, "description": "ids that end generation as the end-of-text token does"},
"ignore_eos": {"type": ["boolean", "null"], "description": "go on after the end of a text"},
"seed": {"type": ["integer", "null"], "description": "the same seed gives the same text, at any load; random"},
"stream": {"type": ["boolean", "null"], "description": "answer by server-sent events"},
"stream_options": {"type": ["object", "null"], "properties": {"include_usage": {"type": ["boolean", "null"]}, "include_obfuscation": {"enum": [false, null]}}, "additionalProperties": false},
"user": {"type": ["string", "null"], "description": "taken and not used; so are safety_identifier and metadata"},
"safety_identifier": {"type": ["string", "null"]},
"metadata": {"type": ["object", "null"]},
"best_of": {"type": ["integer", "null"], "description": "only as large as n"},
"store": {"enum": [false, null]},
"skip_special_tokens": {"enum": [true, null]},
"response_format": {"enum": [{"type": "text"}, null]},
"service_tier": {"enum": ["auto", "default", null]}}},
"Completion": {"type": "object", "required": ["prompt"], "unevaluatedProperties": false, "allOf": [{"$ref": "#/components/schemas/Sampling"}], "properties": {
"prompt": {"description": "a text, token ids, or a list of either", "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}, {"type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": 0}}, "minItems": 1}]},
"max_tokens": {"type": ["integer", "null"], "minimum": 0, "description": "tokens to generate; 16; 0 only with echo"},
"logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20, "description": "log-probabilities of each token and of so many of the likeliest"},
"echo": {"type": ["boolean", "null"], "description": "the prompt before its continuation, with logprobs scored"},
"suffix": {"enum": ["", null]}}},
"Chat": {"type": "object", "required": ["messages"], "unevaluatedProperties": false, "allOf": [{"$ref": "#/components/schemas/Sampling"}], "properties": {
"messages": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["role", "content"], "properties": {"role": {"enum": ["system", "developer", "user", "assistant"]}, "content": {"type": ["string", "array"]}, "name": {"type": ["string", "null"]}}}, "description": "the conversation; content is a text, or a list of parts of type text"},
"max_completion_tokens": {"type": ["integer", "null"], "minimum": 1, "description": "tokens to generate; as many as fit"},
"max_tokens": {"type": ["integer", "null"], "minimum": 1, "description": "the same"},
"logprobs": {"type": ["boolean", "null"]},
"top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
"add_generation_prompt": {"type": ["boolean", "null"], "description": "end the prompt where an answer begins; true"},
"tools": {"type": ["array", "null"], "maxItems": 0},
"functions": {"type": ["array", "null"], "maxItems": 0},
"tool_choice": {"enum": ["none", "auto", null]},
"function_call": {"enum": ["none", "auto", null]},
"parallel_tool_calls": {"type": ["boolean", "null"]},
"modalities": {"enum": [["text"], null]}}},
"Score": {"type": "object", "required": ["inputs"], "additionalProperties": false, "properties": {
"model": {"type": ["string", "null"]},
"inputs": {"type": "array", "maxItems": 4096, "items": {"anyOf": [{"type": "object", "required": ["context", "continuation"], "additionalProperties": false, "properties": {"context": {"type": "string"}, "continuation": {"type": "string"}}}, {"type": "object", "required": ["text"], "additionalProperties": false, "properties": {"text": {"type": "string"}}}]}, "description": "pairs of which the continuation is scored, or texts, all of which is"},
"token_log_likelihoods": {"type": ["boolean", "null"], "description": "each token's too"}}},
"Tokenize": {"type": "object", "required": ["prompt"], "additionalProperties": false, "properties": {"model": {"type": ["string", "null"]}, "prompt": {"type": "string"}, "add_special_tokens": {"type": ["boolean", "null"], "description": "with the tokens that the tokenizer puts before a text; true without it"}, "return_token_strs": {"type": ["boolean", "null"], "description": "each token's text too"}}},
"Detokenize": {"type": "object", "required": ["tokens"], "additionalProperties": false, "properties": {"model": {"type": ["string", "null"]}, "tokens": {"type": "array", "items": {"type": "integer", "minimum": 0}}}}
}}})json";

std::string EscapeHtml(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '<') {
      escaped += "&lt;";
    } else if (c == '&') {
      escaped += "&amp;";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

// Rows of a table of the fields of a schema, those that it takes over first.
std::string FieldRows(const OrderedJson& document, const OrderedJson& schema) {
  std::string rows;
  if (schema.contains("allOf")) {
    for (const OrderedJson& part : schema["allOf"]) {
      const std::string reference = part["$ref"].get<std::string>();
      rows += FieldRows(document, document.at(OrderedJson::json_pointer(reference.substr(1))));
    }
  }
  for (const auto& [name, field] : schema["properties"].items()) {
    std::string values;
    for (const char* key : {"type", "enum", "minimum", "maximum", "maxItems"}) {
      if (!field.contains(key)) continue;
      const bool is_name = std::string_view(key) == "type" || std::string_view(key) == "enum";
      values += fmt::format("{}{}{}", values.empty() ? "" : ", ",
                            is_name ? "" : std::string(key) + " ", ToText(field[key]));
    }
    rows += fmt::format("<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>", name,
                        EscapeHtml(values), EscapeHtml(field.value("description", "")));
  }
  return rows;
}

}  // namespace

std::string_view OpenApiText() { return kOpenApi; }

std::string DocumentationPage() {
  const OrderedJson document = OrderedJson::parse(kOpenApi);
  std::string page =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<title>blockformer: interface</title><style>:root{color-scheme:light "
      "dark}body{font:16px/1.5 "
      "system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem}td{vertical-align:top;padding:"
      ".2rem .8rem .2rem 0}table{font-size:.9rem}</style><h1>Interface</h1>";
  page += "<p>" + EscapeHtml(document["info"]["description"].get<std::string>()) +
          " <a href=\"/openapi.json\">OpenAPI</a></p>";
  for (const auto& [path, methods] : document["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      page += fmt::format("<h2><code>{} {}</code></h2><p>{}</p>", method == "get" ? "GET" : "POST",
                          path, EscapeHtml(operation["summary"].get<std::string>()));
      if (!operation.contains("requestBody")) continue;
      const std::string reference =
          operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
              .get<std::string>();
      page += "<table>" +
              FieldRows(document, document.at(OrderedJson::json_pointer(reference.substr(1)))) +
              "</table>";
    }
  }
  return page + "</html>";
}

}  // namespace blockformer
