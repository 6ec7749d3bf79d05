/* What the calls that a handler makes need of Keycloak's realm: its sample events are run dry, and
 * the realm is read (lua/tools/check_calls.lua). Main thread. */
#ifndef CLI_CHECK_CALLS_H
#define CLI_CHECK_CALLS_H

#include "base/err.h"
#include "conf/conf.h"

struct checklist;
struct json_object;
struct keycloak_reader;

enum { CHECK_EVENTS_MAX = 32 };

/* A handler and its events: of -e, or the sample beside it. */
struct check_events {
    const char *handler;
    const char *paths[CHECK_EVENTS_MAX]; /* "-": standard input */
    int count;                           /* 0: HANDLER.event.json or event.json, if it is there */
};

struct check_calls {
    const struct conf *conf; /* keycloak.url, .realm and .client_id are set */
    const struct check_events *events;
    struct keycloak_reader *reader;
    struct json_object *roles; /* in the token for this realm; NULL: it names none */
};

/* Adds a line for each thing that was looked at. -1 with `e`: it could not be done. */
int check_calls(const struct check_calls *c, struct checklist *list, struct err *e);

#endif
