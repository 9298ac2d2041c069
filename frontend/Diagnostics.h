// Errors and notes: all texts live in diagnostics.def, each with an id and the rule it enforces.
#ifndef FOVEA_FRONTEND_DIAGNOSTICS_H
#define FOVEA_FRONTEND_DIAGNOSTICS_H

#include "frontend/Source.h"

#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace fovea {

enum class Diag : uint16_t {
#define ERROR(id, rule, text) id,
#define NOTE(id, text) id,
#include "frontend/diagnostics.def"
#undef ERROR
#undef NOTE
};

const char *diagnosticName(Diag id);

// A message's arguments, put into {0}, {1}, ... of its text.
using DiagArgs = std::initializer_list<std::string_view>;

class Diagnostics {
public:
  explicit Diagnostics(const SourceManager &sources) : sources(sources) {}

  // Notes follow the error they belong to. The same error at the same place is reported once.
  void error(Diag id, SourceRange at, DiagArgs args = {});
  void note(Diag id, SourceRange at, DiagArgs args = {});

  // What follows a byte that is no token, on its line, only follows from it.
  void quietAfter(SourceRange at);
  // Puts the errors of a file, from message `first` on, into the order of their places.
  void sort(size_t first);
  bool isMuted() const { return muted > 0; }
  bool hasErrors() const { return errors > 0; }
  unsigned errorCount() const { return errors; }
  bool full() const { return errors >= most; }  // twenty errors: time to stop
  // `file:line:col: error: text`, the line, a caret.
  std::string str() const;

  struct Message {
    bool isError;
    Diag id;
    SourceRange range;
    std::string text;
  };
  const std::vector<Message> &all() const { return messages; }

  // While one lives, errors are counted but not kept: for trials whose failure is no mistake of the user.
  class Muted {
  public:
    explicit Muted(Diagnostics &d) : d(d) { ++d.muted; }
    ~Muted() { --d.muted; }
    Muted(const Muted &) = delete;
    Muted &operator=(const Muted &) = delete;

  private:
    Diagnostics &d;
  };

  static constexpr unsigned most = 20;

private:
  const SourceManager &sources;
  std::vector<Message> messages;
  std::set<std::tuple<Diag, uint32_t, uint32_t, uint32_t, std::string>> seen;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> quiet;  // file and line -> from this offset on
  unsigned errors = 0;
  int muted = 0;
  bool dropNotes = false;  // the last error was not kept, neither are its notes
};

}  // namespace fovea

#endif  // FOVEA_FRONTEND_DIAGNOSTICS_H
