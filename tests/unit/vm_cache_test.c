/* host.cache's memory: its bound, and workers that wait for each other. */
#include "vm/cache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static char *get(struct cache *c, const char *key, int64_t now_ms, struct buf *b)
{
    buf_clear(b);
    return cache_get(c, key, now_ms, b) ? b->data : NULL;
}

static int set(struct cache *c, const char *key, const char *value, int64_t ttl_ms, int64_t now_ms)
{
    return cache_set(c, key, value, strlen(value), ttl_ms, now_ms);
}

static void values_live_for_their_time(void **state)
{
    (void)state;
    struct cache *c = cache_new(1 << 20);
    struct buf b;
    buf_init(&b);
    assert_int_equal(set(c, "a", "1", 100, 1000), 0);
    assert_int_equal(set(c, "b", "2", 0, 1000), 0);
    assert_string_equal(get(c, "a", 1099, &b), "1");
    assert_null(get(c, "a", 1100, &b));
    assert_string_equal(get(c, "b", INT64_MAX, &b), "2");
    cache_delete(c, "b");
    assert_null(get(c, "b", 1000, &b));
    buf_free(&b);
    cache_free(c);
}

static void what_was_not_used_for_longest_goes(void **state)
{
    (void)state;
    struct cache *c = cache_new(10000);
    struct buf b;
    char key[16], value[500];
    buf_init(&b);
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(set(c, key, value, 0, 1), 0);
        assert_non_null(get(c, "k0", 1, &b)); /* used all the time */
    }
    assert_non_null(get(c, "k99", 1, &b));
    assert_null(get(c, "k1", 1, &b));
    int kept = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        kept += get(c, key, 1, &b) != NULL;
    }
    assert_in_range(kept, 10, 19);
    buf_free(&b);
    cache_free(c);
}

static void what_is_larger_than_the_cache_is_refused(void **state)
{
    (void)state;
    struct cache *c = cache_new(300);
    struct buf b;
    char value[400] = {0};
    buf_init(&b);
    assert_int_equal(set(c, "small", "1", 0, 1), 0);
    assert_int_equal(cache_set(c, "large", value, sizeof value, 0, 1), -1);
    assert_null(get(c, "large", 1, &b));
    assert_string_equal(get(c, "small", 1, &b), "1");
    buf_free(&b);
    cache_free(c);
}

static void adding(void **state)
{
    (void)state;
    struct cache *c = cache_new(1 << 20);
    int64_t n;
    assert_int_equal(cache_add(c, "n", 5, 100, 1000, &n), 0);
    assert_int_equal(cache_add(c, "n", -7, 900, 1050, &n), 0);
    assert_int_equal(n, -2);
    assert_int_equal(cache_add(c, "n", 1, 0, 1100, &n), 0); /* the first one's time was over */
    assert_int_equal(n, 1);
    static const char *const bad[] = {"", "1x", "x", "99999999999999999999", "1.5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        set(c, "n", bad[i], 0, 1);
        assert_int_equal(cache_add(c, "n", 1, 0, 1, &n), -1);
    }
    cache_free(c);
}

/* ---- claims -----------------------------------------------------------------------------------
 */

struct side {
    struct cache_waiter waiter;
    struct cache_port port;
    struct ev_loop *loop;
    int woken;
};

static void on_ready(struct cache_waiter *w)
{
    ((struct side *)w)->woken++;
}

static void side_open(struct side *s, struct cache *c)
{
    memset(s, 0, sizeof *s);
    s->loop = ev_loop_new(EVFLAG_AUTO);
    cache_port_open(&s->port, c, s->loop);
    cache_waiter_init(&s->waiter, &s->port, on_ready);
}

static void side_close(struct side *s)
{
    cache_waiter_stop(&s->waiter);
    cache_port_close(&s->port);
    ev_loop_destroy(s->loop);
}

static void one_computes_the_others_wait(void **state)
{
    (void)state;
    struct cache *c = cache_new(1 << 20);
    struct buf b;
    struct side s[3];
    buf_init(&b);
    for (int i = 0; i < 3; i++)
        side_open(&s[i], c);
    assert_int_equal(cache_claim(c, "k", &s[0], 1, &s[0].waiter, &b), CACHE_MINE);
    assert_int_equal(cache_claim(c, "k", &s[0], 1, &s[0].waiter, &b), CACHE_OWN);
    assert_int_equal(cache_claim(c, "k", &s[1], 1, &s[1].waiter, &b), CACHE_WAIT);
    assert_int_equal(cache_claim(c, "k", &s[2], 1, &s[2].waiter, &b), CACHE_WAIT);
    cache_waiter_stop(&s[2].waiter); /* its message was given up */
    cache_release(c, "k", &s[1]);    /* not its claim: nothing */
    set(c, "k", "v", 0, 1);
    cache_release(c, "k", &s[0]);
    for (int i = 0; i < 3; i++)
        ev_run(s[i].loop, EVRUN_NOWAIT);
    assert_int_equal(s[1].woken, 1);
    assert_int_equal(s[2].woken, 0);
    assert_int_equal(cache_claim(c, "k", &s[1], 1, &s[1].waiter, &b), CACHE_FOUND);
    assert_string_equal(b.data, "v");
    for (int i = 0; i < 3; i++)
        side_close(&s[i]);
    buf_free(&b);
    cache_free(c);
}

static void one_that_was_woken_may_be_given_up(void **state)
{
    (void)state;
    struct cache *c = cache_new(1 << 20);
    struct buf b;
    struct side s[2];
    buf_init(&b);
    side_open(&s[0], c);
    side_open(&s[1], c);
    cache_claim(c, "k", &s[0], 1, &s[0].waiter, &b);
    cache_claim(c, "k", &s[1], 1, &s[1].waiter, &b);
    cache_release(c, "k", &s[0]); /* without a value */
    cache_waiter_stop(&s[1].waiter);
    ev_run(s[1].loop, EVRUN_NOWAIT);
    assert_int_equal(s[1].woken, 0);
    assert_int_equal(cache_claim(c, "k", &s[1], 1, &s[1].waiter, &b), CACHE_MINE);
    cache_release(c, "k", &s[1]);
    side_close(&s[0]);
    side_close(&s[1]);
    buf_free(&b);
    cache_free(c);
}

enum { THREADS = 4, ROUNDS = 2000 };
static struct cache *shared;
static int computing, computed;

static void *worker(void *arg)
{
    struct side *s = arg;
    struct buf b;
    int64_t n;
    char key[16];
    buf_init(&b);
    for (int i = 0; i < ROUNDS; i++) {
        cache_add(shared, "sum", 1, 0, 1, &n);
        snprintf(key, sizeof key, "k%d", i % 7);
        enum cache_claim answer;
        while ((answer = cache_claim(shared, key, s, 1, &s->waiter, &b)) == CACHE_WAIT)
            ev_run(s->loop, EVRUN_ONCE);
        if (answer != CACHE_MINE)
            continue;
        if (i % 7 == 0) { /* only one at a time is in here for a key */
            assert_int_equal(__atomic_add_fetch(&computing, 1, __ATOMIC_SEQ_CST), 1);
            __atomic_sub_fetch(&computing, 1, __ATOMIC_SEQ_CST);
        }
        __atomic_add_fetch(&computed, 1, __ATOMIC_SEQ_CST);
        if (i % 3 == 0)
            set(shared, key, "v", 0, 1);
        cache_release(shared, key, s);
        if (i % 5 == 0)
            cache_delete(shared, key);
    }
    buf_free(&b);
    return NULL;
}

static void workers_share_it(void **state)
{
    (void)state;
    struct side s[THREADS];
    pthread_t threads[THREADS];
    struct buf b;
    char text[16];
    shared = cache_new(1 << 20);
    for (int i = 0; i < THREADS; i++) {
        side_open(&s[i], shared);
        ev_ref(s[i].loop); /* here a loop has nothing else to wait for */
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, worker, &s[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    buf_init(&b);
    snprintf(text, sizeof text, "%d", THREADS * ROUNDS);
    assert_string_equal(get(shared, "sum", 1, &b), text);
    assert_true(computed > 0);
    for (int i = 0; i < THREADS; i++) {
        ev_unref(s[i].loop);
        side_close(&s[i]);
    }
    buf_free(&b);
    cache_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_live_for_their_time),
        cmocka_unit_test(what_was_not_used_for_longest_goes),
        cmocka_unit_test(what_is_larger_than_the_cache_is_refused),
        cmocka_unit_test(adding),
        cmocka_unit_test(one_computes_the_others_wait),
        cmocka_unit_test(one_that_was_woken_may_be_given_up),
        cmocka_unit_test(workers_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
