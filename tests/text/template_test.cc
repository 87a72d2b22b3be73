#include "text/template.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace blockformer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const Json& Record() {
  static const Json record = ParseJson(
      R"({"q": "What  is é?", "n": 2, "big": 9223372036854775807, "f": 1.5, "yes": true,
          "none": null, "list": ["a", "b", 3], "text": "the quick brown fox", "empty": "",
          "choices": {"text": ["red", "blue"], "label": ["A", "B"]}, "answerKey": "B",
          "ctx": "Ann met Bob because _ called.", "options": ["Ann", "Bob"], "größe": "XL"})",
      "record");
  return record;
}

std::string Render(const std::string& text) {
  return Template::Parse(text, "t.yaml:3: doc_to_text").Render(Record());
}

std::string ErrorOf(const std::string& text) {
  try {
    return "no error but " + Render(text);
  } catch (const Error& error) {
    return error.what();
  }
}

// What is expected in these was printed by Jinja2 3.1.
TEST(Template, RendersAsJinja2Does) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},
      {"no expression } { }} %}", "no expression } { }} %}"},
      {"Question: {{q}}\nAnswer:", "Question: What  is é?\nAnswer:"},
      {"{{ q }}{{n}}", "What  is é?2"},
      {"a\r\nb\rc\n\n", "a\nb\nc\n"},
      {"{{q}}\n", "What  is é?"},
      {"{{'x\\n'}}\n", "x\n"},
      {"{{ 'it\\'s' + \"\\\"\" + '\\x41\\u00e9\\t' }}", "it's\"Aé\t"},
      {"{{ '}}' }}", "}}"},
      {"{{text.split(' ')[:-1]|join(' ')}}", "the quick brown"},
      {"{{' '+text.split(' ')[-1]}}", " fox"},
      {"{{choices.label.index(answerKey)}}", "1"},
      {"{{'12abc'|int}} {{' 12 '|int}} {{'12.7'|int}} {{'1e3'|int}} {{''|int}}", "0 12 12 1000 0"},
      {"{{choices['text'][0]}}", "red"},
      {"{{ctx[ctx.index('_') + 1:].strip()}}", "called."},
      {"{{ 'a' + 'B' | lower + 'C' }}", "abC"},
      {"{{ ('a' + 'B') | upper }}", "AB"},
      {"{{ list|join }} {{ list | join ( '-' ) }}", "ab3 a-b-3"},
      {"{{ [1, 'x', [2][0],]|join(',') }}", "1,x,2"},
      {"{{ q|length + list|length + choices|length }}", "16"},
      {"{{ -1 + n }}", "1"},
      {"{{ -3 | abs }} {{ -n | abs }} {{ --n | abs }} {{ 2 - 3 | abs }} {{ -3 is odd }}",
       "3 2 2 -1 True"},
      {"{{ 5 is eq 3 | abs }}", "0"},
      {"{{ true == 1 }} {{ [true] == [1.0] }} {{ {'a': 1} == {'a': true} }} {{ 'a' == 1 }}",
       "True True True False"},
      {"{{ true in [1] }} {{ 1 is in [true] }} {{ 1 is sameas true }} {{ [true].index(1) }}",
       "True True False 0"},
      {"{{ [1, true, 2] | unique | length }} {{ 0 != false }}", "2 False"},
      {"{{ q[-2] }}{{ q[9:10] }}{{ q[20:] }}", "éé"},
      {"{{ q.split()|join('|') }}", "What|is|é?"},
      {"{{ text.split(' ', 1)[1] }}", "quick brown fox"},
      {"{{ text.split('q', -1)|length }}", "2"},
      {"{{ '  x '.lstrip() }}|{{ '  x '.rstrip() }}|{{ ' x '|trim }}|", "x |  x|x|"},
      {"{{ text.replace('the', 'a')|capitalize|replace('fox', 'DOG') }}", "A quick brown DOG"},
      {"{{ 'É'.lower() }}{{ 'é'.upper() }}{{ 'éA'.capitalize() }}", "éÉÉa"},
      {"{{ q.index('é') }}", "9"},
      {"{{ yes }} {{ f }} {{ big }}", "True 1.5 9223372036854775807"},
      {"{{ größe }}", "XL"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(Render(text), expected) << text;
}

// As above.
TEST(Template, RunsStatementsAsJinja2Does) {
  const std::pair<const char*, const char*> cases[] = {
      {"{% if n > 1 %}a{% elif n %}b{% else %}c{% endif %}", "a"},
      {"{% if n > 2 %}a{% elif n %}b{% else %}c{% endif %}", "b"},
      {"{% if not n %}a{% elif empty %}b{% else %}c{% endif %}", "c"},
      {"{% for x in list %}{{ loop.index }}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}",
       "1a,2b,33"},
      {"{% for x in list if x != 'b' %}{{ x }}{{ loop.length }}{% endfor %}", "a232"},
      {"{% for x in [] %}{{ x }}{% else %}none{% endfor %}", "none"},
      {"{% for k, v in choices.items() %}{{ k }}={{ v|join('+') }};{% endfor %}",
       "label=A+B;text=red+blue;"},
      {"{% for x in list %}{% if x == 'b' %}{% break %}{% endif %}{{ x }}{% endfor %}", "a"},
      {"{% for x in list %}{% if x == 'b' %}{% continue %}{% endif %}{{ x }}{% endfor %}", "a3"},
      {"{% for x in range(3) %}{% for y in 'ab' %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
       "0a 0b 1a 1b 2a 2b "},
      {"{% set x = 1 %}{% for y in list %}{% set x = 2 %}{% endfor %}{{ x }}", "1"},
      {"{% set x = 1 %}{% if n %}{% set x = 2 %}{% endif %}{{ x }}", "2"},
      {"{% set ns = namespace(x=0) %}{% for y in list %}{% set ns.x = ns.x + 1 %}{% endfor %}"
       "{{ ns.x }}",
       "3"},
      {"{% set x %}<{{ n }}>{% endset %}{{ x }}{{ x|length }}", "<2>3"},
      {"{% macro f(a, b='y') %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) "
       "}}",
       "1y1243"},
      {"a  {%- if n -%}  b  {%- endif -%}  c", "abc"},
      {"a {{- n -}} b{#- note -#} c", "a2bc"},
      {"{{ 'a' if n == 2 else 'b' }}{{ 'c' if f > 2 else 'd' }}", "ad"},
      {"{{ n - 1 }}{{ n * 3 }}{{ 7 // n }}{{ -7 // n }}{{ -7 % 3 }}{{ 1 / n }}", "163-420.5"},
      {"{{ 'a' ~ n ~ f }}", "a21.5"},
      {"{{ 'quick' in text }}{{ 'z' not in text }}{{ 3 in list }}{{ 'text' in choices }}",
       "TrueTrueTrueTrue"},
      {"{{ n == 2 and f or q }}{{ empty or 'x' }}{{ not n }}", "1.5xFalse"},
      {"{{ q is string }}{{ n is number }}{{ list is iterable }}{{ choices is mapping }}",
       "TrueTrueTrueTrue"},
      {"{{ missing is defined }}{{ q is defined }}{{ choices.x is not defined }}", "FalseTrueTrue"},
      {"{{ missing|default('d') }}{{ empty|default('e') }}{{ empty|default('e', true) }}", "de"},
      {"{{ n is eq 2 }}{{ n is odd }}{{ n is divisibleby 2 }}", "TrueFalseTrue"},
      {"{{ [{'a': 1}, {'a': 2}]|selectattr('a', 'equalto', 2)|map(attribute='a')|join }}", "2"},
      {"{{ ['x', 'y']|map('upper')|join }}{{ list[::-1]|join }}{{ 'abc'[::-1] }}", "XY3bacba"},
      {"{{ {'b': [1, 'é'], 'a': none}|tojson }}", "{\"a\": null, \"b\": [1, \"é\"]}"},
      {"{{ {'b': [1], 'c': []}|tojson(indent=2) }}", "{\n  \"b\": [\n    1\n  ],\n  \"c\": []\n}"},
      {"{{ 'xxaxx'.strip('x') }}{{ 'xxaxx'.lstrip('x') }}{{ text.startswith('the') }}", "aaxxTrue"},
      {"{{ 'it is'|title }}{{ list|first }}{{ list|last }}{{ choices.get('x', 5) }}", "It Isa35"},
      {"{{ 'a\nb'|indent(2) }}", "a\n  b"},
      {"{{ ('a', 'b')|join }}{{ 'a' 'b' }}{{ 1.5 }}", "abab1.5"},
      {"{% generation %}x{% endgeneration %}", "x"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(Render(text), expected) << text;
}

TEST(Template, IntegersHave64Bits) {
  EXPECT_THAT(ErrorOf("{{'1e300'|int}}"), HasSubstr("1e+300 is no integer of 64 bits"));
  EXPECT_THAT(ErrorOf("{{(-9223372036854775807 - 1)|abs}}"), HasSubstr("no absolute value"));
}

TEST(Template, NoLoopGoesOnForEver) {
  EXPECT_THAT(ErrorOf("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}"
                      "{% endfor %}"),
              HasSubstr("one record may take"));
  EXPECT_THAT(ErrorOf("{% set ns = namespace(x='xxxxxxxx') %}{% for a in range(99) %}"
                      "{% set ns.x = ns.x + ns.x %}{% endfor %}"),
              HasSubstr("bytes that one record may take"));
  std::string nested;
  for (int i = 0; i < 5000; ++i) nested += "{% if n %}";
  EXPECT_THAT(ErrorOf(nested), HasSubstr("nested deeper"));
  std::string negative = "{{";
  negative.append(30'000, '-');
  EXPECT_THAT(ErrorOf(negative + "1}}"), HasSubstr("nested too deep"));
}

TEST(Template, MessagesOfSeveralLinesNameTheLine) {
  EXPECT_THAT(ErrorOf("a\nb {{ x? }}"), HasSubstr("line 2, column 7: \"?\""));
}

TEST(Template, ASingleExpressionKeepsItsValue) {
  const auto evaluate = [](const char* text) {
    return Template::Parse(text, "t").Evaluate(Record());
  };
  EXPECT_EQ(evaluate("{{choices.text}}"), Json({"red", "blue"}));
  EXPECT_EQ(evaluate("{{[ctx[:ctx.index('_')] + options[0], ctx[:ctx.index('_')] + options[1]]}}"),
            Json({"Ann met Bob because Ann", "Ann met Bob because Bob"}));
  EXPECT_EQ(evaluate("{{list[1:] + [n]}}"), Json({"b", 3, 2}));
  EXPECT_EQ(evaluate("{{n}}"), 2);
  EXPECT_EQ(evaluate("{{n}} "), "2 ");
  EXPECT_EQ(evaluate("text"), "text");
}

TEST(Template, MistakesNameThePlaceAndTheColumn) {
  const std::pair<const char*, const char*> cases[] = {
      {"{% if q %}", "column 1: this statement has no endif"},
      {"{% for x in list %}{% endif %}", "column 20: the statement endif is not known here"},
      {"a{% endif %}", "column 2: the statement endif is not known here"},
      {"{% break %}", "the statement break is not known here"},
      {"{% include 'x' %}", "the statement include is not known here; known are if, for, set"},
      {"{% for in list %}", "; in is wanted"},
      {"{% if q }}", "column 9: \"}\" is not expected here; %} ends an expression"},
      {"é {# note", "column 3: the comment does not end"},
      {"{{q", "column 4: the template ends within an expression"},
      {"{{q}", "column 4: \"}\" is not expected here; }} ends an expression"},
      {"{{", "column 3: the template ends"},
      {"{{}}", "column 3: \"}\" is not expected here; a field"},
      {"{{q ? 'é'}}", "column 5: \"?\" is not expected here"},
      {"{{q - 1}}", "column 7: a string and an integer cannot be joined by -"},
      {"{{ -q }}", "column 4: an integer and a string cannot be joined by -"},
      {"{{ n // 0 }}", "a division by 0"},
      {"{{ n / 0 }}", "a division by 0"},
      {"{{ big * 2 }}", "the result is too large"},
      {"{{ 1 < 2 < 3 }}", "chains of comparisons are not read"},
      {"{{ n < q }}", "an integer and a string have no order"},
      {"{{ n in n }}", "what is searched is an integer"},
      {"{{ q is tall }}", "column 9: the test tall is not known"},
      {"{{ missing is string }}", "there is no field missing"},
      {"{{ loop.index }}", "there is no field loop"},
      {"{{ 'a' if missing }}", "there is no field missing"},
      {"{% set q.x = 1 %}", "q is no namespace"},
      {"{% for a, b in list %}{% endfor %}", "a string cannot be taken apart into 2 variables"},
      {"{% for a in n %}{% endfor %}", "the value before it is an integer"},
      {"{{ nothing(1) }}", "there is no function nothing with 1 arguments"},
      {"{{ raise_exception('no ' ~ n) }}", "column 4: no 2"},
      {"{{ range(1000000) }}", "at most 100000 is taken"},
      {"{{ range(-9223372036854775807 - 1, 0) }}", "at most 100000 is taken"},
      {"{% macro f(a) %}{{ f(a) }}{% endmacro %}{{ f(1) }}", "macros call each other too deep"},
      {"{% macro f(a) %}{% endmacro %}{{ f(b=1) }}", "f has no parameter b"},
      {"{{ q.split(sep=' ') }}", "split: the argument sep is not known"},
      {"{{ 99999999999999999999 }}", "column 4: the integer is too large"},
      {"{{ 'abc }}", "column 4: the string does not end"},
      {"{{ 'a\\q' }}", "column 6: not a known escape; known are"},
      {"{{ 'a\\", "column 6: not a known escape"},
      {"{{ '\\ud800' }}", "column 5: not a character; 4 hexadecimal"},
      {"{{ '\\x4' }}", "not a character; 2 hexadecimal"},
      {"{{ '\\U00110000' }}", "not a character"},
      {"{{ q.zfill() }}", "column 6: the method zfill is not known; known are split, strip,"},
      {"{{ q|center }}", "column 6: the filter center is not known; known are join, trim,"},
      {"{{ q.strip('x', 1) }}", "column 6: strip has 2 arguments; 0 to 1 are wanted"},
      {"{{ q.replace('x') }}", "replace has 1 arguments; 2 to 2"},
      {"{{ list(3) }}", "column 4: there is no function list"},
      {"{{ q[::2] }}", "column 5: of steps of slices only [::-1] is read"},
      {"{{ q[0 }}", "column 8: \"}\" is not expected here; ] is wanted"},
      {"{{ list|join(' ')[0] }}", "column 18: \"[\" is not expected"},
      {"{{ missing }}", "column 4: there is no field missing; there are answerKey, big, choices"},
      {"{{ choices.txt }}", "column 12: there is no field txt; there are label, text"},
      {"{{ q.txt }}", "column 6: a string has no field txt"},
      {"{{ choices[0] }}", "column 11: the name of a field is an integer"},
      {"{{ list[3] }}", "column 8: there is no element 3; there are 3"},
      {"{{ q[-12] }}", "there is no element -12; there are 11"},
      {"{{ list['a'] }}", "the index is a string; an integer is wanted"},
      {"{{ n[0] }}", "the value before [ is an integer"},
      {"{{ list[:'a'] }}", "the end of a slice is a string"},
      {"{{ q + n }}", "column 8: a string and an integer cannot be added up"},
      {"{{ big + 1 }}", "the sum is too large"},
      {"{{ list }}", "column 1: a list cannot stand in a text"},
      {"{{ none }}", "column 1: null cannot stand in a text"},
      {"{{ n|upper }}", "upper: the value before it is an integer; a string is wanted"},
      {"{{ q|join('') }}", "join: the value before it is a string; a list is wanted"},
      {"{{ [list]|join('') }}", "join: a list cannot stand in a text"},
      {"{{ q.split('') }}", "split: the separator is empty"},
      {"{{ q.replace('', 'x') }}", "replace: what is replaced is empty"},
      {"{{ list.index('z') }}", "index: the list does not hold \"z\""},
      {"{{ q.index('z') }}", "index: the string does not hold \"z\""},
      {"{{ list.index([1]) }}", "index: the list does not hold the value"},
      {"{{ q.index(1) }}", "index: what is looked for is an integer"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(ErrorOf(text), AllOf(StartsWith("t.yaml:3: doc_to_text: "), HasSubstr(message)))
        << text;
  }
  EXPECT_THAT(ErrorOf("\xFF"), HasSubstr("not valid UTF-8"));
}

TEST(Template, HostileTemplatesAreRefused) {
  EXPECT_THAT(ErrorOf("{{" + std::string(30'000, '(')), HasSubstr("nested deeper"));
  EXPECT_THAT(ErrorOf("{{" + std::string(30'000, '[')), HasSubstr("nested deeper"));
  EXPECT_THAT(ErrorOf(std::string(100'000, 'x')), HasSubstr("at most 65536"));
  // What is long but flat is no reason to refuse it.
  std::string sum = "{{n";
  for (int i = 0; i < 10'000; ++i) sum += "+1";
  EXPECT_EQ(Render(sum + "}}"), "10002");
  std::string strips = "{{q";
  for (int i = 0; i < 5'000; ++i) strips += ".strip()";
  EXPECT_EQ(Render(strips + "}}"), "What  is é?");
}

TEST(Template, WhatARecordMayTakeIsLimited) {
  std::string doubling = "{{text";
  for (int i = 0; i < 40; ++i) doubling += ".replace('o', 'oo')";
  EXPECT_THAT(ErrorOf(doubling + "}}"), HasSubstr("bytes"));

  const Json book = {{"book", std::string(size_t{1} << 20, 'a')}};
  const auto message = [&](const char* text) -> std::string {
    try {
      Template::Parse(text, "t").Evaluate(book);
      return "no error";
    } catch (const Error& error) {
      return error.what();
    }
  };
  EXPECT_THAT(message("{{book.replace('a', book)}}"), HasSubstr("replace: may make more than"));
  EXPECT_THAT(message("{{book.split('a', 99)|join(book)}}"),
              HasSubstr("join: makes more than 67108864 bytes"));
  EXPECT_THAT(message("{{book.split('a')|length}}"), HasSubstr("split: makes more than"));
  std::string lists = "{{[book";
  for (int i = 0; i < 100; ++i) lists += ",book";
  EXPECT_THAT(message((lists + "]}}").c_str()), HasSubstr("that one record may take"));
}

}  // namespace
}  // namespace blockformer
