/* Trace context, as it comes with a message: W3C's traceparent and tracestate (w3c/trace-context,
 * version 00), and AWS X-Ray's header. Any thread.
 *
 * The host records no spans, so it sends on what it was given: a span id of its own would be a
 * parent that nobody has heard of. */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdbool.h>

enum { TRACE_BYTES = 56, TRACESTATE_MAX_BYTES = 512 };

/* Writes the traceparent as version 00, with the flags that mean something (sampled, random).
 * False, and "": it is none; upper case, ids of zeros and version ff are none. */
bool trace_of_parent(const char *traceparent, char out[TRACE_BYTES]);

/* The same of "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", its
 * keys in any order. Without Parent there is no context. */
bool trace_of_xray(const char *header, char out[TRACE_BYTES]);

/* May this tracestate go into a header? */
bool trace_is_state(const char *tracestate);

#endif
