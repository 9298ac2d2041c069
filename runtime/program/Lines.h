// Lines in and lines out, over file descriptors.
#ifndef FOVEA_RUNTIME_PROGRAM_LINES_H
#define FOVEA_RUNTIME_PROGRAM_LINES_H

#include <cstddef>
#include <string>
#include <string_view>

namespace fovea::program {

// Reads lines that end in LF or CRLF; the last may lack its end. A line longer than `longest` bytes is cut there, the rest
// is read and dropped.
class LineReader {
public:
  // `wake`: a descriptor that becomes readable when reading must end; -1: none.
  LineReader(int descriptor, int wake, size_t longest) : descriptor(descriptor), wake(wake), longest(longest) {}

  enum Status {
    Line,     // `line` is the next one
    Waiting,  // nothing more for now
    End,      // no more lines, or woken
  };
  // It waits for a line as many milliseconds as `patience` says, -1 for ever. Throws Error when reading fails.
  Status next(std::string &line, bool &cut, int patience);

private:
  int descriptor, wake;
  size_t longest;
  std::string buffer;       // read and not yet given out
  size_t at = 0;            // where the next line begins
  size_t searched = 0;      // no line end before this
  bool ended = false;
  bool dropping = false;    // inside a line that was cut

  void take(std::string &line, size_t end, size_t next);
};

// Where results go: a descriptor, or a file that is written aside and renamed when it is complete.
class LineWriter {
public:
  // Standard output. An output file that is there and is no regular file (a pipe, a device) is written directly.
  explicit LineWriter(const std::string &path);
  // Removes what was written aside and not completed.
  ~LineWriter();
  LineWriter(const LineWriter &) = delete;

  void write(std::string_view text) { buffer += text; }
  // Throws Error when writing fails; false when nobody reads any more.
  bool flush();
  // The file is complete now.
  void complete();

private:
  std::string path, aside, buffer;
  int descriptor = 1;
};

}  // namespace fovea::program

#endif  // FOVEA_RUNTIME_PROGRAM_LINES_H
