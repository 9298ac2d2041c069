/* Messages, and the ABI version. */
#include "runtime/kernel/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PUBLIC __attribute__((weak, visibility("default")))

static _Thread_local char message[FOVEA_ERROR_BYTES];

PUBLIC const char *fovea_last_error(void) { return message; }

PUBLIC int fovea_abi_version(void) { return FOVEA_ABI_VERSION; }

/* Through the public function: the linker may have kept another copy's. */
static char *shared_message(void) { return (char *)fovea_last_error(); }

int32_t fovea_rt_fail(int32_t status, const char *text) {
  char *to = shared_message();
  size_t length = strlen(text);
  if (length >= FOVEA_ERROR_BYTES)
    length = FOVEA_ERROR_BYTES - 1;
  memmove(to, text, length);
  to[length] = 0;
  return status;
}

int32_t fovea_failf(int32_t status, const char *kernel, const char *format, ...) {
  char text[FOVEA_ERROR_BYTES];
  int used = kernel ? snprintf(text, sizeof text, "%.200s: ", kernel) : 0;
  va_list list;
  va_start(list, format);
  vsnprintf(text + used, sizeof text - (size_t)used, format, list);
  va_end(list);
  return fovea_rt_fail(status, text);
}
