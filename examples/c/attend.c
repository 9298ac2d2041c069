/* Calls examples/kernels/attend.attn from C and compares with the definition.
 *
 *   fovea compile examples/kernels/attend.attn -o attend.o        also writes attend.h
 *   cc -std=c99 -I . examples/c/attend.c attend.o -lm -pthread -o attend && ./attend
 */
#include "attend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 2, HEADS = 4, QUERIES = 33, KEYS = 70, SIZE = 64 };

/* A projection writes [batch, position, head, size]; the kernel wants [batch, head, position, size]. Strides say so, and
 * nothing is copied. */
static int64_t query_shape[4] = {BATCH, HEADS, QUERIES, SIZE}, key_shape[4] = {BATCH, HEADS, KEYS, SIZE};
static int64_t query_strides[4] = {QUERIES * HEADS * SIZE, SIZE, HEADS * SIZE, 1}, key_strides[4] = {KEYS * HEADS * SIZE, SIZE, HEADS * SIZE, 1};

static float q[BATCH][QUERIES][HEADS][SIZE], k[BATCH][KEYS][HEADS][SIZE], v[BATCH][KEYS][HEADS][SIZE], o[BATCH][QUERIES][HEADS][SIZE];

static DLTensor tensor(void *data, int64_t *shape, int64_t *strides) {
  DLTensor t = {data, {kDLCPU, 0}, 4, {kDLFloat, 32, 1}, shape, strides, 0};
  return t;
}

static void fill(float *to, size_t count) {
  for (size_t n = 0; n < count; ++n)
    to[n] = (float)rand() / (float)RAND_MAX - 0.5f;
}

/* The largest difference of one head's row from softmax(q k^T / sqrt(d)) v in double precision. */
static double difference(int b, int h, int i) {
  double weights[KEYS], sum = 0, most = 0;
  for (int j = 0; j < KEYS; ++j) {
    double score = 0;
    for (int d = 0; d < SIZE; ++d)
      score += (double)q[b][i][h][d] * k[b][j][h][d];
    sum += weights[j] = exp(score / sqrt(SIZE));
  }
  for (int e = 0; e < SIZE; ++e) {
    double expected = 0;
    for (int j = 0; j < KEYS; ++j)
      expected += weights[j] / sum * v[b][j][h][e];
    most = fmax(most, fabs(expected - o[b][i][h][e]));
  }
  return most;
}

int main(void) {
  fill(&q[0][0][0][0], sizeof q / sizeof(float));
  fill(&k[0][0][0][0], sizeof k / sizeof(float));
  fill(&v[0][0][0][0], sizeof v / sizeof(float));
  DLTensor query = tensor(q, query_shape, query_strides), key = tensor(k, key_shape, key_strides);
  DLTensor value = tensor(v, key_shape, key_strides), result = tensor(o, query_shape, query_strides);

  if (attend(&query, &key, &value, &result) != FOVEA_OK) {
    fprintf(stderr, "%s\n", fovea_last_error());
    return 1;
  }
  double most = 0;
  for (int b = 0; b < BATCH; ++b)
    for (int h = 0; h < HEADS; ++h)
      for (int i = 0; i < QUERIES; ++i)
        most = fmax(most, difference(b, h, i));
  printf("largest difference: %.1e\n", most);

  /* What a kernel refuses, it refuses before it touches memory. */
  int64_t wrong[4] = {BATCH, HEADS, KEYS - 1, SIZE};
  value.shape = wrong;
  printf("status %d: %s\n", attend(&query, &key, &value, &result), fovea_last_error());
  return most < 1e-5 ? 0 : 1;
}
