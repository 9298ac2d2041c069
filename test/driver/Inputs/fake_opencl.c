/* OpenCL with two platforms: `One` with a CPU of 8 units, `Two` with GPUs of 40, 64 and 64 units and an accelerator of 99. With FAKE_OPENCL=crash, a
 * driver that dies. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct device { const char *name; uint64_t type; uint32_t units; };
static struct device devices[] = {{"cpu", 2, 8}, {"small", 4, 40}, {"large", 4, 64}, {"larger", 4, 64}, {"odd\xff", 8, 99}};
static char one, two;

int clGetPlatformIDs(uint32_t most, void **ids, uint32_t *count) {
  if (getenv("FAKE_OPENCL"))
    abort();
  if (ids)
    ids[0] = &one, ids[1] = &two;
  return count ? *count = 2, 0 : 0;
}
static int give(const void *value, size_t bytes, size_t size, void *to, size_t *needed) {
  if (needed)
    *needed = bytes;
  if (to && size < bytes)
    return -30;
  return to ? memcpy(to, value, bytes), 0 : 0;
}
static int text(const char *value, size_t size, void *to, size_t *needed) { return give(value, strlen(value) + 1, size, to, needed); }
int clGetPlatformInfo(void *id, uint32_t what, size_t size, void *to, size_t *needed) {
  return text(what == 0x902 ? (id == &one ? "One" : "Two") : "OpenCL 3.0 ", size, to, needed);
}
int clGetDeviceIDs(void *platform, uint64_t types, uint32_t most, void **ids, uint32_t *count) {
  uint32_t found = 0;
  for (int n = platform == &one ? 0 : 1; n < (platform == &one ? 1 : 5); ++n)
    if (types & devices[n].type) {
      if (ids && found < most)
        ids[found] = &devices[n];
      ++found;
    }
  return count ? *count = found, found ? 0 : -1 : 0;
}
int clGetDeviceInfo(void *id, uint32_t what, size_t size, void *to, size_t *needed) {
  const struct device *device = id;
  const uint64_t memory = (uint64_t)16 << 30, local = 65536;
  switch (what) {
    case 0x1000: return give(&device->type, 8, size, to, needed);
    case 0x1002: return give(&device->units, 4, size, to, needed);
    case 0x101F: return give(&memory, 8, size, to, needed);
    case 0x1023: return give(&local, 8, size, to, needed);
    case 0x102B: return text(device->name, size, to, needed);
    case 0x102D: return text("1.5", size, to, needed);
    case 0x102F: return text("OpenCL 3.0", size, to, needed);
  }
  return -30;
}
