// What one core can do at most: multiply-adds in f32, bf16 dot products, bf16
// tiles (AMX), and reading memory. Built with -O2; what the CPU or the system
// lacks has 0 operations.
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { CHAINS = 12 }; // independent ones, as many as hide the latency

// Without the empty statement the chains, which all compute the same, would
// become one.
#define FOUR(STEP, N) STEP(N) STEP(N + 1) STEP(N + 2) STEP(N + 3)
#define ALL(STEP) FOUR(STEP, 0) FOUR(STEP, 4) FOUR(STEP, 8)
#define KEPT(N) __asm__ volatile("" : "+v"(s[N]));

#define FMA(N) s[N] = s[N] * a + x;
#define MULTIPLY_ADD(NAME, TARGET, LANES)                                      \
  TARGET static double NAME(long rounds) {                                     \
    typedef float vector __attribute__((vector_size(LANES * 4)));              \
    vector a = {0.5f}, x = {0.25f}, s[CHAINS] = {{0}};                         \
    __asm__ volatile("" : "+v"(a), "+v"(x));                                   \
    for (long n = 0; n < rounds; n++) {                                        \
      ALL(FMA) ALL(KEPT)                                                       \
    }                                                                          \
    return 2.0 * LANES * CHAINS * (double)rounds;                              \
  }

#if defined(__x86_64__)
MULTIPLY_ADD(fma512, __attribute__((target("avx512f"))), 16)
MULTIPLY_ADD(fma256, __attribute__((target("avx2,fma"))), 8)

#define DOT(N) s[N] = _mm512_dpbf16_ps(s[N], a, a);
__attribute__((target("avx512f,avx512bf16"))) static double
dot512(long rounds) {
  __m512 s[CHAINS] = {{0}};
  __m512bh a = {0};
  __asm__ volatile("" : "+v"(a));
  for (long n = 0; n < rounds; n++) {
    ALL(DOT) ALL(KEPT)
  }
  return 2.0 * 32 * CHAINS * (double)rounds;
}

static int has(unsigned leaf, unsigned subleaf, int reg, int bit) {
  unsigned r[4];
  return __get_cpuid_count(leaf, subleaf, &r[0], &r[1], &r[2], &r[3]) &&
         (r[reg] >> bit & 1);
}

// AMX: the CPU has it (leaf 7, EDX 22 and 24) and the kernel grants this
// process its state, number 18.
static int amx(void) {
  static int granted = -1;
  enum { REQUEST = 0x1023, TILE_DATA = 18 };
  if (granted < 0)
    granted = has(7, 0, 3, 22) && has(7, 0, 3, 24) &&
              !syscall(SYS_arch_prctl, REQUEST, TILE_DATA);
  return granted;
}

__attribute__((target("amx-tile,amx-bf16"))) static double tiles(long rounds) {
  // Eight tiles of 16 rows of 64 bytes: four sums of the products of two and
  // two.
  struct {
    unsigned char palette, start, reserved[14];
    unsigned short bytes[16];
    unsigned char rows[16];
  } __attribute__((aligned(64))) shape = {.palette = 1};
  for (int t = 0; t < 8; t++)
    shape.bytes[t] = 64, shape.rows[t] = 16;
  __asm__ volatile(
      ""
      :
      : "r"(&shape)
      : "memory"); // GCC thinks that only eight bytes of it are read
  _tile_loadconfig(&shape);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (long n = 0; n < rounds; n++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 2.0 * 4 * 16 * 16 * 32 * (double)rounds;
}
#else
MULTIPLY_ADD(fma128, , 4)
#endif

// Each does `rounds` rounds and returns how many multiplications and additions
// that was.
double peak_fma(long rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    return fma512(rounds);
  return __builtin_cpu_supports("fma") ? fma256(rounds) : 0;
#else
  return fma128(rounds);
#endif
}

double peak_dot(long rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && has(7, 1, 0, 5))
    return dot512(rounds);
#endif
  return 0;
}

double peak_amx(long rounds) {
#if defined(__x86_64__)
  if (amx())
    return tiles(rounds);
#endif
  return 0;
}

// Reads `count` numbers, a multiple of 128, as four streams: one alone leaves a
// third of the bandwidth unused on some machines.
#if defined(__x86_64__)
__attribute__((target_clones("default", "avx2", "avx512f")))
#endif
long peak_read(const long *p, long count) {
  typedef long vector __attribute__((vector_size(64), aligned(8)));
  enum { STREAMS = 4 };
  vector s[STREAMS] = {{0}};
  long part = count / STREAMS;
  for (long n = 0; n < part; n += 32)
    for (int m = 0; m < STREAMS; m++) {
      const vector *v = (const vector *)(p + m * part + n);
      s[m] += v[0] + v[1] + v[2] + v[3];
    }
  s[0] += s[1] + s[2] + s[3];
  return s[0][0] + s[0][1] + s[0][2] + s[0][3] + s[0][4] + s[0][5] + s[0][6] +
         s[0][7];
}
