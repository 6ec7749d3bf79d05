/* The HTTP server between its two halves: httpd.c carries connections over libmicrohttpd and libev,
 * httpd_answer.c is what the owner of a request asks it and answers. Inside net/ only. */
#ifndef NET_HTTPD_PARTS_H
#define NET_HTTPD_PARTS_H

#include "base/buf.h"
#include "base/list.h"
#include "net/httpd.h"

#include <ev.h>

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

enum {
    HTTPD_HEADERS_MAX = 100,
    HTTPD_NAME_MAX = 128, /* longer than any path of a Unix socket */
};

enum state {
    STATE_NONE,     /* no request on this connection now */
    STATE_READING,  /* request line read, head or body coming */
    STATE_READY,    /* whole, in `ready`, connection suspended */
    STATE_OWNED,    /* with the owner, connection suspended */
    STATE_ANSWERED, /* resumed, or about to be, with an answer; or to be cut if it has none */
};

/* A connection with the one request that it can carry at a time. */
struct httpd_request {
    struct httpd *h;
    struct MHD_Connection *connection;
    int fd;
    struct list node;  /* in h->connections */
    struct list queue; /* in h->ready or h->departed */
    ev_timer deadline; /* libmicrohttpd's own timeout counts silence only: drops keep it off */
    ev_io departure;   /* it does not see a peer leave a suspended connection either */
    enum state state;
    const char *method;
    struct buf target; /* path, NUL, query */
    struct buf path;   /* decoded */
    struct buf body;
    size_t swallowed; /* bytes of a body over the limit, read and dropped */
    bool first_call_done;
    int header_count;
    struct httpd_header headers[HTTPD_HEADERS_MAX]; /* point into libmicrohttpd's memory */
    unsigned status;
    struct MHD_Response *response;
};

struct httpd {
    struct ev_loop *loop;
    struct httpd_options options;
    struct httpd_owner owner;
    char name[HTTPD_NAME_MAX];
    struct MHD_Daemon *daemon;
    ev_io io;       /* libmicrohttpd's own epoll descriptor */
    ev_timer timer; /* when it wants to be run without an event; 0 after a resume */
    struct list connections;
    struct list ready;    /* requests for the owner */
    struct list departed; /* requests whose client left */
    bool one_closed;      /* during this MHD_run */
    bool in_turn;
};

/* The request must get on, or the answer be taken, within this: else the connection is cut. */
void httpd_deadline(struct httpd_request *r, int seconds);

/* The owner has it no more: libmicrohttpd asks for its answer next, and cuts it if it has none. */
void httpd_resume(struct httpd_request *r);

#endif
