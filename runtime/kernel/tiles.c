#include "runtime/kernel/runtime.h"

#include <stdlib.h>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static int granted(void) {
  enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1)) return 0; /* amx_bf16, amx_tile */
  return !syscall(SYS_arch_prctl, REQUEST, TILE_DATA);
}
#else
static int granted(void) { return 0; }
#endif

/* The system grants the registers to a process, so threads may find out at the same time and find the same. */
int32_t fovea_may_use_tiles(void) {
  static _Atomic int known = -1;
  if (known < 0) {
    const char *text = getenv("FOVEA_TILES");
    known = !(text && text[0] == '0') && granted();
  }
  return known;
}
