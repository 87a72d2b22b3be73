#include "server/web_page.h"

namespace blockformer {

std::string_view WebPage() {
  return R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>blockformer</title>
<style>
:root { color-scheme: light dark; --edge: #8886; --a: #2f6fde26; --b: #d9822b26; --bad: #c33; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: baseline; }
h1 { font-size: 1.2rem; margin: 0; }
#model, #status { opacity: .75; font-size: .9rem; }
textarea, input, select, button { font: inherit; padding: .4rem; border: 1px solid var(--edge);
  border-radius: .4rem; background: transparent; color: inherit; }
select option { color: initial; }
textarea { width: 100%; min-height: 6rem; resize: vertical; }
button { cursor: pointer; min-width: 5rem; }
button:disabled { opacity: .4; cursor: default; }
#fields { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .5rem;
  margin: .5rem 0; }
#fields label { font-size: .8rem; }
#fields input, #fields select { width: 100%; }
#bar { display: flex; gap: .5rem; flex-wrap: wrap; align-items: center; }
#out { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--edge);
  border-radius: .4rem; padding: .6rem; margin-top: .8rem; min-height: 8rem; }
.who { font-weight: 600; display: block; opacity: .75; font-size: .85rem; margin-top: .5rem; }
.block { border-radius: .25rem; background: var(--a); }
.block:nth-of-type(even) { background: var(--b); }
.token:hover, .token:focus { outline: 2px solid currentColor; border-radius: .2rem; }
.error { color: var(--bad); }
footer { margin-top: 1rem; font-size: .85rem; opacity: .75; }
</style>
</head>
<body>
<header><h1>blockformer</h1><span id="model"></span><span id="status" role="status"></span></header>
<form id="form">
<p><label for="prompt">Prompt (Ctrl+Enter generates, Escape stops)</label>
<textarea id="prompt" autofocus>Once upon a time</textarea></p>
<div id="fields">
<label>Mode<select id="mode"><option value="text">continue a text</option>
<option value="chat">chat</option></select></label>
<label>Max tokens<input id="max_tokens" type="number" min="1" value="128"></label>
<label>Temperature<input id="temperature" type="number" min="0" max="100" step="0.1" value="0.8"></label>
<label>Top p<input id="top_p" type="number" min="0.01" max="1" step="0.01" value="1"></label>
<label>Top k (0: all)<input id="top_k" type="number" min="0" value="0"></label>
<label>Min p<input id="min_p" type="number" min="0" max="1" step="0.01" value="0"></label>
<label>Repetition penalty<input id="repetition_penalty" type="number" min="0.01" max="100" step="0.01" value="1"></label>
<label>Seed (empty: random)<input id="seed" type="number"></label>
<label>Stop text<input id="stop" type="text"></label>
</div>
<div id="bar"><button id="go" type="submit">Generate</button>
<button id="halt" type="button" disabled>Stop</button>
<button id="clear" type="button">Clear</button>
<span id="speed" aria-live="off"></span></div>
</form>
<div id="out" aria-live="polite" aria-label="Generated text"></div>
<footer>Each shade is one step of the model: a block of tokens. A token shows its probability when
the pointer or the focus is on it. <a href="/docs">Interface</a> · <a href="/metrics">Metrics</a></footer>
<script>
"use strict";
const $ = id => document.getElementById(id);
let controller = null, turns = [];

fetch("/v1/models").then(r => r.json()).then(list => {
  const model = list.data[0];
  $("model").textContent = model.id + ", context of " + model.max_model_len + " tokens";
}).catch(() => { $("status").textContent = "the server does not answer"; });

function numberOf(id) { return $(id).value === "" ? undefined : Number($(id).value); }

function requestBody(chat) {
  const body = {stream: true, stream_options: {include_usage: true}};
  for (const id of ["max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed"])
    body[id] = numberOf(id);
  if ($("stop").value !== "") body.stop = $("stop").value;
  if (chat) Object.assign(body, {messages: turns, logprobs: true, top_logprobs: 3});
  else Object.assign(body, {prompt: $("prompt").value, logprobs: 3});
  return JSON.stringify(body);
}

function heading(text) {
  const who = document.createElement("strong");
  who.className = "who";
  who.textContent = text;
  $("out").append(who);
}

// Tokens with what is known of them: [{token, logprob, top: [[token, logprob], ...]}].
function tokensOf(choice, chat) {
  const values = choice.logprobs;
  if (!values) return [];
  if (chat) return values.content.map(c => ({token: c.token, logprob: c.logprob,
    top: c.top_logprobs.map(t => [t.token, t.logprob])}));
  return values.tokens.map((token, i) => ({token, logprob: values.token_logprobs[i],
    top: Object.entries(values.top_logprobs[i] || {})}));
}

function percent(logprob) { return (100 * Math.exp(logprob)).toPrecision(3) + " %"; }

function showBlock(text, tokens) {
  const block = document.createElement("span");
  block.className = "block";
  const whole = tokens.map(t => t.token).join("") === text;
  for (const t of whole ? tokens : [{token: text}]) {
    const span = document.createElement("span");
    span.className = "token";
    span.tabIndex = 0;
    span.textContent = t.token;
    const told = whole ? [t] : tokens;
    span.title = told.map(k => JSON.stringify(k.token) + " " + percent(k.logprob) +
      k.top.map(([name, value]) => "\n  " + JSON.stringify(name) + " " + percent(value)).join("")).join("\n");
    block.append(span);
  }
  $("out").append(block);
}

function fail(message) {
  const p = document.createElement("p");
  p.className = "error";
  p.textContent = message;
  $("out").append(p);
}

async function generate() {
  if (controller) return;
  const chat = $("mode").value === "chat";
  if (chat) {
    turns.push({role: "user", content: $("prompt").value});
    heading("you");
    $("out").append($("prompt").value);
    heading("model");
  } else {
    $("out").replaceChildren($("prompt").value);
  }
  const body = requestBody(chat);
  controller = new AbortController();
  $("go").disabled = true;
  $("halt").disabled = false;
  $("status").textContent = "generating";
  let answer = "", tokens = 0, begin = 0, failed = false;
  try {
    const response = await fetch(chat ? "/v1/chat/completions" : "/v1/completions", {method: "POST",
      headers: {"Content-Type": "application/json"}, body, signal: controller.signal});
    if (!response.ok) throw new Error((await response.json()).error.message);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const {done, value} = await reader.read();
      if (done) break;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = event.replace(/^data: /, "");
        if (data === "[DONE]") continue;
        const json = JSON.parse(data);
        if (json.error) throw new Error(json.error.message);
        for (const choice of json.choices) {
          const text = chat ? choice.delta.content || "" : choice.text;
          const list = tokensOf(choice, chat);
          if (text === "" && list.length === 0) continue;
          if (begin === 0) begin = performance.now(); else tokens += list.length;
          answer += text;
          if (text !== "") showBlock(text, list);
          const seconds = (performance.now() - begin) / 1000;
          if (seconds > 0 && tokens > 0) $("speed").textContent = (tokens / seconds).toFixed(1) + " tokens/s";
        }
      }
    }
    $("status").textContent = "done";
  } catch (error) {
    failed = error.name !== "AbortError";
    $("status").textContent = failed ? "failed" : "stopped";
    if (failed) fail(error.message);
  }
  if (chat && failed) turns.pop();
  else if (chat) { turns.push({role: "assistant", content: answer}); $("prompt").value = ""; }
  controller = null;
  $("go").disabled = false;
  $("halt").disabled = true;
  $("prompt").focus();
}

function halt() { if (controller) controller.abort(); }
function clear() { halt(); turns = []; $("out").replaceChildren(); $("speed").textContent = ""; $("status").textContent = ""; }
$("form").addEventListener("submit", e => { e.preventDefault(); generate(); });
$("halt").addEventListener("click", halt);
$("clear").addEventListener("click", clear);
$("mode").addEventListener("change", () => { clear(); $("prompt").value = ""; });
document.addEventListener("keydown", e => {
  if (e.key === "Escape") halt();
  if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); generate(); }
});
</script>
</body>
</html>
)html";
}

}  // namespace blockformer
