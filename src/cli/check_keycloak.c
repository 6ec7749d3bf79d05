#include "cli/check_keycloak.h"

#include "base/buf.h"
#include "cli/checklist.h"
#include "ops/keycloak_reader.h"

#include <ctype.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_PART_MAX = 64 << 10 };

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

/* `refused`: not even the realm may be read, which any administrative role allows. */
static void tell_calls(const struct conf *c, const struct check_events *events,
                       struct keycloak_reader *r, bool refused, struct checklist *list)
{
    struct err e = {0};
    struct json_object *claims = claims_of(keycloak_reader_token(r));
    struct json_object *roles = claims ? roles_in(claims, c) : NULL, *none = NULL;
    if (!roles && refused)
        roles = none = json_object_new_array();
    const struct check_calls calls = {.conf = c, .events = events, .reader = r, .roles = roles};
    if (check_calls(&calls, list, &e) != 0)
        checklist_add(list, CHECK_BAD, "event", e.text);
    json_object_put(none);
    json_object_put(claims);
}

/* {keycloak.url}/admin/realms/{realm}: any administrative role may read it. */
static void add_realm_url(struct buf *url, const struct conf *c)
{
    size_t len = strlen(c->keycloak.url);
    while (len > 0 && c->keycloak.url[len - 1] == '/')
        len--;
    buf_printf(url, "%.*s/admin/realms/", (int)len, c->keycloak.url);
    for (const char *p = c->keycloak.realm; *p; p++)
        if (isalnum((unsigned char)*p) || strchr("-_.~", *p))
            buf_char(url, *p);
        else
            buf_printf(url, "%%%02X", (unsigned char)*p);
}

static void tell_keycloak(const struct conf *c, const struct check_events *events,
                          struct keycloak_reader *r, struct checklist *list)
{
    struct buf url;
    const char *text;
    size_t len;
    buf_init(&url);
    add_realm_url(&url, c);
    int status = url.failed ? -1 : keycloak_read(r, url.data, &text, &len);
    if (url.failed) {
        checklist_add(list, CHECK_BAD, "Keycloak", "no memory");
    } else if (status < 0) {
        checklist_add(list, CHECK_BAD, keycloak_reader_token(r) ? "Keycloak" : "Keycloak token",
                      text);
    } else {
        checklist_say(list, CHECK_OK, "Keycloak token", "of client %s from %s",
                      c->keycloak.client_id, c->keycloak.url);
        if (status == 404)
            checklist_say(list, CHECK_BAD, "Keycloak",
                          "there is no realm %s at %s: check keycloak.realm", c->keycloak.realm,
                          c->keycloak.url);
        else if (status != 200 && status != 403)
            checklist_say(list, CHECK_BAD, "Keycloak", "GET %s answered %d", url.data, status);
        else
            tell_calls(c, events, r, status == 403, list);
    }
    buf_free(&url);
}

void check_keycloak(const struct conf *c, const struct check_events *events, struct checklist *list)
{
    struct err e = {0};
    if (!c->keycloak.url)
        return;
    if (!c->keycloak.realm || !c->keycloak.client_id) {
        checklist_say(list, CHECK_BAD, "Keycloak", "set keycloak.%s: keycloak.url is set",
                      c->keycloak.realm ? "client_id" : "realm");
        return;
    }
    struct keycloak_reader *r = keycloak_reader_new(c, &e);
    if (r)
        tell_keycloak(c, events, r, list);
    else
        checklist_add(list, CHECK_BAD, "Keycloak", e.text);
    keycloak_reader_free(r);
}
