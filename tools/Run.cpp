#include "tools/Run.h"

#include "tools/Execute.h"
#include "tools/Visits.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

namespace fovea {

static int complain(const std::string &message, int status = 1) {
  fmt::print(stderr, "{}{}\n", message.find("error: ") == std::string::npos ? "fovea: error: " : "", message);
  return status;
}

int runKernel(const core::Function &kernel, const std::vector<std::string> &files, const RunOptions &options) {
  std::string error;
  bool internal = false;
  Arguments arguments;
  if (!bindArguments(kernel, options.in, options.set, arguments, error)) return complain(error);
  CompileOptions compile;
  compile.target = options.target;
  compile.arithmetic = options.oracle ? CompileOptions::OracleF64 : CompileOptions::Compiled;
  Loaded loaded;
  if (!load(kernel, files, compile, options.threads, loaded, error, internal)) return complain(error, internal ? 3 : 1);
  std::vector<Buffer> results;
  if (!execute(kernel, loaded, arguments, compile.arithmetic, results, error)) return complain(error);

  if (compile.counting()) {
    std::vector<int64_t> extents;
    if (!extentsOf(kernel, arguments, extents, error)) return complain(error);
    for (const Visits &v : visitsOf(loaded.counters, loaded.counts, extents)) fmt::print("{}: {}\n", v.what(), v.words());
  }

  if (options.time > 0) {
    std::vector<double> milliseconds;
    std::vector<void *> pointers(arguments.pointers);
    for (Buffer &r : results) pointers.push_back(&r.tensor);
    for (int k = 0; k < options.time; k++) {
      auto start = std::chrono::steady_clock::now();
      if (loaded.call(pointers.data())) return complain(loaded.lastError());
      milliseconds.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    std::sort(milliseconds.begin(), milliseconds.end());
    fmt::print("time_ms min={:.4f} median={:.4f}\n", milliseconds.front(), milliseconds[milliseconds.size() / 2]);
  }

  int status = 0;
  if (options.compare) {
    std::vector<Buffer> f64, f32;
    for (auto arithmetic : {CompileOptions::OracleF64, CompileOptions::OracleF32}) {
      CompileOptions oracle = compile;
      oracle.arithmetic = arithmetic;
      Loaded other;
      if (!load(kernel, files, oracle, options.threads, other, error, internal)) return complain(error, internal ? 3 : 1);
      if (!execute(kernel, other, arguments, arithmetic, arithmetic == CompileOptions::OracleF64 ? f64 : f32, error)) return complain(error);
    }
    if (!printComparison(kernel, results, f64, f32)) status = 1;
  }

  if (options.oracle)
    for (size_t k = 0; k < results.size(); k++)
      if (kernel.results[k].type <= core::Type::BF16) roundResult(results[k], kernel.results[k].type);
  if (!options.out.empty()) {
    std::vector<SafeTensor> list;
    for (size_t k = 0; k < results.size(); k++) {
      SafeTensor t;
      t.name = kernel.results[k].name;
      t.type = info(kernel.results[k].type).safetensors;
      t.shape = results[k].shape;
      t.data = results[k].tensor.data;
      t.bytes = size_t(results[k].count()) * ((info(kernel.results[k].type).dlpack.bits + 7) / 8);
      list.push_back(t);
    }
    if (!writeSafeTensors(options.out, list, error)) return complain(error);
  }
  return status;
}

}  // namespace fovea
