/* The stand-in servers: an SQS-compatible queue service and a Keycloak, in memory, written in
 * Lua (lua/sandbox) on net/httpd. One thread and one loop: the owner calls sandbox_turn after
 * each ev_run(loop, EVRUN_ONCE).
 *
 * Nothing of it is for production: it keeps no data, and checks no signatures. */
#ifndef VM_SANDBOX_H
#define VM_SANDBOX_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct ev_loop;
struct sandbox;

struct sandbox_realm {
    const char *name; /* its file, for messages */
    const char *text; /* Keycloak's realm export, JSON */
    size_t len;
};

struct sandbox_options {
    const char *listen; /* "127.0.0.1:9324"; see net/listen.h */
    bool allow_remote;
    const char *const *queues; /* made at the start; NULL-terminated */
    /* A queue to make, too: it takes what was received redrive_max times from the first of
     * `queues`. NULL: none. */
    const char *dead_letters;
    int redrive_max;
    const struct sandbox_realm *realms;
    int realm_count;
    /* The realm that is always there, unless one of `realms` has its name, with one client
     * that may do what registrations need. */
    const char *realm;
    const char *client_id;
    const char *client_secret;
};

/* Starts listening; the options are not needed afterwards. NULL with `e`: the code is
 * listen_tcp's, or EDOM if a realm or a queue's name is wrong (the text says which). */
struct sandbox *sandbox_new(struct ev_loop *loop, const struct sandbox_options *options,
                            struct err *e);
/* Cuts all connections, forgets everything. */
void sandbox_free(struct sandbox *s);
void sandbox_turn(struct sandbox *s);

/* "127.0.0.1:40123": where it listens. */
const char *sandbox_name(const struct sandbox *s);

#endif
