// The f32 multiply-add peak of one core: independent chains of vector FMAs, as many as hide their latency. Built with -march=native.
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
typedef float vector __attribute__((vector_size(LANES * 4)));
enum { CHAINS = 12 };

// Multiplications and additions done by `rounds` rounds: two a lane.
double peak_operations(long rounds) { return 2.0 * LANES * CHAINS * (double)rounds; }

float peak_run(long rounds) {
  vector a = {0.5f}, x = {0.25f}, sum[CHAINS] = {{0}};
  __asm__ volatile("" : "+v"(a), "+v"(x));
  vector s0 = sum[0], s1 = sum[1], s2 = sum[2], s3 = sum[3], s4 = sum[4], s5 = sum[5];
  vector s6 = sum[6], s7 = sum[7], s8 = sum[8], s9 = sum[9], s10 = sum[10], s11 = sum[11];
  for (long n = 0; n < rounds; n++) {
    s0 = s0 * a + x, s1 = s1 * a + x, s2 = s2 * a + x, s3 = s3 * a + x, s4 = s4 * a + x, s5 = s5 * a + x;
    s6 = s6 * a + x, s7 = s7 * a + x, s8 = s8 * a + x, s9 = s9 * a + x, s10 = s10 * a + x, s11 = s11 * a + x;
    // Without this the chains, which all compute the same, would become one.
    __asm__ volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5));
    __asm__ volatile("" : "+v"(s6), "+v"(s7), "+v"(s8), "+v"(s9), "+v"(s10), "+v"(s11));
  }
  vector total = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;
  return total[0];
}
