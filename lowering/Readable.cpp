#include "lowering/Readable.h"

#include <cctype>

namespace fovea {

size_t unreadableProperties(std::string_view text) {
  size_t at = 0, line = 1;
  // To the next character that is neither space nor comment.
  auto skip = [&] {
    while (at < text.size()) {
      if (text.substr(at, 2) == "//")
        while (at < text.size() && text[at] != '\n') ++at;
      else if (!std::isspace(static_cast<unsigned char>(text[at]))) return;
      else line += text[at++] == '\n';
    }
  };
  auto inside = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '$'; };
  // Properties stand behind the operation's name, its attributes, or its indexing maps.
  for (bool place = false, array = false; skip(), at < text.size();) {
    char c = text[at];
    if (c == '"') {
      for (++at; at < text.size() && text[at] != '"' && text[at] != '\n'; ++at) at += text[at] == '\\';
      ++at;
      place = false;
    } else if (inside(c)) {
      size_t begin = at;
      while (at < text.size() && inside(text[at])) ++at;
      place = text.substr(begin, at - begin).starts_with("linalg.");
      array = text.substr(begin, at - begin) == "array";
    } else if (c == '<' && array) {
      ++at, skip();
      if (text.substr(at).starts_with("index")) return line;
      array = false;
    } else if (++at; c == '<' && place) {
      size_t opened = line;
      skip();
      if (at == text.size() || text[at] != '{') return opened;
      place = false;
    } else place = c == '}' || c == ']';
  }
  return 0;
}

}  // namespace fovea
