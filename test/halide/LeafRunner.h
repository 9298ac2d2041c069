// Generates a leaf with fovea-leaf, links it into a shared object and calls it by argument name. For tests and benchmarks.
#ifndef FOVEA_TEST_HALIDE_LEAFRUNNER_H
#define FOVEA_TEST_HALIDE_LEAFRUNNER_H

#include "lowering/halide/LeafSpec.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <unistd.h>

namespace fovea::leaf {

// Runs a command and gives its output and status.
inline int runCommand(const std::string &command, std::string &output) {
  output.clear();
  FILE *pipe = popen((command + " 2>&1").c_str(), "r");
  char part[4096];
  for (size_t n; (n = fread(part, 1, sizeof part, pipe)) > 0;) output.append(part, n);
  return WEXITSTATUS(pclose(pipe));
}

inline std::string temporaryFolder() {
  static const std::string folder = [] {
    char name[] = "/tmp/fovea-leaf-XXXXXX";
    return std::string(mkdtemp(name));
  }();
  return folder;
}

// A leaf in memory. Arguments are set by name and keep their values from call to call.
class Leaf {
public:
  explicit Leaf(const LeafSpec &spec) : arguments(signature(spec)), words(arguments.size()) {
    static int count = 0;
    const std::string base = temporaryFolder() + "/" + spec.name + std::to_string(count++);
    std::ofstream(base + ".json") << toJson(spec);
    std::string output;
    auto start = std::chrono::steady_clock::now();
    if (runCommand(FOVEA_LEAF " -o " + base + ".o < " + base + ".json", output) != 0) throw std::runtime_error(output + toJson(spec));
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    object = base + ".o";

    std::ofstream c(base + ".c");
    c << "#include <stdint.h>\n" << prototype(spec) << ";\nint call(void **p) { return " << spec.name << "(";
    for (size_t n = 0; n < arguments.size(); n++) {
      const char *cast = arguments[n].kind == Argument::Pointer ? "p[" : arguments[n].kind == Argument::Int ? "*(int32_t *)&p[" : "*(float *)&p[";
      c << (n ? ", " : "") << cast << n << "]";
    }
    // An arena, as the runtime has one.
    c << "); }\nstatic __thread char arena[1 << 23] __attribute__((aligned(128))); static __thread long top, most;\n"
         "long in_use(void) { return top; }\nlong peak_use(void) { return most; }\n"
         "void *halide_malloc(void *context, unsigned long size) { (void)context; char *p = arena + top; top += (size + 255) & ~127ul; *(long *)(arena + top - 128) = p - arena; if (top > most) most = top; return p; }\n"
         "void halide_free(void *context, void *p) { (void)context; top = *(long *)(arena + top - 128); if (p != arena + top) __builtin_trap(); }\n";
    c.close();
    if (runCommand("cc -shared -fPIC -O1 -o " + base + ".so " + base + ".c " + base + ".o", output) != 0) throw std::runtime_error(output);
    library = dlopen((base + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(dlerror());
    function = reinterpret_cast<int (*)(void **)>(dlsym(library, "call"));
    inUse = reinterpret_cast<long (*)()>(dlsym(library, "in_use"));
    peakUse = reinterpret_cast<long (*)()>(dlsym(library, "peak_use"));
  }
  Leaf(const Leaf &) = delete;
  ~Leaf() {
    if (library) dlclose(library);
  }

  Leaf &set(const std::string &name, const void *p) { return word(name) = const_cast<void *>(p), *this; }
  Leaf &set(const std::string &name, int v) { return std::memcpy(&word(name), &v, sizeof v), *this; }
  Leaf &set(const std::string &name, float v) { return std::memcpy(&word(name), &v, sizeof v), *this; }
  void operator()() {
    if (function(words.data()) != 0 || inUse() != 0) throw std::runtime_error("the leaf failed or leaked scratch");
  }

  long scratch() const { return peakUse(); }  // the most bytes that a call held

  std::string object;
  double seconds = 0;

private:
  std::vector<Argument> arguments;
  std::vector<void *> words;
  void *library = nullptr;
  int (*function)(void **) = nullptr;
  long (*inUse)() = nullptr, (*peakUse)() = nullptr;

  void *&word(const std::string &name) {
    for (size_t n = 0; n < arguments.size(); n++)
      if (arguments[n].name == name) return words[n];
    throw std::runtime_error("no argument " + name);
  }
};

// Expressions, briefly.
namespace build {
inline Expression f32(double v) { return {"f32", v, 0, {}}; }
inline Expression i32(int64_t v) { return {"i32", 0, v, {}}; }
inline Expression input(int64_t n) { return {"input", 0, n, {}}; }
inline Expression op(const std::string &name, std::vector<Expression> args = {}) { return {name, 0, 0, std::move(args)}; }
}  // namespace build

}  // namespace fovea::leaf

#endif  // FOVEA_TEST_HALIDE_LEAFRUNNER_H
