/* Memory for temporaries: an arena a thread, of chunks that are kept between calls. Memory that goes back to the system is
 * faulted in again by the next call, which once cost a third of a kernel's speed. */
#define _GNU_SOURCE
#include "runtime/kernel/internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HEADER = 64, PAGE = 4096, HUGE_PAGE = 2 << 20, SMALLEST_CHUNK = 1 << 20, LARGEST_SPARE = 256 << 20 };

struct fovea_chunk {
  struct fovea_chunk *previous, *next;
  int64_t start;   /* bytes of all chunks before it: a mark is a position in their concatenation */
  int64_t size;    /* with this header */
};
_Static_assert(sizeof(struct fovea_chunk) <= HEADER, "a chunk's header has outgrown its place");

_Thread_local struct fovea_thread fovea_this_thread;

static atomic_llong in_use;
static atomic_llong limit = -2;   /* -2: the environment was not asked yet; -1: none */

void fovea_set_memory_limit(int64_t bytes) { atomic_store(&limit, bytes < 0 ? -1 : bytes); }
int64_t fovea_memory_in_use(void) { return atomic_load(&in_use); }

static int64_t memory_limit(void) {
  int64_t bytes = atomic_load_explicit(&limit, memory_order_relaxed);
  if (bytes != -2)
    return bytes;
  const char *text = getenv("FOVEA_MEMORY_LIMIT");
  char *end = NULL;
  bytes = text && *text ? strtoll(text, &end, 10) : -1;
  if (bytes < 0 || (end && *end))
    bytes = -1;
  atomic_store(&limit, bytes);
  return bytes;
}

static void unmap(struct fovea_chunk *chunk) {
  atomic_fetch_sub(&in_use, chunk->size);
  munmap(chunk, (size_t)chunk->size);
}

/* Frees `chunk` and all after it. */
static void unmap_from(struct fovea_chunk *chunk) {
  while (chunk) {
    struct fovea_chunk *next = chunk->next;
    unmap(chunk);
    chunk = next;
  }
}

static struct fovea_chunk *map(int64_t size) {
  int64_t most = memory_limit();
  if (atomic_fetch_add(&in_use, size) + size > (most < 0 ? INT64_MAX : most)) {
    atomic_fetch_sub(&in_use, size);
    return NULL;
  }
  void *at = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    atomic_fetch_sub(&in_use, size);
    return NULL;
  }
  if (size >= 2 * HUGE_PAGE)
    madvise(at, (size_t)size, MADV_HUGEPAGE);
  struct fovea_chunk *chunk = at;
  chunk->size = size;
  return chunk;
}

/* At a thread's end its chunks go back. */
static pthread_key_t at_exit;
static atomic_int have_key;

static void free_chunks(void *first) {
  fovea_this_thread.chunk = NULL;
  fovea_this_thread.top = fovea_this_thread.limit = NULL;
  fovea_this_thread.block = NULL;
  unmap_from(first);
}

static void make_key(void) { atomic_store(&have_key, pthread_key_create(&at_exit, free_chunks) == 0); }

void fovea_arena_forget_threads(void) {
  if (atomic_exchange(&have_key, 0))
    pthread_key_delete(at_exit);
}

static void remember(struct fovea_chunk *first) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_key);
  if (atomic_load(&have_key))
    pthread_setspecific(at_exit, first);
}

static void enter(struct fovea_thread *thread, struct fovea_chunk *chunk) {
  thread->chunk = chunk;
  thread->top = (char *)chunk + HEADER;
  thread->limit = (char *)chunk + chunk->size;
}

/* Goes on to a chunk with room for `bytes`. Chunks that are too small to be of use are replaced by one, so that their number
 * stays logarithmic whatever a program asks for. */
static int grow(struct fovea_thread *thread, int64_t bytes) {
  struct fovea_chunk *here = thread->chunk, *next = here ? here->next : NULL;
  if (next && next->size - HEADER >= bytes) {
    enter(thread, next);
    return 1;
  }
  unmap_from(next);
  if (here)
    here->next = NULL;
  if (bytes > INT64_MAX - HEADER - HUGE_PAGE)
    return 0;
  int64_t generous = here ? 2 * here->size : SMALLEST_CHUNK;
  if (generous > LARGEST_SPARE)
    generous = LARGEST_SPARE;
  int64_t exact = (bytes + HEADER + PAGE - 1) / PAGE * PAGE;
  struct fovea_chunk *chunk = NULL;
  if (generous > exact)
    chunk = map(generous);
  if (!chunk && !(chunk = map(exact)))
    return 0;
  chunk->previous = here;
  chunk->next = NULL;
  chunk->start = here ? here->start + here->size : 0;
  if (here)
    here->next = chunk;
  else
    remember(chunk);
  enter(thread, chunk);
  return 1;
}

int64_t fovea_mul(int64_t a, int64_t b) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product))
    return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
  return product;
}

static int64_t fovea_add(int64_t a, int64_t b) { return a > INT64_MAX - b ? INT64_MAX : a + b; }

static void *allocate(int64_t bytes) {
  struct fovea_thread *thread = &fovea_this_thread;
  if (__builtin_expect(bytes < 0 || bytes > INT64_MAX - ALIGNMENT, 0)) {
    fovea_escape(INT64_MAX);
    return NULL;
  }
  int64_t rounded = bytes ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
  if (__builtin_expect(rounded > thread->limit - thread->top, 0) && !grow(thread, rounded)) {
    fovea_escape(bytes);
    return NULL;
  }
  void *at = thread->top;
  thread->top += rounded;
  return at;
}

void *fovea_alloc(int64_t count, int64_t element_size) { return allocate(fovea_mul(count, element_size)); }

int64_t fovea_arena_mark(void) {
  struct fovea_thread *thread = &fovea_this_thread;
  return thread->chunk ? thread->chunk->start + (thread->top - (char *)thread->chunk) : 0;
}

/* What halide_malloc puts before a block. */
struct fovea_block {
  struct fovea_block *previous;
  int64_t mark;    /* the arena before this block */
  int64_t end;     /* the arena after it */
  int freed;
};
_Static_assert(sizeof(struct fovea_block) <= ALIGNMENT, "a block's header has outgrown its place");

void fovea_arena_release(int64_t mark) {
  struct fovea_thread *thread = &fovea_this_thread;
  struct fovea_chunk *chunk = thread->chunk;
  if (!chunk)
    return;
  while (thread->block && thread->block->mark >= mark)
    thread->block = thread->block->previous;
  while (chunk->previous && mark < chunk->start)
    chunk = chunk->previous;
  enter(thread, chunk);
  if (mark - chunk->start > HEADER)
    thread->top = (char *)chunk + (mark - chunk->start);
}

/* Leaves allocate scratch through these two; a block goes back when nothing lies above it, at the latest with the arena's mark. */
void *halide_malloc(void *user_context, size_t size) {
  (void)user_context;
  struct fovea_thread *thread = &fovea_this_thread;
  int64_t mark = fovea_arena_mark();
  char *at = allocate(size > INT64_MAX - 2 * ALIGNMENT ? -1 : (int64_t)size + ALIGNMENT);
  if (!at)
    return NULL;
  struct fovea_block *block = (struct fovea_block *)at;
  *block = (struct fovea_block){.previous = thread->block, .mark = mark, .end = fovea_arena_mark()};
  thread->block = block;
  return at + ALIGNMENT;
}

void halide_free(void *user_context, void *at) {
  (void)user_context;
  if (!at)
    return;
  ((struct fovea_block *)((char *)at - ALIGNMENT))->freed = 1;
  struct fovea_block *block;
  while ((block = fovea_this_thread.block) && block->freed && block->end == fovea_arena_mark())
    fovea_arena_release(block->mark);
}

/* Before a temporary of `bytes`, a product of fovea_mul: does not return where it can never be had. */
void fovea_check_size(int64_t bytes) {
  if (bytes == INT64_MAX)
    (void)fovea_alloc(INT64_MAX, 1);
}

/* What MLIR's lowering of memref.alloc and memref.dealloc calls. A block that was given back serves a later one of about its size
 * until the kernel or stage ends; those that loops allocate go with the loop's mark. */
struct fovea_spare {
  struct fovea_spare *next;
  int64_t bytes;
};
_Static_assert(sizeof(struct fovea_spare) <= ALIGNMENT, "a spare block's header has outgrown its place");

void *_mlir_memref_to_llvm_alloc(int64_t bytes) {
  struct fovea_thread *thread = &fovea_this_thread;
  for (struct fovea_spare **at = &thread->spare; *at; at = &(*at)->next) {
    struct fovea_spare *block = *at;
    if (block->bytes < bytes || block->bytes / 2 > bytes)
      continue;
    *at = block->next;
    return (char *)block + ALIGNMENT;
  }
  char *memory = fovea_alloc(fovea_add(bytes, ALIGNMENT), 1);
  if (!memory)
    return NULL;
  ((struct fovea_spare *)memory)->bytes = bytes;
  return memory + ALIGNMENT;
}

void _mlir_memref_to_llvm_free(void *memory) {
  struct fovea_thread *thread = &fovea_this_thread;
  struct fovea_spare *block = (struct fovea_spare *)((char *)memory - ALIGNMENT);
  block->next = thread->spare;
  thread->spare = block;
}
