#include "cli/check_online.h"

#include "aws/creds.h"
#include "aws/sqs.h"
#include "cli/checklist.h"
#include "net/fetch.h"
#include "ops/handler_vm.h"
#include "ops/keycloak_reader.h"
#include "ops/queue_lookup.h"

#include <ctype.h>
#include <ev.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 5000, TOKEN_PART_MAX = 64 << 10 };

static void say(struct checklist *list, enum checklist_mark mark, const char *what,
                const char *format, ...) __attribute__((format(printf, 4, 5)));
static void say(struct checklist *list, enum checklist_mark mark, const char *what,
                const char *format, ...)
{
    char text[1400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    checklist_add(list, mark, what, text);
}

/* ---- the queue ---------------------------------------------------------------------------- */

static void tell_redrive(const struct conf *c, const struct queue_facts *f, struct checklist *list)
{
    int ours = c->retry.max_attempts;
    if (!f->known)
        say(list, CHECK_DOUBT, "redrive policy",
            "not known: the role needs sqs:GetQueueAttributes to read it");
    else if (f->max_receives == 0)
        say(list, CHECK_DOUBT, "redrive policy",
            "none: nothing ends a message that always fails but its retention; give the queue a "
            "RedrivePolicy with maxReceiveCount 10 or more");
    else if (ours > f->max_receives)
        say(list, CHECK_BAD, "redrive policy",
            "retry.max_attempts is %d, but SQS moves a message after maxReceiveCount = %d "
            "receives, without a word on why: raise that above %d, or lower retry.max_attempts",
            ours, f->max_receives, ours);
    else if (f->max_receives < QUEUE_FEW_RECEIVES)
        say(list, CHECK_DOUBT, "redrive policy",
            "maxReceiveCount is %d: crashes and releases cost receives too; raise it to %d or more",
            f->max_receives, QUEUE_FEW_RECEIVES);
    else
        say(list, CHECK_OK, "redrive policy", "maxReceiveCount %d", f->max_receives);
}

static void tell_queue(const struct conf *c, const struct queue_lookup *l, struct checklist *list)
{
    if (l->error.code != 0) {
        say(list, CHECK_BAD, "queue online", "%s", l->error.text);
        return;
    }
    say(list, CHECK_OK, "queue online", "%s%s", sqs_queue_url(l->sqs),
        l->facts.fifo ? " (FIFO)" : "");
    tell_redrive(c, &l->facts, list);
    if (*l->facts.dead_letters_missing)
        say(list, l->facts.wants_dead_letters ? CHECK_BAD : CHECK_DOUBT, "dead letters",
            "rejected messages would be kept and retried: %s", l->facts.dead_letters_missing);
    else if (sqs_dead_letter_url(l->sqs))
        say(list, CHECK_OK, "dead letters",
            "%s is there; only a write would show that it may be written to (sqs:SendMessage)",
            sqs_dead_letter_url(l->sqs));
}

static void look_up(const struct conf *c, struct ev_loop *loop, struct fetch *fetch,
                    struct sqs *sqs, struct checklist *list)
{
    struct queue_lookup l = {0};
    const struct queue_lookup_options o = {.name = c->queue.url ? NULL : c->queue.name,
                                           .dead_letters = true,
                                           .dlq_url = c->queue.dlq_url,
                                           .patience_ms = PATIENCE_MS};
    queue_lookup_start(&l, loop, sqs, &o);
    while (!l.ended) {
        ev_run(loop, EVRUN_ONCE);
        fetch_turn(fetch);
    }
    queue_lookup_stop(&l);
    tell_queue(c, &l, list);
}

void check_online_queue(const struct conf *c, struct checklist *list)
{
    struct err e = {0};
    const struct fetch_options options = handler_fetch_options(c);
    const struct sqs_options o = {
        .endpoint = c->queue.endpoint, .region = c->queue.region, .queue_url = c->queue.url};
    if (conf_require_queue(c, &e) != 0) /* a cross already */
        return;
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct fetch *fetch = loop ? fetch_new(loop, &options, &e) : NULL;
    struct creds *creds = fetch ? creds_new(&e) : NULL;
    if (creds)
        say(list, CHECK_OK, "credentials", "from %s", creds_get(creds)->source);
    struct sqs *sqs = creds ? sqs_new(&o, fetch, creds, &e) : NULL;
    if (sqs)
        look_up(c, loop, fetch, sqs, list);
    else
        say(list, CHECK_BAD, creds ? "queue online" : "credentials", "%s",
            *e.text ? e.text : "no memory");
    sqs_free(sqs);
    creds_free(creds);
    fetch_free(fetch);
    if (loop)
        ev_loop_destroy(loop);
}

/* ---- Keycloak ------------------------------------------------------------------------------- */

/* What a JWT says, unverified: it is the server's business whether it is true. NULL: it is none. */
static struct json_object *claims_of(const char *token)
{
    const char *start = token ? strchr(token, '.') : NULL;
    const char *end = start ? strchr(++start, '.') : NULL;
    size_t len = end ? (size_t)(end - start) : 0;
    if (len == 0 || len > TOKEN_PART_MAX)
        return NULL;
    char *text = calloc(1, len + 4);
    unsigned char *plain = calloc(1, len + 4);
    struct json_object *claims = NULL;
    if (text && plain) {
        memcpy(text, start, len);
        for (char *p = text; *p; p++)
            *p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
        while (len % 4)
            text[len++] = '=';
        if (EVP_DecodeBlock(plain, (unsigned char *)text, (int)len) > 0)
            claims = json_tokener_parse((char *)plain);
    }
    free(text);
    free(plain);
    return claims;
}

static bool has_role(struct json_object *roles, const char *name)
{
    size_t count = json_object_array_length(roles);
    for (size_t i = 0; i < count; i++) {
        const char *role = json_object_get_string(json_object_array_get_idx(roles, i));
        if (role && (strcmp(role, name) == 0 || strcmp(role, "realm-admin") == 0))
            return true;
    }
    return false;
}

/* The roles in the token for the realm: of its own realm they are realm-management's, seen from
 * the master realm those of the client REALM-realm. */
static struct json_object *roles_in(struct json_object *claims, const struct conf *c)
{
    char client[300];
    struct json_object *access, *of, *roles;
    const char *auth = c->keycloak.auth_realm ? c->keycloak.auth_realm : c->keycloak.realm;
    bool same = strcmp(auth, c->keycloak.realm) == 0;
    snprintf(client, sizeof client, "%s%s", same ? "realm-management" : c->keycloak.realm,
             same ? "" : "-realm");
    bool there = json_object_object_get_ex(claims, "resource_access", &access) &&
                 json_object_object_get_ex(access, client, &of) &&
                 json_object_object_get_ex(of, "roles", &roles) &&
                 json_object_is_type(roles, json_type_array);
    return there ? roles : NULL;
}

static void tell_roles(const struct conf *c, const char *token, struct checklist *list)
{
    static const struct {
        const char *name, *why;
        bool must;
    } needed[] = {{"manage-users", "to make users", true},
                  {"view-users", "to read users and groups", true},
                  {"query-users", "to find users", true},
                  {"view-realm", "to find realm roles; only handlers that give them", false}};
    struct json_object *claims = claims_of(token), *roles = claims ? roles_in(claims, c) : NULL;
    for (size_t i = 0; roles && i < sizeof needed / sizeof *needed; i++) {
        if (has_role(roles, needed[i].name))
            say(list, CHECK_OK, "role", "%s", needed[i].name);
        else
            say(list, needed[i].must ? CHECK_BAD : CHECK_DOUBT, "role",
                "the service account of %s lacks %s (%s): in realm %s, give it that role of "
                "realm-management",
                c->keycloak.client_id, needed[i].name, needed[i].why, c->keycloak.realm);
    }
    if (!roles)
        say(list, CHECK_DOUBT, "role",
            "the token names no roles for realm %s: either the service account of %s has none "
            "(it needs manage-users, view-users and query-users), or its tokens leave them out",
            c->keycloak.realm, c->keycloak.client_id);
    json_object_put(claims);
}

static void tell_keycloak(const struct conf *c, struct keycloak_reader *r, struct checklist *list)
{
    char url[1024];
    const char *text;
    size_t len;
    bool plain = true;
    for (const char *p = c->keycloak.realm; *p; p++)
        plain &= isalnum((unsigned char)*p) || strchr("-_.~", *p);
    snprintf(url, sizeof url, "%.700s/admin/realms/%.200s/users?max=1", c->keycloak.url,
             plain ? c->keycloak.realm : "");
    int status = plain ? keycloak_read(r, url, &text, &len) : 0;
    if (!plain)
        say(list, CHECK_DOUBT, "Keycloak", "not asked: the name of realm %s needs escaping",
            c->keycloak.realm);
    else if (status < 0)
        say(list, CHECK_BAD, keycloak_reader_token(r) ? "Keycloak" : "Keycloak token", "%s", text);
    else
        say(list, CHECK_OK, "Keycloak token", "of client %s from %s", c->keycloak.client_id,
            c->keycloak.url);
    if (status == 404)
        say(list, CHECK_BAD, "Keycloak", "there is no realm %s at %s: check keycloak.realm",
            c->keycloak.realm, c->keycloak.url);
    else if (status > 0 && status != 200 && status != 403)
        say(list, CHECK_BAD, "Keycloak", "GET %s answered %d", url, status);
    else if (status > 0)
        tell_roles(c, keycloak_reader_token(r), list);
}

void check_online_keycloak(const struct conf *c, struct checklist *list)
{
    struct err e = {0};
    if (!c->keycloak.url)
        return;
    if (!c->keycloak.realm || !c->keycloak.client_id) {
        say(list, CHECK_BAD, "Keycloak", "set keycloak.%s: keycloak.url is set",
            c->keycloak.realm ? "client_id" : "realm");
        return;
    }
    struct keycloak_reader *r = keycloak_reader_new(c, &e);
    if (r)
        tell_keycloak(c, r, list);
    else
        say(list, CHECK_BAD, "Keycloak", "%s", e.text);
    keycloak_reader_free(r);
}
