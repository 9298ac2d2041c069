#include "frontend/Diagnostics.h"

#include <algorithm>
#include <iterator>

namespace fovea {

namespace {

struct Entry {
  const char *name, *text;
};
const Entry entries[] = {
#define ERROR(id, rule, text) {#id, text},
#define NOTE(id, text) {#id, text},
#include "frontend/diagnostics.def"
#undef ERROR
#undef NOTE
};

std::string format(Diag id, DiagArgs args) {
  std::string out;
  for (const char *c = entries[static_cast<size_t>(id)].text; *c; ++c) {
    if (c[0] == '{' && c[1] >= '0' && c[1] <= '9' && c[2] == '}') {
      size_t n = static_cast<size_t>(c[1] - '0');
      if (n < args.size()) out += args.begin()[n];
      c += 2;
    } else {
      out += *c;
    }
  }
  return out;
}

// The line with a caret below; a long line is cut to the part around the caret, and bytes that are no text become `?`.
std::string snippet(std::string_view line, uint32_t column, uint32_t length) {
  constexpr uint32_t before = 100, after = 60;
  uint32_t first = column - 1 > before ? column - 1 - before : 0;
  if (first > line.size()) first = static_cast<uint32_t>(line.size());
  std::string_view shown = line.substr(first, before + after);
  std::string text, caret;
  for (uint32_t k = 0; k < shown.size(); ++k) {
    auto byte = static_cast<unsigned char>(shown[k]);
    text += byte < 0x20 && byte != '\t' ? '?' : shown[k];
    // Bytes that continue a character take no column on the screen.
    if (first + k + 1 < column && (byte & 0xc0) != 0x80) caret += byte == '\t' ? '\t' : ' ';
  }
  if (first + shown.size() + 1 < column) caret += ' ';
  uint32_t room = first + static_cast<uint32_t>(shown.size()) >= column ? first + static_cast<uint32_t>(shown.size()) - column + 1 : 1;
  uint32_t width = std::max(1u, std::min(length, room));
  return "  " + text + "\n  " + caret + "^" + std::string(width - 1, '~') + "\n";
}

}  // namespace

const char *diagnosticName(Diag id) { return entries[static_cast<size_t>(id)].name; }

void Diagnostics::error(Diag id, SourceRange at, DiagArgs args) {
  dropNotes = true;
  if (muted || errors >= most) return;
  if (!quiet.empty()) {
    auto line = quiet.find({at.file, sources.place(at).line});
    if (line != quiet.end() && at.begin > line->second) return;
  }
  std::string text = format(id, args);
  if (!seen.emplace(id, at.file, at.begin, at.end, text).second) return;
  ++errors;
  messages.push_back({true, id, at, std::move(text)});
  dropNotes = false;
}

void Diagnostics::quietAfter(SourceRange at) { quiet.try_emplace({at.file, sources.place(at).line}, at.begin); }

void Diagnostics::sort(size_t first) {
  // By place, each error with its notes.
  std::vector<std::vector<Message>> groups;
  for (size_t k = first; k < messages.size(); ++k) {
    if (messages[k].isError || groups.empty()) groups.emplace_back();
    groups.back().push_back(std::move(messages[k]));
  }
  std::stable_sort(groups.begin(), groups.end(), [](const auto &a, const auto &b) { return a[0].range.begin < b[0].range.begin; });
  messages.resize(first);
  for (auto &group : groups) std::move(group.begin(), group.end(), std::back_inserter(messages));
}

void Diagnostics::note(Diag id, SourceRange at, DiagArgs args) {
  if (!dropNotes && !messages.empty()) messages.push_back({false, id, at, format(id, args)});
}

std::string Diagnostics::str() const {
  std::string out;
  for (const Message &m : messages) {
    core::Place place = sources.place(m.range);
    out += sources.name(m.range.file) + ":" + std::to_string(place.line) + ":" + std::to_string(place.column) + (m.isError ? ": error: " : ": note: ") +
           m.text + "\n";
    out += snippet(sources.line(m.range.file, place.line), place.column, m.range.end - m.range.begin);
  }
  if (full()) out += "too many errors, the rest is not shown\n";
  return out;
}

}  // namespace fovea
