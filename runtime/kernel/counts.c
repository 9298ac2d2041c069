/* Objects for target host-count enter their counts into the program's list when they are loaded, and leave it when they are unloaded. */
#include "runtime/include/fovea/counts.h"
#include "runtime/kernel/runtime.h"

/* `head` is this object's view of the weak fovea_counts. Called by the loader, which does one thing at a time. */
void fovea_rt_enter_counts(void *head, void *list) {
  fovea_count_list **first = head, *entered = list;
  entered->next = *first;
  *first = entered;
}

void fovea_rt_leave_counts(void *head, void *list) {
  for (fovea_count_list **at = head; *at; at = &(*at)->next)
    if (*at == list) {
      *at = (*at)->next;
      return;
    }
}
