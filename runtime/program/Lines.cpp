#include "runtime/program/Lines.h"

#include "runtime/program/Error.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fovea::program {

namespace {

constexpr size_t readSize = 1 << 16;

std::string reason() { return std::strerror(errno); }

}  // namespace

void LineReader::take(std::string &line, size_t end, size_t next) {
  line.assign(buffer, at, end - at);
  if (!line.empty() && line.back() == '\r')
    line.pop_back();
  at = searched = next;
}

LineReader::Status LineReader::next(std::string &line, bool &cut, int patience) {
  cut = false;
  for (;;) {
    size_t end = buffer.find('\n', searched);
    if (dropping && end != std::string::npos) {
      at = searched = end + 1;
      dropping = false;
      continue;
    }
    if (dropping) {
      at = searched = buffer.size();
    } else if (end != std::string::npos && end - at <= longest) {
      take(line, end, end + 1);
      return Line;
    } else if (end != std::string::npos || buffer.size() - at > longest) {
      cut = true;
      dropping = true;
      take(line, at + longest, at + longest);
      return Line;
    } else {
      searched = buffer.size();
    }
    if (ended) {
      if (at == buffer.size())
        return End;
      take(line, buffer.size(), buffer.size());
      return Line;
    }
    pollfd waits[] = {{descriptor, POLLIN, 0}, {wake, POLLIN, 0}};
    int ready = ::poll(waits, 2, patience);
    if (ready == 0)
      return Waiting;
    if (ready < 0 && errno == EINTR)
      continue;
    if (waits[1].revents)
      return End;
    buffer.erase(0, at);
    searched -= at;
    at = 0;
    size_t size = buffer.size();
    buffer.resize(size + readSize);
    ssize_t count = ::read(descriptor, buffer.data() + size, readSize);
    int error = errno;
    buffer.resize(size + size_t(count > 0 ? count : 0));
    if (count == 0)
      ended = true;
    else if (count < 0 && error != EINTR && error != EAGAIN) {
      errno = error;
      throw Error("cannot read the input: " + reason());
    }
  }
}

LineWriter::LineWriter(const std::string &path) : path(path) {
  if (path.empty())
    return;
  struct stat status;
  bool special = ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
  if (!special)
    aside = path + ".part" + std::to_string(::getpid());
  const std::string &name = special ? path : aside;
  descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    aside.clear();
    throw Error("cannot write `" + path + "`: " + reason());
  }
}

LineWriter::~LineWriter() {
  if (descriptor > 1)
    ::close(descriptor);
  if (!aside.empty())
    ::unlink(aside.c_str());
}

bool LineWriter::flush() {
  size_t done = 0;
  while (done < buffer.size()) {
    ssize_t count = ::write(descriptor, buffer.data() + done, buffer.size() - done);
    if (count >= 0)
      done += size_t(count);
    else if (errno == EAGAIN) {
      pollfd wait{descriptor, POLLOUT, 0};
      ::poll(&wait, 1, -1);
    } else if (errno == EPIPE) {
      buffer.clear();
      return false;
    } else if (errno != EINTR) {
      std::string sentence = "cannot write " + (path.empty() ? "the output" : "`" + path + "`") + ": " + reason();
      buffer.clear();
      throw Error(sentence);
    }
  }
  buffer.clear();
  return true;
}

void LineWriter::complete() {
  flush();
  if (aside.empty())
    return;
  if (::rename(aside.c_str(), path.c_str()) != 0)
    throw Error("cannot write `" + path + "`: " + reason());
  aside.clear();
}

}  // namespace fovea::program
