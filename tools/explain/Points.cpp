#include "tools/explain/Points.h"

#include "tools/Visits.h"
#include "tools/explain/Live.h"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fovea {

using namespace core;

namespace {

constexpr int64_t mostPoints = int64_t(1) << 27;  // a mask is evaluated at so many; of more, at a sample of rows
constexpr int mostMilliseconds = 2000;            // of one evaluation

// Addresses that nothing may read or write: what is not given.
class Nothing {
 public:
  ~Nothing() {
    for (auto [at, bytes] : regions) munmap(at, bytes);
  }
  void *take(int64_t bytes) {
    size_t size = (size_t(bytes) / 4096 + 1) * 4096;
    void *at = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return nullptr;
    regions.push_back({at, size});
    return at;
  }

 private:
  std::vector<std::pair<void *, size_t>> regions;
};

// Calls a kernel in a process of its own, for it may take too long; then copies `bytes` at `from` here.
bool callAside(const Loaded &loaded, std::vector<void *> &pointers, void *from, size_t bytes, std::string &error) {
  int ends[2];
  if (pipe(ends)) return error = "cannot make a pipe", false;
  fflush(nullptr);
  pid_t child = fork();
  if (child < 0) return close(ends[0]), close(ends[1]), error = "cannot start a process", false;
  auto send = [&](const void *data, size_t size) {
    for (const char *at = static_cast<const char *>(data), *end = at + size; at < end;) {
      ssize_t written = write(ends[1], at, size_t(end - at));
      if (written <= 0) _exit(1);
      at += written;
    }
  };
  if (child == 0) {
    int status = loaded.call(pointers.data());
    char message[1024] = {};
    if (status) strncpy(message, loaded.lastError(), sizeof message - 1);
    send(message, sizeof message);
    send(from, bytes);
    _exit(0);
  }
  close(ends[1]);
  std::string received;
  bool late = false;
  for (;;) {
    pollfd poller{ends[0], POLLIN, 0};
    if ((late = poll(&poller, 1, mostMilliseconds) == 0)) break;
    char buffer[65536];
    ssize_t size = ::read(ends[0], buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    received.append(buffer, size_t(size));
  }
  close(ends[0]);
  if (late) kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  if (late) return error = "takes more than two seconds", false;
  if (received.size() != 1024 + bytes) return error = "the program that counts failed", false;
  if (received[0]) return error = received.c_str(), false;
  std::memcpy(from, received.data() + 1024, bytes);
  return true;
}

std::string wants(const std::set<std::string> &missing) {
  return fmt::format("the values of {} decide it: give them with --in or --set", join(missing, ", ", [](const std::string &n) { return "`" + n + "`"; }));
}

// How many points of the space of their indices some masks keep.
struct Kept {
  int64_t points = 0, space = 0;
  std::string sample;   // how it was sampled; empty: it was not
  std::string failure;  // why it is not known
};

// A function that counts the points at which masks hold.
class MaskCounter {
 public:
  MaskCounter(const Function &kernel, const std::vector<std::string> &files, const Call &call) : f(kernel), files(files), call(call) {}

  Kept count(const std::set<NodeId> &masks) {
    Kept kept;
    std::set<std::string> missing;
    for (NodeId m : masks) needs(m, missing, kept.failure);
    if (!missing.empty()) kept.failure = wants(missing);
    if (!kept.failure.empty()) return kept;

    std::set<IndexId> free;
    for (NodeId m : masks) free.insert(f.nodes[m].free.begin(), f.nodes[m].free.end());
    __int128 space = 1;
    for (IndexId i : free) space *= call.extents[i];
    if (space > INT64_MAX) return kept.failure = "there are too many points", kept;
    kept.space = int64_t(space);
    if (!kept.space) return kept;

    Function g = f;
    for (IndexId i = 0; i < g.indices.size(); i++) {
      if (call.extents[i] >= 0) g.indices[i].fixed = call.extents[i];
      g.indices[i].choices.clear();
    }
    for (Tensor &t : g.tensors) t.sorted = false;
    g.checks.clear(), g.masks.clear(), g.scores.clear();
    // Rows of the longest index, evenly spread, stand for all of them.
    IndexId row = none, sampled = none;
    int64_t rows = 0;
    NodeId at = none;
    if (kept.space > mostPoints) {
      for (IndexId i : free)
        if (row == none || call.extents[i] > call.extents[row]) row = i;
      rows = std::max<int64_t>(1, mostPoints / (kept.space / call.extents[row]));
      int64_t step = call.extents[row] / rows;
      rows = call.extents[row] / step;  // so that they reach the end
      sampled = IndexId(g.indices.size());
      Index index = g.indices[row];
      index.fixed = rows, index.extent = none, index.extentClass = sampled + 1000000;
      g.indices.push_back(index);
      at = add(g, Op::Position, Type::I32, {}, sampled);
      at = add(g, Op::Add, Type::I32, {add(g, Op::Mul, Type::I32, {at, integer(g, step)}), integer(g, step / 2)});
      kept.sample = fmt::format("from {} of {} rows of {}", grouped(rows), grouped(call.extents[row]), f.indices[row].name);
    }
    NodeId all = none;
    std::map<NodeId, NodeId> done;
    for (NodeId m : masks) {
      NodeId mask = row == none ? m : substitute(g, m, row, at, done);
      if (mask == none) return kept.failure = "there are too many points", kept;
      all = all == none ? mask : add(g, Op::And, Type::Bool, {all, mask});
    }
    Node counted;
    counted.op = Op::Count, counted.type = Type::I32, counted.args = {all}, counted.indices = g.nodes[all].free;
    g.nodes.push_back(counted);
    g.results = {Result{"kept", Type::I32, {}, NodeId(g.nodes.size() - 1), f.place}};

    CompileOptions options;
    options.arithmetic = CompileOptions::OracleF32;
    Loaded loaded;
    bool internal = false;
    if (!load(g, files, options, 1, loaded, kept.failure, internal)) return kept;
    Buffer result;
    result.allocate({}, info(Type::I32).dlpack, 4);
    std::vector<void *> pointers(call.arguments.pointers);
    pointers.push_back(&result.tensor);
    if (!callAside(loaded, pointers, result.tensor.data, 4, kept.failure)) return kept;
    int32_t found = 0;
    std::memcpy(&found, result.tensor.data, 4);
    int64_t looked = row == none ? kept.space : kept.space / call.extents[row] * rows;
    kept.points = row == none ? found : int64_t(__int128(found) * kept.space / looked);
    return kept;
  }

 private:
  // Parameters that are not given, and what cannot be evaluated outside its loop.
  void needs(NodeId n, std::set<std::string> &missing, std::string &failure) const {
    walkBehind(f, n, [&](NodeId, const Node &node) -> std::span<const NodeId> {
      if (node.op == Op::State) failure = "a loop's state decides it";
      for (size_t k = 0; k < f.parameters.size(); k++) {
        const Function::Parameter &p = f.parameters[k];
        if (!call.arguments.given[k] && node.op == (p.scalar ? Op::Scalar : Op::Load) && node.ref == p.id)
          missing.insert(p.scalar ? f.scalars[p.id].name : f.tensors[p.id].name);
      }
      return node.args;
    });
  }

  static NodeId add(Function &g, Op op, Type type, std::vector<NodeId> args, uint32_t ref = none) {
    Node node;
    node.op = op, node.type = type, node.ref = ref;
    std::set<IndexId> free;
    for (NodeId a : args) free.insert(g.nodes[a].free.begin(), g.nodes[a].free.end());
    if (op == Op::Position) free.insert(ref);
    node.free.assign(free.begin(), free.end());
    node.args = std::move(args);
    g.nodes.push_back(node);
    return NodeId(g.nodes.size() - 1);
  }

  static NodeId integer(Function &g, int64_t value) {
    NodeId n = add(g, Op::ConstI32, Type::I32, {});
    g.nodes[n].integer = value;
    return n;
  }

  // `n` with `at` for the position of `row`; none where a loop runs over it.
  static NodeId substitute(Function &g, NodeId n, IndexId row, NodeId at, std::map<NodeId, NodeId> &done) {
    if (!dependsOn(g, n, row)) return n;
    if (auto it = done.find(n); it != done.end()) return it->second;
    Node node = g.nodes[n];
    if (node.op == Op::Position) return at;
    if (node.op == Op::LoopResult || node.op == Op::Loop || node.op == Op::State) return none;
    std::set<IndexId> free;
    for (size_t k = 0; k < node.args.size(); k++) {
      bool bound = node.op == Op::Read && k == 0;  // its indices are its own
      if (!bound) node.args[k] = substitute(g, node.args[k], row, at, done);
      if (node.args[k] == none) return none;
    }
    std::replace(node.free.begin(), node.free.end(), row, IndexId(g.indices.size() - 1));
    std::sort(node.free.begin(), node.free.end());
    g.nodes.push_back(node);
    return done[n] = NodeId(g.nodes.size() - 1);
  }

  const Function &f;
  const std::vector<std::string> &files;
  const Call &call;
};

}  // namespace

bool pointLines(const Function &kernel, const std::vector<std::string> &files, Call &call, std::vector<std::string> &lines, std::string &error, bool &internal) {
  CompileOptions options;
  options.target = "host-count", options.countOnly = true;
  Loaded loaded;
  if (!load(kernel, files, options, 0, loaded, error, internal)) return false;
  internal = false;
  if (loaded.counters.empty()) return true;

  // What is not given is an address that nothing reads; where something would, it is said.
  Nothing nothing;
  std::set<std::string> missing;
  for (size_t k = 0; k < kernel.parameters.size(); k++) {
    const Function::Parameter &p = kernel.parameters[k];
    if (call.arguments.given[k]) continue;
    bool read = std::find(loaded.reads.begin(), loaded.reads.end(), int64_t(k)) != loaded.reads.end();
    if (read) missing.insert(p.scalar ? kernel.scalars[p.id].name : kernel.tensors[p.id].name);
    if (!p.scalar) call.arguments.tensors[p.id].tensor.data = nothing.take(call.arguments.tensors[p.id].count() * 4);
  }
  std::vector<Buffer> results(kernel.results.size());
  std::vector<void *> pointers(call.arguments.pointers);
  for (size_t k = 0; k < results.size(); k++) {
    for (IndexId axis : kernel.results[k].axes) results[k].shape.push_back(std::max<int64_t>(call.extents[axis], 0));
    results[k].bind(nothing.take(results[k].count() * 4), info(kernel.results[k].type).dlpack);
    pointers.push_back(&results[k].tensor);
  }

  std::string failure;
  if (!missing.empty()) failure = wants(missing);
  else if (!callAside(loaded, pointers, loaded.counts, loaded.counters.size() * sizeof(fovea_count), failure) && failure != "takes more than two seconds")
    return error = failure, false;
  MaskCounter masks(kernel, files, call);
  std::map<std::set<NodeId>, Kept> known;
  for (const Visits &v : visitsOf(loaded.counters, loaded.counts, call.extents)) {
    std::set<NodeId> under(v.counter.masks.begin(), v.counter.masks.end());
    if (!failure.empty()) {
      lines.push_back(fmt::format("{}: not counted: {}", v.what(), failure));
      continue;
    }
    std::string support;
    if (!under.empty()) {
      if (!known.count(under)) known[under] = masks.count(under);
      const Kept &kept = known[under];
      int64_t points = kept.space ? int64_t(__int128(kept.points) * v.total / kept.space) : 0;
      if (!kept.failure.empty()) support = "support not counted: " + kept.failure + "; ";
      else support = fmt::format("support {} ({}{}{}) of {} points; ", percentage(double(points), double(v.total)), kept.sample.empty() ? "" : "about ", grouped(points),
                                 kept.sample.empty() ? "" : ", " + kept.sample, grouped(v.total));
    }
    lines.push_back(fmt::format("{}: {}{}", v.what(), support, v.words()));
  }
  return true;
}

}  // namespace fovea
