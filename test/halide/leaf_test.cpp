// Leaves against loops in f64. Targets that this CPU cannot run are skipped by name.
#include "lowering/halide/NestSpec.h"
#include "test/halide/LeafRunner.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <random>

#include <gtest/gtest.h>

using namespace fovea::leaf;
using namespace fovea::leaf::build;

namespace {

const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();

bool runs(const TargetInfo &t) {
  const std::vector<std::string> features = hostFeatures();
  for (const TargetInfo &row : targets()) {
    if (&row == &t) return bestTarget(features) && bestTarget(features) >= &row;
  }
  return false;
}

// f16 and bf16 as stored.
uint16_t encode(float f, Type type) {
  if (type == Type::BF16) {
    uint32_t bits;
    std::memcpy(&bits, &f, 4);
    return uint16_t(bits >> 16);
  }
  _Float16 h = _Float16(f);
  uint16_t bits;
  std::memcpy(&bits, &h, 2);
  return bits;
}
float decode(uint16_t bits, Type type) {
  if (type == Type::BF16) {
    uint32_t wide = uint32_t(bits) << 16;
    float f;
    std::memcpy(&f, &wide, 4);
    return f;
  }
  _Float16 h;
  std::memcpy(&h, &bits, 2);
  return float(h);
}

// A tensor with guards on both sides: NaN before and after, so that a read outside shows, and misaligned by one element.
struct Tensor {
  Tensor(size_t n, Type type, std::mt19937 &random) : type(type), count(n), bytes((n + 65) * 4, 0xff) {
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (size_t i = 0; i < n; i++) put(i, uniform(random));
  }
  void *data() { return bytes.data() + 33 * width(); }
  size_t width() const { return type == Type::F16 || type == Type::BF16 ? 2 : type == Type::Bool ? 1 : 4; }
  void put(size_t i, float f) {
    char *p = static_cast<char *>(data()) + i * width();
    if (type == Type::F32) {
      std::memcpy(p, &f, 4);
    } else if (type == Type::I32) {
      int v = int(f);
      std::memcpy(p, &v, 4);
    } else if (type == Type::Bool) {
      *p = f != 0;
    } else {
      uint16_t h = encode(f, type);
      std::memcpy(p, &h, 2);
    }
  }
  double at(size_t i) {
    const char *p = static_cast<char *>(data()) + i * width();
    if (type == Type::Bool) return *p;
    uint16_t h;
    int v;
    float f;
    std::memcpy(&h, p, 2);
    if (width() == 2) return decode(h, type);
    std::memcpy(&v, p, 4), std::memcpy(&f, p, 4);
    return type == Type::I32 ? v : f;
  }
  Type type;
  size_t count;
  std::vector<uint8_t> bytes;
};

// One compilation a specification.
Leaf &compiled(const LeafSpec &spec) {
  static std::map<std::string, std::unique_ptr<Leaf>> leaves;
  std::unique_ptr<Leaf> &leaf = leaves[toJson(spec)];
  if (!leaf) leaf = std::make_unique<Leaf>(spec);
  return *leaf;
}

// ---- attend_step

struct AttendCase {
  LeafSpec spec;
  int head = 64, panels = 1, rows = 0, keys = 0, i0 = 0, steps = 1;
  // The score in f64 from the dot product and the positions, or nothing where the point is masked.
  std::function<std::optional<double>(double dot, int i, int j, int localRow, int localColumn)> score = {};
  std::function<void(Leaf &, int step)> inputs = [](Leaf &, int) {};
  bool poison = false;  // NaN in value rows that no row visits
  std::optional<double> sink = {};  // joins the sum
};

LeafSpec attendSpec(const std::string &target, int queries, int keys, int panel) {
  LeafSpec s;
  s.kind = LeafSpec::AttendStepLeaf;
  s.name = "attend";
  s.target = target;
  s.attend.queries = queries, s.attend.keys = keys, s.attend.panel = panel;
  s.attend.score = op("mul", {op("dot"), f32(0.125)});
  return s;
}
std::optional<double> scaled(double dot, int, int, int, int) { return dot * 0.125; }

// Runs `steps` key blocks and compares the normalised result, the sums and the maxima.
void runAttend(AttendCase c) {
  const AttendStep &a = c.spec.attend;
  const int BQ = a.queries, BK = a.keys, lanes = findTarget(c.spec.target)->lanes, width = c.panels * a.panel, rows = a.partial ? c.rows : BQ, lastKeys = a.partial ? c.keys : BK;
  Leaf &leaf = compiled(c.spec);
  std::mt19937 random(7);
  const int total = (c.steps - 1) * BK + lastKeys, qStride = c.head + 3, kStride = c.head + 5, vStride = width + 2;
  Tensor q(size_t(rows) * qStride, a.query, random), k(size_t(total) * kStride, a.key, random), v(size_t(total) * vStride, a.value, random);
  for (size_t n = 0; n < q.count; n++) q.put(n, 6 * float(q.at(n)));
  std::vector<std::vector<std::optional<double>>> s(rows, std::vector<std::optional<double>>(total));
  std::vector<float> dots(size_t(rows) * total);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < total; j++) {
      double dot = 0;
      for (int d = 0; d < c.head; d++) dot += q.at(size_t(i) * qStride + d) * k.at(size_t(j) * kStride + d);
      dots[size_t(i) * total + j] = float(dot);
      s[i][j] = c.score(dot, c.i0 + i, j, i, j);
      if (s[i][j] && *s[i][j] == -double(infinity)) s[i][j].reset();
    }
  if (c.poison)
    for (int j = 0; j < total; j++) {
      bool visited = false;
      for (int i = 0; i < rows; i++) visited |= s[i][j].has_value();
      if (!visited)
        for (int e = 0; e < width; e++) v.put(size_t(j) * vStride + e, e % 2 ? nan : infinity);
    }
  // Queries as lanes: features, or pairs of them, of all rows, 0 beyond the last.
  const int each = a.query == Type::BF16 && a.key == Type::BF16 && findTarget(c.spec.target)->dots ? 2 : 1;
  Tensor turned(a.queryLanes ? size_t((c.head + each - 1) / each) * each * BQ + 1 : 1, a.query, random);
  for (int d = 0; a.queryLanes && d < (c.head + each - 1) / each * each; d++)
    for (int i = 0; i < BQ; i++) turned.put((size_t(d / each) * BQ + i) * each + d % each, i < rows ? d < c.head ? float(q.at(size_t(i) * qStride + d)) : 0 : 0);
  std::vector<float> maximum(BQ, c.sink ? float(*c.sink * std::log2(std::exp(1.0))) : emptyMaximum), sum(BQ, c.sink ? 1.f : 0.f), acc(size_t(BQ) * width + 1, 0.f);
  acc.back() = 42;
  for (int step = 0; step < c.steps; step++) {
    const int j0 = step * BK, keys = std::min(BK, total - j0);
    // Packed keys: whatever lies beyond is garbage that must not matter in a partial leaf.
    const int lines = (c.head + 2 * lanes - 1) / (2 * lanes) * lanes;  // of a panel of pairs
    Tensor packed(size_t(a.keyPairs ? 2 * lines : c.head) * BK, a.key, random);
    for (int d = 0; d < c.head; d++)
      for (int j = 0; j < BK; j++) {
        const size_t place = a.keyPairs ? ((size_t(j / lanes) * lines + d / 2) * lanes + j % lanes) * 2 + d % 2 : (size_t(j / lanes) * c.head + d) * lanes + j % lanes;
        packed.put(place, j < keys ? float(k.at(size_t(j0 + j) * kStride + d)) : nan);
      }
    // Split: the products are ours. What is not there is no number.
    std::vector<float> tile(size_t(BQ) * BK, nan);
    for (int i = 0; i < rows; i++) std::copy_n(&dots[size_t(i) * total + j0], keys, &tile[size_t(i) * BK]);
    leaf.set("panels", c.panels).set("i0", c.i0).set("j0", j0);
    if (a.split) {
      leaf.set("weights", tile.data());
    } else {
      leaf.set("q", a.queryLanes ? turned.data() : q.data()).set("q_stride", a.queryLanes ? each * BQ : qStride).set("head", c.head).set("v_stride", vStride).set("v_panel_stride", a.panel);
      leaf.set("v", static_cast<char *>(v.data()) + size_t(j0) * vStride * v.width());
      if (a.keyRows || a.queryLanes)
        leaf.set("k", static_cast<char *>(k.data()) + size_t(j0) * kStride * k.width()).set("k_stride", kStride);
      else
        leaf.set("k", packed.data());
    }
    if (a.partial) leaf.set("rows", rows).set("keys", keys);
    if (!a.pointwise) leaf.set("maximum", maximum.data());
    leaf.set("sum", sum.data()).set("acc", acc.data());
    c.inputs(leaf, step);
    leaf();
    for (int i = 0; a.split && i < rows; i++)
      for (int j = 0; j < keys; j++) {
        // A word of two keys that are `lanes` apart; the second parts are half a row further.
        auto part = [&](int number) {
          uint32_t word;
          std::memcpy(&word, &tile[size_t(i) * BK + number * BK / 2 + j / (2 * lanes) * lanes + j % lanes], 4);
          return decode(j % (2 * lanes) < lanes ? uint16_t(word) : uint16_t(word >> 16), Type::BF16);
        };
        for (int e = 0; e < width; e++) acc[size_t(i) * width + e] += float((part(0) + part(1)) * v.at(size_t(j0 + j) * vStride + e));
      }
  }
  EXPECT_EQ(acc.back(), 42) << "wrote beyond the accumulator";
  double worst = 0, worstLse = 0;
  for (int i = 0; i < rows; i++) {
    std::vector<double> r(width);
    if (a.pointwise) {
      double z = 0;
      for (int j = 0; j < total; j++) {
        if (!s[i][j]) continue;
        z += *s[i][j];
        for (int e = 0; e < width; e++) r[e] += *s[i][j] * v.at(size_t(j) * vStride + e);
      }
      EXPECT_NEAR(sum[i], z, 2e-5 * (1 + std::fabs(z)));
      for (int e = 0; e < width; e++) ASSERT_NEAR(acc[size_t(i) * width + e], r[e], 5e-5) << "row " << i;
      continue;
    }
    double m = c.sink.value_or(-1e300), z = c.sink ? 1 : 0;
    for (int j = 0; j < total; j++)
      if (s[i][j]) m = std::max(m, *s[i][j]);
    if (c.sink) z = std::exp(*c.sink - m);
    for (int j = 0; j < total; j++) {
      if (!s[i][j]) continue;
      const double p = std::exp(*s[i][j] - m);
      z += p;
      for (int e = 0; e < width; e++) r[e] += p * v.at(size_t(j) * vStride + e);
    }
    if (z == 0) {
      EXPECT_EQ(sum[i], 0) << "row " << i << " is empty";
      EXPECT_EQ(maximum[i], emptyMaximum);
      for (int e = 0; e < width; e++) ASSERT_EQ(acc[size_t(i) * width + e], 0);
      continue;
    }
    worstLse = std::max(worstLse, std::fabs((maximum[i] + std::log2(double(sum[i]))) * std::log(2.0) - (m + std::log(z))));
    for (int e = 0; e < width; e++) {
      const double error = std::fabs(acc[size_t(i) * width + e] / double(sum[i]) - r[e] / z);
      worst = std::isnan(error) ? infinity : std::max(worst, error);
    }
  }
  EXPECT_LE(leaf.scratch(), long(scratchBound(c.spec)));
  EXPECT_LT(worst, a.split ? 1e-5 : 4e-6);
  EXPECT_LT(worstLse, 1e-5);
}

class EveryTarget : public testing::TestWithParam<TargetInfo> {
protected:
  void SetUp() override {
    if (!runs(*findTarget(GetParam().name))) GTEST_SKIP() << "[SKIP] this CPU does not run " << GetParam().name;
  }
  int panel() const { return std::max(16, std::min(64, GetParam().columns)); }
};
INSTANTIATE_TEST_SUITE_P(Targets, EveryTarget, testing::ValuesIn(targets()), [](const auto &info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST_P(EveryTarget, AttendFull) {
  for (int head : {64, 7, 0}) {
    AttendCase c{attendSpec(GetParam().name, 48, 64, panel())};
    c.head = head, c.panels = 2, c.steps = 3, c.score = scaled;
    runAttend(c);
  }
}

TEST_P(EveryTarget, AttendPairs) {
  for (int head : {64, 128, 40, 7, 1, 0}) {
    AttendCase c{attendSpec(GetParam().name, 48, 64, panel())};
    c.spec.attend.query = c.spec.attend.key = Type::BF16, c.spec.attend.keyPairs = true;
    c.head = head, c.panels = 2, c.steps = 2, c.score = scaled;
    runAttend(c);
    c.spec.attend.partial = true;
    c.rows = 29, c.keys = 33;
    runAttend(c);
  }
}

TEST_P(EveryTarget, AttendPartialCausal) {
  for (auto [rows, keys, i0] : {std::tuple(48, 64, 0), {17, 64, 40}, {1, 1, 0}, {48, 33, 10}, {5, 40, 3}}) {
    AttendCase c{attendSpec(GetParam().name, 48, 64, panel())};
    c.spec.attend.partial = true;
    c.spec.attend.keep = op("le", {op("column"), op("row")});
    c.head = 20, c.rows = rows, c.keys = keys, c.i0 = i0, c.poison = true;
    c.score = [](double dot, int i, int j, int, int) { return j <= i ? std::optional(dot * 0.125) : std::nullopt; };
    runAttend(c);
    c.steps = 2;
    runAttend(c);
  }
}

TEST_P(EveryTarget, AttendPointwise) {
  for (bool partial : {false, true})
    for (auto [rows, keys] : {std::pair(48, 64), {17, 33}, {1, 1}}) {
      AttendCase c{attendSpec(GetParam().name, 48, 64, panel())};
      c.spec.attend.pointwise = true;
      c.spec.attend.score = op("mul", {op("max", {op("dot"), f32(0)}), f32(-0.125)});  // of either sign where masks are 0
      c.spec.attend.partial = partial;
      if (partial) c.spec.attend.keep = op("le", {op("column"), op("row")});
      c.head = 20, c.rows = rows, c.keys = keys, c.i0 = 40, c.panels = 2, c.steps = 2, c.poison = partial;
      c.score = [partial](double dot, int i, int j, int, int) { return !partial || j <= i ? std::optional(std::max(dot, 0.0) * -0.125) : std::nullopt; };
      runAttend(c);
    }
}

// IEEE: a NaN of either sign, or +infinity, makes the row's sum NaN and stays; a masked one does nothing.
TEST_P(EveryTarget, AttendNaN) {
  for (bool partial : {false, true}) {
    AttendCase c{attendSpec(GetParam().name, 12, 64, panel())};
    c.spec.inputs = {{Input::Tile, Type::F32}};
    c.spec.attend.score = op("sub", {op("dot"), input(0)});
    c.spec.attend.partial = partial;
    if (partial) c.spec.attend.keep = op("lt", {op("column"), Expression{"i32", 0, 60}});
    const AttendStep &a = c.spec.attend;
    Leaf &leaf = compiled(c.spec);
    std::mt19937 random(1);
    Tensor q(12 * 4, Type::F32, random), k(4 * 64, Type::F32, random), v(64 * a.panel, Type::F32, random);
    std::vector<float> maximum(12, emptyMaximum), sum(12, 0.f), acc(12 * a.panel, 0.f);
    for (int step = 0; step < 3; step++) {
      std::vector<float> score(12 * 64, 1.f);
      if (step == 1) {
        for (int j : {0, 17, 59}) score[j] = nan, score[64 + j] = -nan, score[2 * 64 + j] = -infinity;
        for (int j = 0; j < 64; j++) score[3 * 64 + j] = nan;
        score[4 * 64 + 5] = infinity;
        score[5 * 64 + 62] = nan;
      }
      leaf.set("q", q.data()).set("q_stride", 4).set("head", 4).set("k", k.data()).set("v", v.data()).set("v_stride", a.panel).set("v_panel_stride", a.panel).set("panels", 1);
      leaf.set("i0", 0).set("j0", 0).set("maximum", maximum.data()).set("sum", sum.data()).set("acc", acc.data()).set("input0", score.data()).set("input0_row_stride", 64);
      if (partial) leaf.set("rows", 12).set("keys", 64);
      leaf();
    }
    for (int i = 0; i < 12; i++) EXPECT_EQ(std::isnan(sum[i]), i < 4 || (i == 5 && !partial)) << "row " << i << " sum " << sum[i];
  }
}

TEST_P(EveryTarget, AttendWithSink) {
  for (double sink : {0.0, -3.0, 40.0}) {
    AttendCase c{attendSpec(GetParam().name, 48, 64, panel())};
    c.spec.attend.partial = true;
    c.spec.attend.keep = op("le", {op("column"), op("row")});
    c.head = 20, c.rows = 31, c.keys = 40, c.steps = 2, c.sink = sink;
    c.score = [](double dot, int i, int j, int, int) { return j <= i ? std::optional(dot * 0.125) : std::nullopt; };
    runAttend(c);
  }
}

TEST_P(EveryTarget, AttendSplit) {
  const int lanes = GetParam().lanes;
  for (bool partial : {false, true})
    for (auto [rows, keys] : {std::pair(16, 64), {1, 1}, {13, 40}, {16, 33}}) {
      if (!partial && keys != 64) continue;
      AttendCase c{attendSpec(GetParam().name, 16, 64, 2 * lanes)};
      c.spec.attend.split = true;
      c.spec.attend.partial = partial;
      c.head = 20, c.rows = rows, c.keys = keys, c.panels = 2, c.steps = 3, c.i0 = 90;
      if (partial) c.spec.attend.keep = op("le", {op("column"), op("row")});
      c.score = [=](double dot, int i, int j, int, int) { return !partial || j <= i ? std::optional(dot * 0.125) : std::nullopt; };
      runAttend(c);
    }
}

TEST_P(EveryTarget, Contract) {
  for (int depth : {0, 1, 7, 64}) {
    for (bool accumulate : {false, true}) {
      const int M = 12, N = 2 * panel();
      LeafSpec s;
      s.kind = LeafSpec::ContractLeaf;
      s.name = "contract";
      s.target = GetParam().name;
      s.contract.rows = M, s.contract.columns = N, s.contract.accumulate = accumulate;
      Leaf &leaf = compiled(s);
      std::mt19937 random(3);
      Tensor A(size_t(M) * (depth + 3), Type::F32, random), B(size_t(depth) * N, Type::F32, random), C(size_t(M) * (N + 5), Type::F32, random), D = C;
      leaf.set("a", A.data()).set("a_stride", depth + 3).set("b", B.data()).set("depth", depth).set("i0", 0).set("j0", 0).set("c", C.data()).set("c_stride", N + 5)();
      for (int i = 0; i < M; i++)
        for (int j = 0; j < N + 5; j++) {
          if (i == M - 1 && j >= N) break;
          double want = j >= N || accumulate ? D.at(size_t(i) * (N + 5) + j) : 0;
          for (int k = 0; k < depth && j < N; k++) want += A.at(size_t(i) * (depth + 3) + k) * B.at(size_t(k) * N + j);
          ASSERT_NEAR(C.at(size_t(i) * (N + 5) + j), want, 1e-5) << i << " " << j << " depth " << depth;
        }
    }
  }
}

// ---- on the best target

const char *host() {
  static const TargetInfo *best = bestTarget(hostFeatures());
  return best ? best->name : nullptr;
}
class Host : public testing::Test {
  void SetUp() override {
    if (!host()) GTEST_SKIP() << "[SKIP] this CPU has no row in Targets.def";
  }
};
int hostPanel() { return std::max(16, std::min(64, findTarget(host())->columns)); }

TEST_F(Host, AttendShapes) {
  for (auto [queries, keys] : {std::pair(1, 64), {2, 128}, {3, 64}, {4, 64}, {5, 64}, {6, 64}, {7, 64}, {8, 64}, {16, 64}, {32, 192}, {48, 512}, {64, 256}, {96, 64}}) {
    AttendCase c{attendSpec(host(), queries, keys, hostPanel())};
    c.score = scaled, c.steps = 2;
    runAttend(c);
    c.spec.attend.partial = true;
    for (auto [rows, some] : {std::pair(queries, keys), {1, 1}, {(queries + 1) / 2, keys - 1}, {queries, 17}}) {
      c.rows = rows, c.keys = some;
      runAttend(c);
    }
  }
}

TEST_F(Host, AttendPanels) {
  for (int panel : {16, 32, 48, 64, 128}) {
    AttendCase c{attendSpec(host(), 12, panel == 48 ? 96 : 128, panel)};
    c.score = scaled, c.panels = 3;
    runAttend(c);
  }
}

TEST_F(Host, AttendKeyRows) {
  for (int queries : {1, 2, 4, 6, 8, 48})
    for (Type type : {Type::F32, Type::BF16, Type::F16})
      for (int head : {64, 80, 37, 1}) {
        if (type == Type::F16 && head != 64 && head != 37) continue;
        AttendCase c{attendSpec(host(), queries, queries == 48 ? 256 : 64, hostPanel())};  // the last one's scratch is not on the stack
        c.spec.attend.key = c.spec.attend.value = type;
        if (type == Type::BF16) c.spec.attend.query = type;  // pairs are multiplied
        c.spec.attend.keyRows = true;
        c.head = head, c.steps = 2, c.score = scaled;
        for (int panels : {1, 2, 3}) {  // two side by side are a tile of their own
          c.panels = panels;
          runAttend(c);
        }
        c.spec.attend.partial = true;
        c.rows = (queries + 1) / 2, c.keys = 29;
        runAttend(c);
      }
}

TEST_P(EveryTarget, AttendQueryLanes) {
  const int lanes = findTarget(GetParam().name)->lanes;
  for (int blocks : {1, 2})
    for (Type type : {Type::F32, Type::BF16, Type::F16})
      for (int head : {64, 128, 37, 1, 0}) {
        AttendCase c{attendSpec(GetParam().name, blocks * lanes, 128, panel())};
        c.spec.attend.key = c.spec.attend.value = type;
        if (type == Type::BF16) c.spec.attend.query = type;  // pairs are multiplied
        c.spec.attend.queryLanes = true;
        c.head = head, c.panels = 2, c.steps = 2, c.score = scaled;
        runAttend(c);
        c.spec.attend.partial = true;
        for (int rows : {1, blocks * lanes - 1, blocks * lanes}) {
          c.rows = rows, c.keys = 29;
          runAttend(c);
        }
      }
}

TEST_F(Host, AttendQueryLanesMasked) {
  const int lanes = findTarget(host())->lanes;
  for (bool pointwise : {false, true}) {
    AttendCase c{attendSpec(host(), lanes, 64, hostPanel())};
    c.spec.attend.queryLanes = c.spec.attend.partial = true, c.spec.attend.pointwise = pointwise;
    c.spec.attend.keep = op("le", {op("column"), op("row")});
    c.rows = lanes - 1, c.keys = 60, c.poison = !pointwise;
    c.score = [](double dot, int i, int j, int, int) { return j <= i ? std::optional<double>(dot * 0.125) : std::nullopt; };
    runAttend(c);
  }
}

TEST_F(Host, AttendKeyRowsOfOtherKeys) {  // not as many as are read together; queries of another type
  const int lanes = findTarget(host())->lanes;
  AttendCase c{attendSpec(host(), 4, 3 * lanes, lanes)};
  c.spec.attend.key = c.spec.attend.value = Type::BF16;
  c.spec.attend.keyRows = true;
  c.panels = 2, c.steps = 2, c.score = scaled;
  runAttend(c);
}

TEST_F(Host, AttendStorageTypes) {
  for (Type type : {Type::BF16, Type::F16}) {
    AttendCase c{attendSpec(host(), 12, 64, hostPanel())};
    c.spec.attend.query = c.spec.attend.key = c.spec.attend.value = type;
    c.score = scaled;
    runAttend(c);
  }
}

TEST_F(Host, AttendSoftcap) {
  AttendCase c{attendSpec(host(), 24, 64, hostPanel())};
  c.spec.attend.score = op("mul", {op("tanh", {op("mul", {op("dot"), f32(0.5 / 3)})}), f32(3)});
  c.score = [](double dot, int, int, int, int) { return 3 * std::tanh(dot * 0.5 / 3); };
  runAttend(c);
}

TEST_F(Host, AttendAlibiWithScalarAndRowInputs) {
  AttendCase c{attendSpec(host(), 24, 64, hostPanel())};
  c.spec.inputs = {{Input::Scalar, Type::F32}, {Input::Row, Type::F32}};
  c.spec.attend.score =
      op("add", {op("mul", {op("dot"), input(0)}), op("mul", {input(1), op("to_f32", {op("sub", {op("column"), op("row")})})})});
  c.i0 = 100, c.steps = 2;
  std::vector<float> slopes(24 * 3);
  for (int n = 0; n < 72; n++) slopes[n] = 0.01f * n;
  c.inputs = [&](Leaf &leaf, int) { leaf.set("input0", 0.2f).set("input1", slopes.data()).set("input1_row_stride", 3); };
  c.score = [&](double dot, int i, int j, int row, int) { return dot * 0.2f + slopes[row * 3] * double(j - i); };
  runAttend(c);
}

// An additive tile with -inf, a row without anything, bytes as a mask, a document id a column: all read exactly where they may be.
TEST_F(Host, AttendTileAndColumnInputs) {
  for (bool strided : {false, true}) {
    AttendCase c{attendSpec(host(), 12, 64, hostPanel())};
    c.spec.attend.partial = true;
    c.spec.inputs = {{Input::Tile, Type::F32, strided}, {Input::Tile, Type::Bool}, {Input::Column, Type::I32}, {Input::Row, Type::I32}, {Input::Column, Type::F16}};
    c.spec.attend.score = op("add", {op("add", {op("dot"), input(0)}), input(4)});
    c.spec.attend.keep = op("and", {input(1), op("eq", {input(2), input(3)})});
    c.head = 16, c.rows = 11, c.keys = 45, c.steps = 2, c.poison = true;
    const int total = 64 + 45, columnStride = strided ? 2 : 1, rowStride = total * columnStride;
    std::mt19937 random(11);
    std::vector<float> bias(size_t(11 - 1) * rowStride + (total - 1) * columnStride + 1);
    std::vector<uint8_t> mask(11 * total);
    std::vector<int> column(total), row(11);
    Tensor extra(total, Type::F16, random);
    for (float &f : bias) f = random() % 5 ? float(random() % 100) / 50 : -infinity;
    for (uint8_t &b : mask) b = random() % 3 != 0;
    for (int j = 0; j < total; j++) column[j] = j / 20, mask[4 * total + j] = 0, bias[size_t(6) * rowStride + j * columnStride] = -infinity;
    for (int i = 0; i < 11; i++) row[i] = i / 3;
    c.inputs = [&](Leaf &leaf, int step) {
      leaf.set("input0", bias.data() + step * 64 * columnStride).set("input0_row_stride", rowStride);
      if (strided) leaf.set("input0_column_stride", columnStride);
      leaf.set("input1", mask.data() + step * 64).set("input1_row_stride", total).set("input2", column.data() + step * 64);
      leaf.set("input3", row.data()).set("input3_row_stride", 1).set("input4", static_cast<char *>(extra.data()) + step * 128);
    };
    c.score = [&](double dot, int, int, int i, int j) -> std::optional<double> {
      if (!mask[i * total + j] || column[j] != row[i]) return std::nullopt;
      return dot + bias[size_t(i) * rowStride + j * columnStride] + extra.at(j);
    };
    runAttend(c);
  }
}

// Values at positions of their own, also beyond the tile's last row and column, where inputs have no value.
TEST_F(Host, AttendTables) {
  for (bool partial : {false, true}) {
    AttendCase c{attendSpec(host(), 12, 64, hostPanel())};
    c.spec.attend.partial = partial;
    c.spec.inputs = {{Input::Table, Type::F32}, {Input::Table, Type::F16}, {Input::Tile, Type::I32}, {Input::Scalar, Type::I32}};
    auto read = [](int n, Expression index) {
      Expression e = op("read", {std::move(index)});
      e.integer = n;
      return e;
    };
    auto distance = op("add", {op("sub", {op("row"), op("column")}), i32(200)});
    c.spec.attend.score = op("add", {op("add", {op("dot"), read(0, distance)}), read(1, op("mul", {input(2), input(3)}))});
    c.head = 16, c.steps = 2, c.i0 = 20, c.poison = true;
    if (partial) c.rows = 11, c.keys = 45;
    const int total = 64 + (partial ? 45 : 64);
    std::mt19937 random(12);
    std::vector<float> near(300);
    std::vector<int> which(12 * total);
    Tensor chosen(10 * 3, Type::F16, random);
    for (float &f : near) f = float(random() % 100) / 50;
    for (int &n : which) n = int(random() % 10);
    c.inputs = [&](Leaf &leaf, int step) {
      leaf.set("input0", near.data()).set("input1", chosen.data()).set("input2", which.data() + step * 64).set("input2_row_stride", total).set("input3", 3);
    };
    c.score = [&](double dot, int i, int j, int row, int column) { return dot + near[i - j + 200] + chosen.at(3 * which[row * total + column]); };
    runAttend(c);
  }
}

// Large scores, among them some whose weights vanish, and infinities.
TEST_F(Host, AttendExtremeScores) {
  AttendCase c{attendSpec(host(), 12, 64, hostPanel())};
  c.spec.inputs = {{Input::Tile, Type::F32}};
  c.spec.attend.score = input(0);
  std::vector<float> score(12 * 64);
  for (int n = 0; n < 12 * 64; n++) score[n] = float(n % 7) * 1e6f - 3e6f;
  for (int j = 0; j < 64; j++) score[j] = -infinity, score[64 + j] = j ? -infinity : 5.f, score[128 + j] = -1e7f - float(j), score[192 + j] = -float(j) * 3, score[256 + j] = 1e30f;
  score[11 * 64 + 3] = infinity;
  c.inputs = [&](Leaf &leaf, int) { leaf.set("input0", score.data()).set("input0_row_stride", 64); };
  c.score = [&](double, int, int, int i, int j) { return double(score[i * 64 + j]); };
  c.head = 4;
  // Scores beyond 1e4 are compared by their own rounding: all of them here are integers or equal.
  const AttendStep &a = c.spec.attend;
  Leaf &leaf = compiled(c.spec);
  std::mt19937 random(1);
  Tensor q(12 * 4, Type::F32, random), k(4 * 64, Type::F32, random), v(64 * a.panel, Type::F32, random);
  std::vector<float> maximum(12, emptyMaximum), sum(12, 0.f), acc(12 * a.panel, 0.f);
  leaf.set("q", q.data()).set("q_stride", 4).set("head", 4).set("k", k.data()).set("v", v.data()).set("v_stride", a.panel).set("v_panel_stride", a.panel).set("panels", 1).set("i0", 0).set("j0", 0);
  leaf.set("maximum", maximum.data()).set("sum", sum.data()).set("acc", acc.data());
  c.inputs(leaf, 0);
  leaf();
  EXPECT_EQ(sum[0], 0);
  EXPECT_EQ(sum[1], 1);
  for (int e = 0; e < a.panel; e++) EXPECT_EQ(acc[a.panel + e], float(v.at(e)));
  EXPECT_NEAR(sum[3], 1 / (1 - std::exp(-3.0)), 1e-6);
  EXPECT_EQ(sum[4], 64);
  EXPECT_TRUE(std::isnan(sum[11])) << sum[11];
  for (int i = 5; i < 11; i++) {
    int count = 0;
    for (int j = 0; j < 64; j++) count += score[i * 64 + j] == 3e6f;
    EXPECT_EQ(sum[i], count) << i;
  }
}

// ---- contract

struct ContractCase {
  int rows = 12, columns = 64, depth = 33;
  Type a = Type::F32, b = Type::F32;
  bool accumulate = false;
  int edgeRows = 0, edgeColumns = 0, panel = 0;
};
void runContract(const ContractCase &c, std::optional<Expression> epilogue = {}, std::vector<Input> inputs = {},
                 const std::function<double(double, int, int)> &apply = [](double x, int, int) { return x; },
                 const std::function<void(Leaf &)> &set = [](Leaf &) {}) {
  LeafSpec s;
  s.kind = LeafSpec::ContractLeaf;
  s.name = "contract";
  s.target = host();
  s.inputs = inputs;
  s.contract = {c.rows, c.columns, c.a, c.b, c.accumulate, c.edgeRows > 0, epilogue, c.panel};
  Leaf &leaf = compiled(s);
  const int M = c.edgeRows ? c.edgeRows : c.rows, N = c.edgeRows ? c.edgeColumns : c.columns, cStride = N + 7, panel = c.panel ? c.panel : c.columns;
  std::mt19937 random(5);
  Tensor A(size_t(M - 1) * (c.depth + 1) + c.depth, c.a, random), B(size_t(c.depth) * c.columns, c.b, random), C(size_t(M - 1) * cStride + N, Type::F32, random), before = C;
  leaf.set("a", A.data()).set("a_stride", c.depth + 1).set("b", B.data()).set("depth", c.depth).set("i0", 1000).set("j0", 2000).set("c", C.data()).set("c_stride", cStride);
  if (c.edgeRows) leaf.set("rows", M).set("columns", N);
  set(leaf);
  leaf();
  for (int i = 0; i < M; i++)
    for (int j = 0; j < (i + 1 < M ? cStride : N); j++) {
      const double old = before.at(size_t(i) * cStride + j);
      if (j >= N) {
        ASSERT_EQ(C.at(size_t(i) * cStride + j), old) << "wrote outside, row " << i << " column " << j;
        continue;
      }
      double sum = c.accumulate ? old : 0;
      for (int k = 0; k < c.depth; k++) sum += A.at(size_t(i) * (c.depth + 1) + k) * B.at((size_t(j / panel) * c.depth + k) * panel + j % panel);
      ASSERT_NEAR(C.at(size_t(i) * cStride + j), apply(sum, i, j), 2e-5) << "row " << i << " column " << j;
    }
  EXPECT_EQ(C.bytes[C.bytes.size() - 1], 0xff);
}

TEST_F(Host, ContractShapes) {
  for (int rows : {1, 2, 3, 4, 5, 6, 7, 8, 12, 48})
    for (int columns : {16, 48, 64, 256}) runContract({rows, columns});
}
TEST_F(Host, ContractPanels) {
  const int lanes = findTarget(host())->lanes;
  for (int panel = lanes; panel <= 64; panel *= 2) {
    runContract({12, 64, 33, Type::F32, Type::F32, false, 0, 0, panel});
    runContract({12, 64, 9, Type::F32, Type::F32, false, 7, 50, panel});
  }
}
TEST_F(Host, ContractStorageTypes) {
  for (Type a : {Type::F32, Type::F16, Type::BF16})
    for (Type b : {Type::F32, Type::F16, Type::BF16}) runContract({6, 64, 33, a, b});
}
TEST_F(Host, ContractEdges) {
  for (bool accumulate : {false, true})
    for (auto [rows, columns] : {std::pair(12, 64), {1, 1}, {7, 63}, {11, 17}, {6, 64}, {12, 15}}) runContract({12, 64, 9, Type::F32, Type::F32, accumulate, rows, columns});
}
// A row is the same to the bit whatever the number of rows and whichever leaf computes it: a line's result does not depend on its batch.
TEST_F(Host, ContractRowsStandAlone) {
  LeafSpec whole;
  whole.kind = LeafSpec::ContractLeaf;
  whole.name = "contract";
  whole.target = host();
  whole.contract.rows = findTarget(host())->rows * 4, whole.contract.columns = findTarget(host())->columns;
  LeafSpec edges = whole;
  edges.contract.edges = true;
  const int rows = whole.contract.rows, columns = whole.contract.columns;
  std::mt19937 random(7);
  for (int depth : {5, 128}) {
    Tensor A(size_t(rows) * depth, Type::F32, random), B(size_t(depth) * columns, Type::F32, random), expected(size_t(rows) * columns, Type::F32, random);
    auto call = [&](Leaf &leaf, Tensor &C) -> Leaf & {
      return leaf.set("a", A.data()).set("a_stride", depth).set("b", B.data()).set("depth", depth).set("i0", 0).set("j0", 0).set("c", C.data()).set("c_stride", columns);
    };
    call(compiled(whole), expected)();
    for (int count = 1; count <= rows; count++) {
      Tensor C = expected;
      for (size_t n = 0; n < C.bytes.size() - 1; n++) C.bytes[n] = 0;
      call(compiled(edges), C).set("rows", count).set("columns", columns)();
      for (int n = 0; n < count * columns; n++) ASSERT_EQ(C.at(n), expected.at(n)) << "row " << n / columns << " of " << count;
    }
    // Leaves for a few rows at once, as lowering/TileContract.cpp wants them, sum as the whole tile does.
    for (int count : {1, 2, 4, findTarget(host())->rows}) {
      LeafSpec few = whole;
      few.contract.rows = count;
      Tensor C(size_t(count) * columns, Type::F32, random);
      call(compiled(few), C)();
      for (int n = 0; n < count * columns; n++) ASSERT_EQ(C.at(n), expected.at(n)) << "row " << n / columns << " of a leaf of " << count;
    }
  }
}
TEST_F(Host, ContractEpilogue) {
  std::vector<float> bias(64), rowScale(24), residual(12 * 70);
  for (int n = 0; n < 64; n++) bias[n] = 0.1f * n - 3;
  for (int n = 0; n < 24; n++) rowScale[n] = 0.3f * n;
  for (int n = 0; n < 12 * 70; n++) residual[n] = 0.01f * n;
  auto apply = [&](double x, int i, int j) {
    const double y = x * rowScale[2 * i] + bias[j];
    return 0.5 * y * (1 + std::erf(y / std::sqrt(2.0))) + residual[i * 70 + j] + 1e-3 * (1000 + i) - 1e-3 * (2000 + j);
  };
  auto set = [&](Leaf &leaf) {
    leaf.set("input0", rowScale.data()).set("input0_row_stride", 2).set("input1", bias.data()).set("input2", residual.data()).set("input2_row_stride", 70);
  };
  Expression gelu = op("gelu", {op("add", {op("mul", {op("acc"), input(0)}), input(1)})});
  Expression epilogue = op("add", {op("add", {gelu, input(2)}), op("mul", {f32(1e-3), op("to_f32", {op("sub", {op("row"), op("column")})})})});
  std::vector<Input> inputs = {{Input::Row, Type::F32}, {Input::Column, Type::F32}, {Input::Tile, Type::F32}};
  runContract({12, 64, 5}, epilogue, inputs, apply, set);
  runContract({12, 64, 5, Type::F32, Type::F32, true, 11, 63}, epilogue, inputs, apply, set);
}

// ---- expressions, one by one: a contract of depth 0 whose epilogue reads the arguments

std::vector<float> evaluateF32(const Expression &e, const std::vector<Input> &inputs, const std::vector<const void *> &data, int n) {
  LeafSpec s;
  s.kind = LeafSpec::ContractLeaf;
  s.name = "expression";
  s.target = host();
  s.inputs = inputs;
  s.contract.rows = 1, s.contract.columns = n;
  s.contract.epilogue = e;
  std::string error;
  if (typeOf(e, s, error) != Type::F32) s.contract.epilogue = op("to_f32", {e});
  Leaf leaf(s);
  std::vector<float> c(n), a(1);
  leaf.set("a", a.data()).set("a_stride", 0).set("b", a.data()).set("depth", 0).set("i0", 0).set("j0", 0).set("c", c.data()).set("c_stride", n);
  for (size_t k = 0; k < data.size(); k++) leaf.set("input" + std::to_string(k), data[k]);
  leaf();
  return c;
}

double ulps(float got, double want) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : 1e30;
  if (float(want) == got) return 0;
  if (std::isinf(got) || std::isinf(float(want))) return 1e30;
  const float w = float(want);
  return std::fabs(got - want) / std::max(double(std::numeric_limits<float>::denorm_min()), double(std::nextafterf(std::fabs(w), infinity) - std::fabs(w)));
}

struct Function {
  const char *name;
  double (*f)(double);
  double tolerance;  // ulp
  float low, high;
  double absolute = 0;
  float largest = std::numeric_limits<float>::max();
};
void PrintTo(const Function &f, std::ostream *os) { *os << f.name; }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
class Functions : public Host, public testing::WithParamInterface<Function> {};
TEST_P(Functions, IsAccurate) {
  const Function &f = GetParam();
  std::vector<float> x = {0.f, -0.f, 1.f, -1.f, 0.5f, -0.5f, infinity, -infinity, 1e-40f, -1e-40f, 3e38f, -3e38f, 100.f, -100.f, 88.7f, -87.5f, 127.9f};
  std::mt19937 random(9);
  std::uniform_real_distribution<float> uniform(f.low, f.high), exponent(-20, 3);
  while (x.size() < 4096) x.push_back(x.size() % 3 ? uniform(random) : std::clamp(std::exp2(exponent(random)) * (random() % 2 ? 1 : -1), f.low, f.high));
  std::vector<float> y = evaluateF32(op(f.name, {input(0)}), {{Input::Column, Type::F32}}, {x.data()}, int(x.size()));
  double worst = 0, at = 0;
  for (size_t n = 0; n < x.size(); n++) {
    if (std::fabs(x[n]) > f.largest && std::isfinite(x[n])) continue;
    double want = f.f(x[n]), error = ulps(y[n], want);
    if (std::fabs(y[n] - want) <= f.absolute) error = 0;
    if (error > worst) worst = error, at = x[n];
  }
  std::printf("  %-10s %.2f ulp at %g\n", f.name, worst, at);
  EXPECT_LE(worst, f.tolerance) << "at " << at;
}
INSTANTIATE_TEST_SUITE_P(Math, Functions,
                         testing::Values(Function{"exp", std::exp, 4, -104, 89}, Function{"exp2", std::exp2, 4, -150, 129}, Function{"log", std::log, 4, 0, 1e6f},
                                         Function{"tanh", std::tanh, 4, -10, 10}, Function{"sigmoid", sigmoid, 4, -30, 30},
                                         Function{"erf", std::erf, 4, -5, 5}, Function{"sqrt", std::sqrt, 1, 0, 1e6f},
                                         Function{"rsqrt", [](double x) { return 1 / std::sqrt(x); }, 2, 0, 1e6f},
                                         Function{"softplus", [](double x) { return x > 700 ? x : std::log1p(std::exp(x)); }, 4, -30, 30, 1.2e-7},
                                         Function{"silu", [](double x) { return x * sigmoid(x); }, 6, -30, 30, 1e-37},
                                         Function{"gelu", [](double x) { return 0.5 * x * (1 + std::erf(x * std::sqrt(0.5))); }, 8, -10, 10, 4e-7},
                                         Function{"sin", std::sin, 4, -1000, 1000, 1e-9, 1e8f}, Function{"cos", std::cos, 4, -1000, 1000, 1e-9, 1e8f},
                                         Function{"floor", std::floor, 0, -1e4, 1e4}, Function{"ceil", std::ceil, 0, -1e4, 1e4},
                                         Function{"round", std::nearbyint, 0, -1e4, 1e4}, Function{"neg", [](double x) { return -x; }, 0, -1, 1},
                                         Function{"abs", std::fabs, 0, -1, 1}),
                         [](const auto &info) { return std::string(info.param.name); });

TEST_F(Host, Pow) {
  std::vector<float> x, y;
  std::mt19937 random(2);
  std::uniform_real_distribution<float> base(0, 8), exponent(-20, 20);
  for (float a : {0.f, -0.f, 1.f, -1.f, 2.f, -2.f, 0.5f, infinity, -infinity})
    for (float b : {0.f, 1.f, -1.f, 2.f, 3.f, -3.f, 0.5f, -0.5f, infinity, -infinity}) x.push_back(a), y.push_back(b);
  while (x.size() < 1024) x.push_back(base(random)), y.push_back(exponent(random));
  auto z = evaluateF32(op("pow", {input(0), input(1)}), {{Input::Column, Type::F32}, {Input::Column, Type::F32}}, {x.data(), y.data()}, int(x.size()));
  for (size_t n = 0; n < x.size(); n++) EXPECT_LE(ulps(z[n], std::pow(double(x[n]), double(y[n]))), 2) << x[n] << " ^ " << y[n] << " = " << z[n];
}

TEST_F(Host, IntegerDivision) {
  const int least = std::numeric_limits<int>::min(), most = std::numeric_limits<int>::max();
  std::vector<int> a, b;
  for (int x : {0, 1, -1, 7, -7, 6, -6, 100, most, least + 1})
    for (int y : {0, 1, -1, 2, -2, 3, -3, 7, -7, most}) a.push_back(x), b.push_back(y);
  while (a.size() % 64) a.push_back(least), b.push_back(-1);
  std::vector<Input> inputs = {{Input::Column, Type::I32}, {Input::Column, Type::I32}};
  for (const char *name : {"div", "mod"}) {
    // Halves, so that f32 holds them exactly.
    Expression value = op(name, {input(0), input(1)});
    auto low = evaluateF32(op("mod", {value, i32(65536)}), inputs, {a.data(), b.data()}, int(a.size()));
    auto high = evaluateF32(op("div", {value, i32(65536)}), inputs, {a.data(), b.data()}, int(a.size()));
    for (size_t n = 0; n < a.size(); n++) {
      if (a[n] == least) continue;
      const int64_t q = b[n] == 0 ? 0 : int64_t(std::floor(double(a[n]) / b[n])), want = name[0] == 'd' ? q : b[n] == 0 ? 0 : a[n] - q * b[n];
      EXPECT_EQ(int64_t(high[n]) * 65536 + int64_t(low[n]), want) << name << " " << a[n] << " " << b[n];
    }
  }
}

// Constants that Halide would refuse to divide by, multiply or negate.
TEST_F(Host, Constants) {
  const int most = std::numeric_limits<int>::max(), least = std::numeric_limits<int>::min();
  std::vector<float> x(16, 1.f);
  x[0] = 0, x[1] = -2, x[2] = infinity;
  std::vector<Input> inputs = {{Input::Column, Type::F32}};
  auto run = [&](const Expression &e) { return evaluateF32(e, inputs, {x.data()}, 16); };
  auto byZero = run(op("div", {input(0), f32(0)}));
  EXPECT_EQ(byZero[0], 0);
  EXPECT_EQ(byZero[1], -infinity);
  EXPECT_EQ(byZero[2], infinity);
  EXPECT_EQ(byZero[3], infinity);
  EXPECT_EQ(run(op("rsqrt", {f32(0)}))[0], infinity);
  EXPECT_EQ(run(op("mod", {op("div", {i32(5), i32(0)}), i32(0)}))[0], 0);
  run(op("div", {op("neg", {i32(least)}), op("mul", {i32(most), op("add", {i32(7), op("column")})})}));
  EXPECT_EQ(run(op("div", {op("neg", {i32(7)}), i32(2)}))[0], -4);
}

TEST_F(Host, FloatDivisionComparisonAndConversion) {
  std::vector<float> a, b;
  const std::vector<float> some = {0.f, -0.f, 1.f, -1.f, 3.f, 1e-30f, 1e30f, infinity, -infinity, 2147483520.f, 3e9f, -3e9f, -2.7f, 2.7f, nan, 7.f};
  for (float x : some)
    for (float y : some) a.push_back(x), b.push_back(y);
  const int n = int(a.size());
  std::vector<Input> inputs = {{Input::Column, Type::F32}, {Input::Column, Type::F32}};
  auto run = [&](const Expression &e) { return evaluateF32(e, inputs, {a.data(), b.data()}, n); };
  auto quotient = run(op("div", {input(0), input(1)}));
  auto less = run(op("lt", {input(0), input(1)})), equal = run(op("eq", {input(0), input(1)})), atLeast = run(op("ge", {input(0), input(1)}));
  auto aboveMinusInfinity = run(op("gt", {input(0), f32(-infinity)})), chosen = run(op("select", {op("lt", {input(0), input(1)}), input(0), f32(infinity)}));
  auto whole = run(op("to_f32", {op("div", {op("to_i32", {input(0)}), i32(4)})}));
  for (int k = 0; k < n; k++) {
    const std::string what = std::to_string(a[k]) + " " + std::to_string(b[k]);
    EXPECT_LE(ulps(quotient[k], a[k] == 0 && b[k] == 0 ? 0 : double(a[k]) / double(b[k])), 1) << what;
    if (std::isnan(a[k]) || std::isnan(b[k])) continue;
    EXPECT_EQ(less[k], a[k] < b[k]) << what;
    EXPECT_EQ(equal[k], a[k] == b[k]) << what;
    EXPECT_EQ(atLeast[k], a[k] >= b[k]) << what;
    EXPECT_EQ(aboveMinusInfinity[k], a[k] > -infinity) << what;
    EXPECT_EQ(chosen[k], a[k] < b[k] ? a[k] : infinity) << what;
    const double saturated = a[k] >= 2147483647.0 ? 2147483647 : a[k] <= -2147483648.0 ? -2147483648.0 : std::trunc(a[k]);
    EXPECT_EQ(whole[k], float(std::floor(saturated / 4))) << what;
  }
}

// ---- the tool

TEST(Specification, RoundTrip) {
  LeafSpec s = attendSpec("x86-64-v3", 6, 64, 32);
  s.inputs = {{Input::Tile, Type::Bool, true}, {Input::Scalar, Type::F32}, {Input::Table, Type::BF16}};
  s.attend.partial = true;
  s.attend.keep = op("and", {input(0), op("lt", {op("column"), i32(7)})});
  Expression read = op("read", {op("row")});
  read.integer = 2;
  s.attend.score = op("add", {op("mul", {op("dot"), input(1)}), op("min", {f32(-infinity), read})});
  std::string error;
  auto back = fromJson(toJson(s), error);
  ASSERT_TRUE(back) << error;
  EXPECT_EQ(toJson(*back), toJson(s));
  EXPECT_EQ(contentHash(*back), contentHash(s));
  back->name = "other";
  EXPECT_EQ(contentHash(*back), contentHash(s));
  back->attend.keys = 128;
  EXPECT_NE(contentHash(*back), contentHash(s));
  EXPECT_EQ(contentHash(s).size(), 32u);
}

TEST(Specification, Errors) {
  const std::string good = toJson(attendSpec("x86-64-v3", 6, 64, 32));
  auto changed = [&](const std::string &from, const std::string &to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    std::string error, output;
    EXPECT_FALSE(fromJson(text, error)) << text;
    std::ofstream(temporaryFolder() + "/wrong.json") << text;
    EXPECT_EQ(runCommand(FOVEA_LEAF " -o /dev/null < " + temporaryFolder() + "/wrong.json", output), 1);
    EXPECT_EQ(output, "fovea-leaf: " + error + "\n");
    return error;
  };
  EXPECT_EQ(changed("x86-64-v3", "vax"), "there is no target `vax`");
  EXPECT_EQ(changed("\"panel\":32", "\"panel\":20"), "`panel` must be a multiple of 8, not 20");
  EXPECT_EQ(changed("\"keys\":64", "\"keys\":72"), "`keys` must be a multiple of 32, not 72");
  EXPECT_EQ(changed("\"queries\":6", "\"queries\":0"), "`queries` must be 1 to 1024, not 0");
  EXPECT_EQ(changed("\"dot\"", "\"acc\""), "there is no operator `acc` here");
  EXPECT_EQ(changed("\"mul\"", "\"frob\""), "there is no operator `frob` here");
  EXPECT_EQ(changed("[\"dot\"]", "[\"row\"]"), "`mul` does not take (i32, f32)");
  EXPECT_EQ(changed("[\"dot\"]", "[\"input\",0]"), "there is no input 0");
  EXPECT_EQ(changed("[\"mul\",[\"dot\"],[\"f32\",0.125]]", "[\"i32\",1]"), "`score` must be f32, not i32");
  EXPECT_EQ(changed("\"keep\":null", "\"keep\":[\"bool\",true]"), "`keep` needs `partial`");
  EXPECT_EQ(changed("\"partial\":false", "\"partial\":false,\"colour\":1"), "the specification has the unknown member `colour`");
  EXPECT_EQ(changed("attend_step", "attend"), "`kind` is \"contract\" or \"attend_step\", not \"attend\"");
  EXPECT_EQ(changed("{", ""), "the specification is not JSON");
  EXPECT_EQ(changed("\"attend\"", "\"a b\""), "`name` is not a C identifier: \"a b\"");
}

// A maximum and its place over the second loop, where a mask keeps the point; every kind of argument and constant.
NestSpec nestSpec() {
  NestSpec s;
  s.name = "nest";
  s.target = "opencl";
  s.reduced = {false, true};
  s.scalars = {NestSpec::F32, NestSpec::I32, NestSpec::I64, NestSpec::Bool};
  s.buffers = {{NestSpec::BF16, 2, true}, {NestSpec::Bool, 2, false}, {NestSpec::F32, 1, true}, {NestSpec::I32, 1, true}};
  s.steps = {{"loop", {}, 0},  {"loop", {}, 1},       {"load", {0, 1}, 0},  {"load", {1, 0}, 1},     {"before", {}, 0},    {"before", {}, 1},
             {"scalar", {}, 0}, {"f32", {}, 0, -infinity}, {"mulf", {2, 6}}, {"select", {3, 8, 7}}, {"cmpf_ogt", {9, 4}}, {"select", {10, 9, 4}},
             {"i32", {}, -3}, {"select", {10, 1, 5}}};
  s.axes = {0};
  s.outputs = {{2, 11}, {3, 13}};
  return s;
}

TEST(Nest, RoundTrip) {
  NestSpec s = nestSpec();
  for (float real : {0.1f, infinity, -infinity, nan, -0.f, 3.4028235e38f, 1e-45f}) {
    s.steps[7].real = real;
    std::string error;
    auto back = nestFromJson(toJson(s), error);
    ASSERT_TRUE(back) << error;
    EXPECT_EQ(toJson(*back), toJson(s));
    EXPECT_EQ(contentHash(*back), contentHash(s));
    float got = float(back->steps[7].real);
    EXPECT_TRUE(std::memcmp(&got, &real, 4) == 0 || (std::isnan(got) && std::isnan(real))) << real;
    EXPECT_EQ(back->steps[12].integer, -3);
  }
  EXPECT_TRUE(isNest(toJson(s)));
  EXPECT_FALSE(isNest(toJson(attendSpec("x86-64-v3", 6, 64, 32))));
  EXPECT_FALSE(isNest("{"));
  const std::string hash = contentHash(s);
  s.name = "other";
  EXPECT_EQ(contentHash(s), hash);
  s.target = "cuda";
  EXPECT_NE(contentHash(s), hash);
  EXPECT_TRUE(readsBefore(s, 0));
  s.steps[4] = {"f32", {}, 0, 1};
  EXPECT_FALSE(readsBefore(s, 0));
}

TEST(Nest, Arguments) {
  std::string names;
  for (const NestArgument &a : arguments(nestSpec())) names += std::string(names.empty() ? "" : " ") + "PESOTBW"[a.kind] + std::to_string(a.number) + (a.kind == NestArgument::Stride ? "." + std::to_string(a.axis) : "");
  EXPECT_EQ(names, "P0 E0 E1 S0 S1 S2 S3 O0 T0.0 B0 O1 T1.0 T1.1 B1 O2 B2 O3 B3 W0 W1");
}

TEST(Nest, Errors) {
  auto changed = [](auto change) {
    NestSpec s = nestSpec();
    change(s);
    std::string error, output, said = check(s);
    EXPECT_FALSE(nestFromJson(toJson(s), error));
    EXPECT_EQ(error, said);
    std::ofstream(temporaryFolder() + "/wrong.json") << toJson(s);
    EXPECT_EQ(runCommand(FOVEA_LEAF " -o /dev/null < " + temporaryFolder() + "/wrong.json", output), 1);
    EXPECT_EQ(output, "fovea-leaf: " + said + "\n");
    return said;
  };
  EXPECT_EQ(check(nestSpec()), "");
  EXPECT_EQ(changed([](NestSpec &s) { s.target = "vax"; }), "a nest is for `opencl` or `cuda`, not `vax`");
  EXPECT_EQ(changed([](NestSpec &s) { s.name = "a b"; }), "`name` is not a C identifier: \"a b\"");
  EXPECT_EQ(changed([](NestSpec &s) { s.name = ""; }), "`name` is not a C identifier: \"\"");
  EXPECT_EQ(changed([](NestSpec &s) { s.outputs.clear(); }), "a nest has an output");
  EXPECT_EQ(changed([](NestSpec &s) { s.buffers[1].rank = 33; }), "a buffer has 0 to 32 axes");
  EXPECT_EQ(changed([](NestSpec &s) { s.buffers[1].rank = -1; }), "a buffer has 0 to 32 axes");
  EXPECT_EQ(changed([](NestSpec &s) { s.steps[8].args[1] = 8; }), "there is no step before 8");
  EXPECT_EQ(changed([](NestSpec &s) { s.steps[8].args[1] = -1; }), "there is no step before -1");
  EXPECT_EQ(changed([](NestSpec &s) { s.steps[1].integer = 2; }), "there is no loop 2");
  EXPECT_EQ(changed([](NestSpec &s) { s.steps[6].integer = 4; }), "there is no scalar 4");
  EXPECT_EQ(changed([](NestSpec &s) { s.steps[5].integer = 2; }), "there is no output 2");
  EXPECT_EQ(changed([](NestSpec &s) { s.steps[3].integer = int64_t(1) << 40; }), "there is no buffer 1099511627776");
  EXPECT_EQ(changed([](NestSpec &s) { s.steps[3].args = {0}; }), "a load has a position for each axis");
  EXPECT_EQ(changed([](NestSpec &s) { s.axes = {1}; }), "an output's axes are different parallel loops");
  EXPECT_EQ(changed([](NestSpec &s) { s.axes = {0, 0}; }), "an output's axes are different parallel loops");
  EXPECT_EQ(changed([](NestSpec &s) { s.axes = {2}; }), "an output's axes are different parallel loops");
  EXPECT_EQ(changed([](NestSpec &s) { s.axes = {}; }), "every parallel loop is an axis of the outputs");
  EXPECT_EQ(changed([](NestSpec &s) { s.outputs[0].buffer = 4; }), "there is no buffer 4");
  EXPECT_EQ(changed([](NestSpec &s) { s.outputs[1].value = 14; }), "there is no step 14");
  EXPECT_EQ(changed([](NestSpec &s) { s.outputs[1].buffer = 0; }), "an output has as many axes as its buffer");

  // What is no specification at all, or names what there is not.
  std::string text = toJson(nestSpec()), error, output;
  for (auto [from, to] : {std::pair("\"bf16\"", "\"f8\""), std::pair("\"axes\"", "\"axles\""), std::pair("[false,true]", "false"), std::pair("\"mulf\"", "7"), std::pair("{", "")}) {
    std::string wrong = text;
    wrong.replace(wrong.find(from), std::strlen(from), to);
    EXPECT_FALSE(nestFromJson(wrong, error)) << wrong;
    EXPECT_NE(error, "") << wrong;
  }
  std::string frob = text;
  frob.replace(frob.find("mulf"), 4, "frob");
  std::ofstream(temporaryFolder() + "/wrong.json") << frob;
  EXPECT_EQ(runCommand(FOVEA_LEAF " -o /dev/null < " + temporaryFolder() + "/wrong.json", output), 1);
  EXPECT_NE(output.find("frob"), std::string::npos) << output;
}

TEST(Tool, IsDeterministicAndSealed) {
  for (const TargetInfo &t : targets()) {
    LeafSpec s = attendSpec(t.name, 12, 128, std::max(16, std::min(64, t.columns)));
    s.attend.partial = true;
    s.attend.score = op("tanh", {op("pow", {op("dot"), op("sin", {op("dot")})})});
    s.attend.keep = op("le", {op("column"), op("row")});
    const std::string base = temporaryFolder() + "/sealed";
    std::ofstream(base + ".json") << toJson(s);
    std::string output, bytes[2];
    for (std::string &b : bytes) {
      ASSERT_EQ(runCommand(FOVEA_LEAF " -o " + base + ".o < " + base + ".json", output), 0) << output;
      std::ifstream file(base + ".o", std::ios::binary);
      b.assign(std::istreambuf_iterator<char>(file), {});
    }
    EXPECT_EQ(bytes[0], bytes[1]) << t.name;
    runCommand("nm -u " + base + ".o", output);
    for (const char *known : {"halide_malloc", "halide_free", "memset", "memcpy"})
      if (size_t at = output.find(known); at != std::string::npos) output.erase(at, std::strlen(known));
    EXPECT_EQ(output.find_first_not_of(" U\n"), std::string::npos) << t.name << " needs " << output;
    runCommand("nm -g --defined-only " + base + ".o | wc -l", output);
    EXPECT_EQ(output, "1\n");
  }
}

TEST(Tool, CompileTimes) {
  const TargetInfo &t = targets()[2];
  auto report = [&](const char *what, LeafSpec s) {
    s.target = t.name;
    std::printf("  %-40s %.2f s\n", what, [&] {
      const std::string base = temporaryFolder() + "/timed";
      std::ofstream(base + ".json") << toJson(s);
      std::string output;
      auto start = std::chrono::steady_clock::now();
      EXPECT_EQ(runCommand(FOVEA_LEAF " -o " + base + ".o < " + base + ".json", output), 0) << output;
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }());
  };
  LeafSpec s = attendSpec(t.name, 48, 128, 64);
  report("attend_step full", s);
  s.attend.partial = true;
  s.attend.keep = op("le", {op("column"), op("row")});
  report("attend_step partial causal", s);
  s.attend.score = op("mul", {op("tanh", {op("dot")}), f32(30)});
  report("attend_step partial causal softcap", s);
  s.attend.queries = 1, s.attend.keyRows = true;
  report("attend_step one query, key rows", s);
  LeafSpec c;
  c.kind = LeafSpec::ContractLeaf;
  c.name = "contract";
  c.contract.rows = 48, c.contract.columns = 64;
  report("contract", c);
  c.contract.edges = true;
  c.contract.epilogue = op("gelu", {op("acc")});
  report("contract edges gelu", c);
}

}  // namespace
