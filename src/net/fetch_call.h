/* A call of fetch between its two halves: fetch_call.c leads its life (pool, time limit,
 * result, delivery), fetch.c carries it over libcurl. Inside net/ only. */
#ifndef NET_FETCH_CALL_H
#define NET_FETCH_CALL_H

#include "base/list.h"
#include "net/fetch.h"
#include "net/fetch_check.h"
#include "net/watch.h"

struct curl_slist;

enum { FETCH_DETAIL_BYTES = 256 }; /* CURL_ERROR_SIZE */

struct fetch {
    struct watch watch;
    struct watch_timer timer; /* libcurl's */
    void *multi;              /* CURLM */
    void *share;              /* CURLSH */
    struct list open;
    struct list finished; /* until fetch_turn */
    struct list idle;
    long idle_count;
    struct fetch_options options;
    char *ca_file;
    bool proxies;   /* the environment names some */
    bool unwatched; /* some call is */
};

enum call_state { CALL_IDLE, CALL_OPEN, CALL_FINISHED, CALL_DELIVERING };

struct fetch_call {
    struct list node; /* in one of the fetch's lists */
    struct fetch *fetch;
    enum call_state state;
    fetch_done *done;
    void *arg;
    struct watch_timer limit;
    int timeout_ms;
    int graces; /* how often `limit` may still wait for bytes that lie ready */
    int64_t started_us;
    struct fetch_response response;
    char words[768]; /* response.error */

    /* fetch.c's: the easy handle and what it is set to, so that only what differs is set. */
    void *easy;
    enum fetch_mode mode;
    char custom[FETCH_METHOD_MAX + 1]; /* CURLOPT_CUSTOMREQUEST; "": none */
    bool direct;                       /* CURLOPT_PROXY is "" */
    bool over_unix;                    /* CURLOPT_UNIX_SOCKET_PATH is set */
    int connect_timeout_ms;
    struct buf url;
    struct buf text;          /* the header lines that `lines` points into */
    struct curl_slist *lines; /* an array, linked in order; libcurl only reads it */
    size_t lines_cap;

    /* fetch.c's: of this transfer. */
    bool repeatable;
    bool asked;   /* a request was about to go out */
    bool repeats; /* libcurl sends it again, or wanted to and was refused */
    bool fresh;   /* bytes came since `limit` last looked */
    bool head_done;
    bool too_big;
    bool unwatched; /* one of its sockets, for want of memory */
    size_t max_body_bytes;
    struct buf head;
    struct buf body;
    char detail[FETCH_DETAIL_BYTES]; /* libcurl's words; must live as long as `easy` */
};

/* ---- fetch.c ---- */

int transfers_init(struct fetch *f); /* -1: no memory */
void transfers_free(struct fetch *f);
int transfer_new(struct fetch_call *call); /* -1: no memory; transfer_free is safe */
void transfer_free(struct fetch_call *call);
int transfer_start(struct fetch_call *call, const struct fetch_request *q, bool direct,
                   struct err *e);
void transfer_stop(struct fetch_call *call);
/* Fills in what of the answer and of `sent` is known so far; before transfer_stop. */
void transfer_read(const struct fetch_call *call, struct fetch_response *r);

/* ---- fetch_call.c ---- */

/* The transfer is over; only notes it. `detail`: the library's words. */
void call_end(struct fetch_call *call, enum fetch_result result, const char *detail);

#endif
