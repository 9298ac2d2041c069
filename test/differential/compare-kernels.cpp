// Many kernels in one process, each against both oracles, for run.py. A line of standard input is one kernel, with tabs between
//
//   ID  HOW  FILE  IN.safetensors  CLEAN.safetensors or nothing  name=value...
//
// and is answered by lines that end with `end ID STATUS`. The kernel runs in several placements of its tensors: each against an unmapped
// page, after it or before it, so that a read or a write beside a tensor is a crash, and spread out with gaps that must stay as they
// are. CLEAN is IN with harmless values where no row visits (rule M7): nothing may differ. It is `any` where the rules do not say what
// comes of IN, only that something does. HOW is `full` or `quick`: with or without LLVM's passes, which take most of the time; or it is the
// target, `opencl`.
//
// The strict f32 oracle is asked only where the kernel and the f64 oracle differ: what it differs in as well is left out.
#include "frontend/Frontend.h"
#include "tools/Execute.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fmt/core.h>
#include <iostream>
#include <sys/mman.h>
#include <unistd.h>

using namespace fovea;

namespace {

enum Placement { PageAfter, PageBefore, Gaps };
const char *const placementNames[] = {"with a page after each tensor", "with a page before each tensor", "with gaps in each tensor"};
constexpr unsigned char gap = 0xff;  // a NaN; -1; a bool that is none

// One tensor, placed. What a handler of signals reads lies in plain arrays.
class Placed {
public:
  Placed(const DLTensor &from, int64_t size, Placement placement, const std::string &name) : name(name), size(size), tensor(from) {
    int rank = from.ndim;
    strides.assign(rank, 1);
    for (int axis = rank - 2; axis >= 0; axis--) {
      // Every row but those of one axis is longer than it must be.
      int64_t more = placement == Gaps ? (axis == rank - 2 ? 3 : strides[axis + 1]) : 0;
      strides[axis] = std::max<int64_t>(from.shape[axis + 1], 1) * strides[axis + 1] + more;
    }
    int64_t last = 0;
    for (int axis = 0; axis < rank; axis++) {
      if (from.shape[axis] == 0) empty = true;
      last += (from.shape[axis] - 1) * strides[axis];
    }
    span = empty ? 0 : size_t(last + 1) * size;
    size_t page = size_t(sysconf(_SC_PAGESIZE));
    mapped = (span + page - 1) / page * page + 2 * page;
    base = static_cast<unsigned char *>(mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base == MAP_FAILED || (span && mprotect(base + page, mapped - 2 * page, PROT_READ | PROT_WRITE))) std::abort();
    if (span) std::memset(base + page, gap, mapped - 2 * page);
    start = placement == PageAfter ? base + mapped - page - span : base + page;
    tensor.data = start;
    tensor.byte_offset = 0;
    if (placement == Gaps) tensor.strides = strides.data();
    copy(const_cast<unsigned char *>(static_cast<const unsigned char *>(from.data)), true);
  }
  ~Placed() { munmap(base, mapped); }
  Placed(const Placed &) = delete;

  // Between compact memory and here.
  void copy(unsigned char *compact, bool in) const {
    if (empty) return;
    forEachRow([&](int64_t offset, int64_t row, int64_t length) {
      unsigned char *here = start + offset * size, *there = compact + row * length * size;
      std::memcpy(in ? here : there, in ? there : here, size_t(length * size));
    });
  }

  // Whether nothing was written outside the tensor.
  bool gapsAreWhole() const {
    if (empty) return true;
    std::vector<bool> inside(span);
    forEachRow([&](int64_t offset, int64_t, int64_t length) { std::fill_n(inside.begin() + offset * size, length * size, true); });
    for (size_t k = 0; k < span; k++)
      if (!inside[k] && start[k] != gap) return false;
    return true;
  }

  const std::string name;
  const int64_t size;  // of an element
  DLTensor tensor;
  unsigned char *base, *start;
  size_t mapped, span;

private:
  template <typename F> void forEachRow(F use) const {
    int rank = tensor.ndim;
    int64_t rows = 1, length = rank ? tensor.shape[rank - 1] : 1;
    for (int axis = 0; axis + 1 < rank; axis++) rows *= tensor.shape[axis];
    for (int64_t row = 0; row < rows; row++) {
      int64_t offset = 0, rest = row;
      for (int axis = rank - 2; axis >= 0; axis--) offset += rest % tensor.shape[axis] * strides[axis], rest /= tensor.shape[axis];
      use(offset, row, length);
    }
  }
  bool empty = false;
  std::vector<int64_t> strides;
};

// For the handler: what runs, and where its tensors lie.
std::vector<std::unique_ptr<Placed>> *running = nullptr;
const char *phase = "outside a kernel";

void crashed(int number, siginfo_t *information, void *) {
  std::fprintf(stdout, "crash: signal %d %s", number, phase);
  auto *at = static_cast<unsigned char *>(information->si_addr);
  for (size_t k = 0; running && k < running->size(); k++)
    if (Placed *p = (*running)[k].get(); at >= p->base && at < p->base + p->mapped)
      std::fprintf(stdout, ", %td bytes %s `%s`", at < p->start ? p->start - at : at - p->start - ptrdiff_t(p->span), at < p->start ? "before" : "after the end of", p->name.c_str());
  std::fputs("\n", stdout);
  std::fflush(stdout);
  std::signal(number, SIG_DFL);
  std::raise(number);
}

bool callPlaced(const core::Function &kernel, Loaded &loaded, const Arguments &arguments, CompileOptions::Arithmetic arithmetic, Placement placement, std::vector<Buffer> &results,
                std::string &error) {
  if (!allocateResults(kernel, arguments, arithmetic, results, error)) return false;
  std::vector<std::unique_ptr<Placed>> placed;
  std::vector<void *> pointers;
  for (size_t k = 0; k < kernel.parameters.size(); k++) {
    const auto &p = kernel.parameters[k];
    if (p.scalar) pointers.push_back(arguments.pointers[k]);
    else {
      placed.push_back(std::make_unique<Placed>(arguments.tensors[p.id].tensor, (arguments.tensors[p.id].tensor.dtype.bits + 7) / 8, placement, kernel.tensors[p.id].name));
      pointers.push_back(&placed.back()->tensor);
    }
  }
  for (size_t k = 0; k < results.size(); k++) {
    int64_t size = elementSize(kernel.results[k].type, arithmetic);
    std::memset(results[k].tensor.data, gap, size_t(results[k].count() * size));  // what is not written shows
    placed.push_back(std::make_unique<Placed>(results[k].tensor, size, placement, kernel.results[k].name));
    pointers.push_back(&placed.back()->tensor);
  }
  phase = placementNames[placement];
  running = &placed;
  int status = loaded.call(pointers.data());
  running = nullptr;
  phase = "outside a kernel";
  if (status) return error = loaded.lastError(), false;
  for (size_t k = 0; k < placed.size(); k++)
    if (!placed[k]->gapsAreWhole()) return error = "wrote between the rows of `" + placed[k]->name + "`", false;
  for (size_t k = 0; k < results.size(); k++) placed[placed.size() - results.size() + k]->copy(static_cast<unsigned char *>(results[k].tensor.data), false);
  return true;
}

bool sameBits(const Buffer &a, const Buffer &b, int64_t size) {
  // NaN is equal to NaN, whatever its bits.
  for (int64_t k = 0; k < a.count(); k++) {
    auto *x = static_cast<unsigned char *>(a.tensor.data) + k * size, *y = static_cast<unsigned char *>(b.tensor.data) + k * size;
    if (std::memcmp(x, y, size_t(size)) == 0) continue;
    double u, v;
    if (size != 8) return false;
    std::memcpy(&u, x, 8), std::memcpy(&v, y, 8);
    if (u == u || v == v) return false;
  }
  return true;
}

int compareKernel(const std::string &how, const std::string &file, const std::string &in, const std::string &clean, const std::vector<std::string> &set) {
  std::string error;
  bool internal = false;
  auto complain = [&](int status) { return fmt::print("{}\n", error), status; };
  SourceManager sources;
  Diagnostics diagnostics(sources);
  std::optional<core::Module> module = check(file, sources, diagnostics);
  if (!module) return fmt::print("{}", diagnostics.str()), 1;
  if (module->kernels.size() != 1) return fmt::print("{}: not one kernel\n", file), 1;
  core::Function &kernel = module->kernels[0];
  Arguments arguments, harmless;
  bool judged = clean != "any";
  if (!bindArguments(kernel, in, set, arguments, error)) return complain(1);
  if (!clean.empty() && judged && !bindArguments(kernel, clean, set, harmless, error)) return complain(1);

  auto oracle = [&](CompileOptions::Arithmetic arithmetic, std::vector<Buffer> &results, std::vector<Buffer> *poisoned) {
    CompileOptions options;
    options.arithmetic = arithmetic;
    options.quick = true;
    Loaded loaded;
    if (!load(kernel, module->files, options, 1, loaded, error, internal)) return false;
    internal = false;
    return callPlaced(kernel, loaded, harmless.file ? harmless : arguments, arithmetic, PageAfter, results, error) &&
           (!poisoned || callPlaced(kernel, loaded, arguments, arithmetic, PageBefore, *poisoned, error));
  };
  std::vector<Buffer> f64, poisoned;
  int status = 0;
  if (!oracle(CompileOptions::OracleF64, f64, harmless.file ? &poisoned : nullptr)) return complain(internal ? 3 : 1);
  for (size_t k = 0; k < poisoned.size(); k++)
    if (!sameBits(f64[k], poisoned[k], elementSize(kernel.results[k].type, CompileOptions::OracleF64)))
      fmt::print("compare MISMATCH oracle, {}: what no row visits matters\n", kernel.results[k].name), status = 1;
  Loaded loaded;
  CompileOptions options;
  options.quick = how != "full";
  if (how == "opencl") options.target = how;
  // A random schedule may say what the kernel does not allow: then without its versions and its layout, then without any of it.
  bool ready = load(kernel, module->files, options, 0, loaded, error, internal);
  for (bool all : {false, true}) {
    if (ready || internal || kernel.schedules.empty()) break;
    auto &settings = kernel.schedules[0].settings;
    settings.erase(std::remove_if(settings.begin(), settings.end(), [&](const core::Schedule::Setting &s) { return all || !s.version.empty() || s.key == "key_layout"; }), settings.end());
    ready = load(kernel, module->files, options, 0, loaded, error, internal);
  }
  if (!ready) return complain(internal ? 3 : 1);
  std::vector<Buffer> got[3];
  for (Placement placement : {PageAfter, PageBefore, Gaps})
    if (!callPlaced(kernel, loaded, arguments, CompileOptions::Compiled, placement, got[placement], error)) return complain(1);
  if (!judged) return fmt::print("compare ok {}: 0 elements, 0 left out\n", kernel.name), 0;

  std::vector<Buffer> strict(f64.size());
  bool same = true;
  for (size_t k = 0; k < strict.size(); k++) {
    core::Type type = kernel.results[k].type;
    int64_t size = elementSize(type, CompileOptions::OracleF64);
    strict[k].allocate(f64[k].shape, f64[k].tensor.dtype, size);
    std::memcpy(strict[k].tensor.data, f64[k].tensor.data, size_t(f64[k].count() * size));
    if (type <= core::Type::BF16) roundResult(strict[k], type);
    for (const auto &results : got) same &= compareResults(results[k], f64[k], strict[k], type).worst <= 1;
  }
  if (!same && !oracle(CompileOptions::OracleF32, strict, nullptr)) return complain(internal ? 3 : 1);
  for (Placement placement : {PageAfter, PageBefore, Gaps}) {
    fmt::print("{}:\n", placementNames[placement]);
    if (!printComparison(kernel, got[placement], f64, strict)) status = 1;
  }
  return status;
}

}  // namespace

int main() {
  struct sigaction action = {};
  action.sa_sigaction = crashed;
  action.sa_flags = SA_SIGINFO;
  for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigaction(number, &action, nullptr);
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<std::string> fields(1);
    for (char c : line)
      if (c == '\t') fields.emplace_back();
      else fields.back() += c;
    if (fields.size() < 5) return std::fputs("ID, HOW, FILE, IN and CLEAN are wanted\n", stderr), 2;
    int status = compareKernel(fields[1], fields[2], fields[3], fields[4], {fields.begin() + 5, fields.end()});
    fmt::print("end {} {}\n", fields[0], status);
    std::fflush(stdout);
  }
}
