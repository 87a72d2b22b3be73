#ifndef BLOCKFORMER_TEXT_UNICODE_H_
#define BLOCKFORMER_TEXT_UNICODE_H_

namespace blockformer {

bool IsLetter(char32_t character);         // general category L
bool IsNumber(char32_t character);         // general category N
bool IsWhiteSpace(char32_t character);     // the property White_Space
bool IsWordCharacter(char32_t character);  // \w of Unicode Technical Standard 18, annex C

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_UNICODE_H_
