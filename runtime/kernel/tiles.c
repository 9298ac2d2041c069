#include "runtime/kernel/internal.h"

#include <stdlib.h>

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

static int granted(void) {
  enum { REQUEST = 0x1023, TILE_DATA = 18 };   /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
  return fovea_machine_has("amx_tile", 8) == 1 && fovea_machine_has("amx_bf16", 8) == 1 && !syscall(SYS_arch_prctl, REQUEST, TILE_DATA);
}
#else
static int granted(void) { return 0; }
#endif

/* The system grants the registers to a process, so threads may ask at the same time and hear the same. */
int32_t fovea_may_use_tiles(void) {
  static int known;   /* 0: not asked yet, 1: no, 2: yes */
  int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (!answer) {
    const char *text = getenv("FOVEA_TILES");
    answer = (text && text[0] == '0') || !granted() ? 1 : 2;
    __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
  }
  return answer == 2;
}
