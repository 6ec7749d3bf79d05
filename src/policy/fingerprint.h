/* Which failures are the same one, for whoever reads of them. Pure.
 *
 * Finer than a storm's (policy/storm.h), which only asks whether it is the handler's fault: there
 * one place is one failure, whatever it says; here two things that Keycloak says to one call are
 * two. */
#ifndef POLICY_FINGERPRINT_H
#define POLICY_FINGERPRINT_H

#include <stdint.h>

/* Same kind, same place, same words but for what differs from message to message: what is in
 * quotes, and words with a digit in them (ids, counts). Never 0. Any of them may be NULL. */
uint64_t fingerprint(const char *kind, const char *at, const char *reason);

#endif
