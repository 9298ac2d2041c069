/* Calls `lower` once and `upper` twice on ten numbers, and prints what they counted. */
#include "lower.h"
#include "upper.h"

#include <stdio.h>
#include <string.h>

int main(void) {
  float x[10] = {0}, o[10];
  int64_t shape[1] = {10};
  DLTensor in, out;
  memset(&in, 0, sizeof in);
  in.data = x, in.device.device_type = kDLCPU, in.ndim = 1, in.dtype.code = kDLFloat, in.dtype.bits = 32, in.dtype.lanes = 1, in.shape = shape;
  out = in;
  out.data = o;
  if (lower(&in, &out) || upper(&in, &out) || upper(&in, &out))
    return fprintf(stderr, "%s\n", fovea_last_error()), 1;
  for (fovea_count_list *list = fovea_counts; list; list = list->next)
    for (int64_t k = 0; k < list->number; ++k) {
      const char *file = strrchr(list->counts[k].place, '/');
      printf("%s %s: %lld points, %lld rows\n", file ? file + 1 : list->counts[k].place, list->counts[k].what, (long long)list->counts[k].points,
             (long long)list->counts[k].rows);
    }
  return 0;
}
