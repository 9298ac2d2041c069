// Attention as host loops around attend_step leaves, and contract leaves alone: GFLOP/s and percent of this core's FMA peak.
//
//   leaf-bench [all|attend|decode|contract]
// One thread; pin it (taskset -c 0). Each number is the best of several runs, the peak is measured in the same process.
#include "test/halide/LeafRunner.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <memory>
#include <random>

using namespace fovea::leaf;
using namespace fovea::leaf::build;

namespace {

// Time on the processor: what others take of it between is not ours.
double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

double best(int runs, const std::function<void()> &f) {
  double t = 1e30;
  for (int n = 0; n < runs; n++) {
    double start = now();
    f();
    t = std::min(t, now() - start);
  }
  return t;
}

double peak(int lanes, int runs = 20);

// The best time, and the median of the share of peak, which is measured before and after each run: neighbours on the same
// core slow both down.
struct Timing {
  double seconds, share;
};
Timing alternate(int runs, int lanes, const std::function<double()> &f) {
  Timing t{1e30, 0};
  std::vector<double> shares;
  double before = peak(lanes, 1);
  for (int n = 0; n < runs; n++) {
    double start = now(), flop = f(), seconds = now() - start, after = peak(lanes, 1);
    t.seconds = std::min(t.seconds, seconds);
    shares.push_back(flop / seconds / 1e9 / (0.5 * (before + after)));
    before = after;
  }
  std::sort(shares.begin(), shares.end());
  t.share = shares[shares.size() / 2];
  return t;
}

struct Aligned {
  explicit Aligned(size_t n) : size(n), data(static_cast<float *>(aligned_alloc(128, (n * 4 + 255) / 128 * 128)), free) { std::fill_n(data.get(), n, 0.f); }
  float *get() const { return data.get(); }
  float &operator[](size_t i) const { return data.get()[i]; }
  size_t size;
  std::unique_ptr<float, void (*)(void *)> data;
};

// FMA peak: twelve independent chains in the target's widest vectors (SSE has no FMA: a multiplication and an addition).
double fma512(long n) {
  __asm__ volatile("1:\n.irp r,0,1,2,3,4,5,6,7,8,9,10,11\nvfmadd231ps %%zmm12,%%zmm13,%%zmm\\r\n.endr\ndec %0\njnz 1b\nvzeroupper" : "+r"(n) : : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
  return 2 * 12 * 16;
}
double fma256(long n) {
  __asm__ volatile("1:\n.irp r,0,1,2,3,4,5,6,7,8,9,10,11\nvfmadd231ps %%ymm12,%%ymm13,%%ymm\\r\n.endr\ndec %0\njnz 1b\nvzeroupper" : "+r"(n) : : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
  return 2 * 12 * 8;
}
double fma128(long n) {
  __asm__ volatile("1:\n.irp r,0,1,2,3,4,5\nmulps %%xmm12,%%xmm\\r\n.endr\n.irp r,6,7,8,9,10,11\naddps %%xmm13,%%xmm\\r\n.endr\ndec %0\njnz 1b" : "+r"(n) : : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
  return 12 * 4;
}

double peak(int lanes, int runs) {
  auto f = lanes == 16 ? fma512 : lanes == 8 ? fma256 : fma128;
  const long n = runs == 1 ? 50000 : 1000000;
  return f(n) * n / best(runs, [&] { f(n); }) / 1e9;
}

void attend(const TargetInfo &t, int D, int BQ, int BK, int L, bool causal) {
  LeafSpec spec;
  spec.kind = LeafSpec::AttendStepLeaf;
  spec.name = "full";
  spec.target = t.name;
  spec.attend.queries = BQ, spec.attend.keys = BK, spec.attend.panel = t.columns;
  spec.attend.score = op("mul", {op("dot"), f32(1 / std::sqrt(double(D)))});
  Leaf full(spec);
  spec.attend.partial = true;
  spec.name = "part";
  if (causal) spec.attend.keep = op("le", {op("column"), op("row")});
  Leaf part(spec);

  const int P = t.lanes, H = 1, blocks = (L + BK - 1) / BK;
  Aligned q(size_t(H) * L * D), k(q.size), v(q.size), o(q.size), packed(size_t(blocks) * D * BK), acc(size_t(BQ) * D), maximum(BQ), sum(BQ);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (auto *x : {&q, &k, &v})
    for (size_t n = 0; n < x->size; n++) (*x)[n] = normal(random);
  double flop = 0;
  const Timing timing = alternate(std::max(10, int(400e6 / L / L)), t.lanes, [&] {
    flop = 0;
    for (int h = 0; h < H; h++) {
      const size_t head = size_t(h) * L * D;
      for (int j = 0; j < blocks * BK; j += P)
        for (int d = 0; d < D; d++) {
          float *to = &packed[size_t(j) * D + size_t(d) * P];
          const float *from = &k[head + size_t(j) * D + d];
          const int some = std::clamp(L - j, 0, P);
          for (int y = 0; y < some; y++) to[y] = from[size_t(y) * D];
          for (int y = some; y < P; y++) to[y] = 0;
        }
      for (int i0 = 0; i0 < L; i0 += BQ) {
        const int rows = std::min(BQ, L - i0);
        std::fill_n(acc.get(), acc.size, 0.f), std::fill_n(maximum.get(), BQ, emptyMaximum), std::fill_n(sum.get(), BQ, 0.f);
        for (int b = 0; b < blocks; b++) {
          const int j0 = b * BK, keys = std::min(BK, L - j0);
          if (causal && j0 > i0 + rows - 1) break;
          const bool isFull = rows == BQ && keys == BK && (!causal || j0 + BK - 1 <= i0);
          Leaf &leaf = isFull ? full : part;
          leaf.set("q", &q[head + size_t(i0) * D]).set("q_stride", D).set("head", D).set("k", &packed[size_t(b) * D * BK]);
          leaf.set("v", &v[head + size_t(j0) * D]).set("v_stride", D).set("v_panel_stride", spec.attend.panel).set("panels", D / spec.attend.panel).set("i0", i0).set("j0", j0);
          if (!isFull) leaf.set("rows", rows).set("keys", causal ? std::min(keys, i0 + rows - j0) : keys);
          leaf.set("maximum", maximum.get()).set("sum", sum.get()).set("acc", acc.get());
          leaf();
        }
        for (int i = 0; i < rows; i++) {
          const float inverse = 1 / sum[i];
          for (int d = 0; d < D; d++) o[head + size_t(i0 + i) * D + d] = acc[size_t(i) * D + d] * inverse;
          flop += 4.0 * D * (causal ? i0 + i + 1 : L);
        }
      }
    }
    return flop;
  });
  double worst = 0;
  for (int i : {0, 1, L / 2, L - 1}) {
    const int n = causal ? i + 1 : L;
    std::vector<double> s(n), r(D);
    double m = -1e300, z = 0;
    for (int j = 0; j < n; j++) {
      for (int d = 0; d < D; d++) s[j] += double(q[size_t(i) * D + d]) * k[size_t(j) * D + d];
      s[j] /= std::sqrt(double(D));
      m = std::max(m, s[j]);
    }
    for (int j = 0; j < n; j++) {
      const double p = std::exp(s[j] - m);
      z += p;
      for (int d = 0; d < D; d++) r[d] += p * v[size_t(j) * D + d];
    }
    for (int d = 0; d < D; d++) worst = std::max(worst, std::fabs(r[d] / z - o[size_t(i) * D + d]));
  }
  std::printf("attend %-14s D %3d  tile %2d x %3d  L %4d  %-6s best %6.1f GFLOP/s of %.0f, median %5.1f %% of peak  error %.0e  (leaf made in %.2f s)\n", t.name, D, BQ, BK, L,
              causal ? "causal" : "", flop / timing.seconds / 1e9, peak(t.lanes), 100 * timing.share, worst, std::max(full.seconds, part.seconds));
}

void decode(const TargetInfo &t, int D, int BQ, int BK, int L, bool rows, Type type, bool cached) {
  LeafSpec spec;
  spec.kind = LeafSpec::AttendStepLeaf;
  spec.name = "decode";
  spec.target = t.name;
  spec.attend.queries = BQ, spec.attend.keys = BK, spec.attend.panel = t.columns;
  spec.attend.key = spec.attend.value = type;
  spec.attend.keyRows = rows;
  spec.attend.score = op("mul", {op("dot"), f32(1 / std::sqrt(double(D)))});
  Leaf leaf(spec);
  const int H = cached ? 1 : std::max(1, (1 << 24) / (L * D));  // keys and values larger than the caches
  const int bytes = type == Type::F32 ? 4 : 2;
  Aligned q(size_t(BQ) * D), k(size_t(H) * L * D), v(k.size), acc(q.size), maximum(BQ), sum(BQ);
  double seconds = best(cached ? 500 : 10, [&] {
    for (int h = 0; h < H; h++) {
      std::fill_n(acc.get(), acc.size, 0.f), std::fill_n(maximum.get(), BQ, emptyMaximum), std::fill_n(sum.get(), BQ, 0.f);
      leaf.set("q", q.get()).set("q_stride", D).set("head", D).set("v_stride", D).set("v_panel_stride", spec.attend.panel).set("panels", D / spec.attend.panel).set("i0", 0).set("j0", 0);
      leaf.set("maximum", maximum.get()).set("sum", sum.get()).set("acc", acc.get());
      if (rows) leaf.set("k_stride", D);
      for (int j = 0; j < L; j += BK) {
        const size_t at = (size_t(h) * L + j) * D * bytes;
        leaf.set("k", reinterpret_cast<char *>(k.get()) + at).set("v", reinterpret_cast<char *>(v.get()) + at);
        leaf();
      }
    }
  });
  const double total = 2.0 * H * L * D * bytes;
  volatile float sink = 0;
  double read = best(cached ? 50 : 3, [&] {
    float s = 0;
    for (size_t n = 0; n < k.size; n += 16) s += k[n];
    sink = s;
  });
  (void)sink;
  std::printf("decode %-14s D %3d  tile %2d x %3d  L %4d  %s %s %s %6.1f GB/s of keys and values  (touching every line: %.1f GB/s)\n", t.name, D, BQ, BK, L,
              rows ? "rows  " : "packed", type == Type::F32 ? "f32 " : "bf16", cached ? "in cache " : "in memory", total / seconds / 1e9, k.size * 4 / read / 1e9);
}

void contract(const TargetInfo &t, int M, int N, int K, int panels, Type b = Type::F32) {
  LeafSpec spec;
  spec.kind = LeafSpec::ContractLeaf;
  spec.name = "contract";
  spec.target = t.name;
  spec.contract.rows = M, spec.contract.columns = N;
  spec.contract.b = b;
  Leaf leaf(spec);
  const int bytes = b == Type::F32 ? 4 : 2;
  Aligned A(size_t(M) * K), B(size_t(panels) * N * K), C(size_t(M) * N * panels);
  leaf.set("a", A.get()).set("a_stride", K).set("depth", K).set("i0", 0).set("j0", 0).set("c_stride", N * panels);
  const int repeat = int(std::max(1.0, 2e8 / (2.0 * M * N * K * panels)));
  const double flop = 2.0 * M * N * K * panels * repeat;
  const Timing timing = alternate(20, t.lanes, [&] {
    for (int r = 0; r < repeat; r++)
      for (int p = 0; p < panels; p++) {
        leaf.set("b", reinterpret_cast<char *>(B.get()) + size_t(p) * N * K * bytes).set("c", &C[size_t(p) * N]);
        leaf();
      }
    return flop;
  });
  std::printf("contract %-14s %3d x %3d x %4d, %4d panels %s best %6.1f GFLOP/s of %.0f, median %5.1f %% of peak, B at %.1f GB/s\n", t.name, M, N, K, panels,
              b == Type::F32 ? "f32 " : "bf16", flop / timing.seconds / 1e9, peak(t.lanes), 100 * timing.share, double(panels) * N * K * bytes * repeat / timing.seconds / 1e9);
}

}  // namespace

int main(int argc, char **argv) {
  const std::string what = argc > 1 ? argv[1] : "all";
  const std::vector<std::string> features = hostFeatures();
  const TargetInfo *host = bestTarget(features);
  if (!host) return std::puts("[SKIP] this CPU has no row in Targets.def"), 0;
  if (argc > 2) host = findTarget(argv[2]);
  auto is = [&](const char *w) { return what == "all" || what == w; };
  if (is("attend")) {
    for (int D : {64, 128})
      for (int BK : {64, 128, 256, 512}) attend(*host, D, 48, BK, 1024, false);
    for (bool causal : {false, true})
      for (int BK : {64, 128, 256}) attend(*host, 64, 48, BK, 4096, causal);
    attend(*host, 64, 48, 64, 1024, true);
  }
  if (is("decode"))
    for (int BQ : {1, 4, 8})
      for (bool rows : {false, true})
        for (Type type : {Type::F32, Type::BF16})
          for (bool cached : {false, true}) decode(*host, 64, BQ, 128, 1024, rows, type, cached);
  if (is("contract")) {
    const int N = host->columns;
    contract(*host, 48, N, 256, 1);
    contract(*host, 48, N, 1024, 1);
    contract(*host, 48, N, 256, 8);
    for (int M : {1, 2, 4, 6, 12}) contract(*host, M, N, 512, 1);
    for (int M : {1, 2, 4}) contract(*host, M, N, 512, 512);
    contract(*host, 1, N, 512, 512, Type::BF16);
    for (int M : {1, 2, 4, 6}) contract(*host, M, N, 128, 88);   // larger than the second cache, smaller than the third
  }
}
