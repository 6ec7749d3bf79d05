/* host run HANDLER */
#include "base/exit.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/run_options.h"
#include "ops/host.h"

#include <stdio.h>

static int print_config(const struct conf *c, struct err *e)
{
    struct buf out;
    buf_init(&out);
    bool ok = conf_print(c, &out);
    if (ok)
        fwrite(out.data, 1, out.len, stdout);
    buf_free(&out);
    return ok ? EXIT_DONE : err_set(e, EXIT_FAILED, "no memory to print the configuration");
}

static int run_with(const struct run_options *o, const struct conf *c, struct err *e)
{
    if (o->print_config)
        return print_config(c, e);
    log_setup(c->log.format, c->log.level);
    conf_log_warnings(c);
    if (conf_require_queue(c, e) != 0)
        return -1;
    struct host_options options = {.conf = c,
                                   .request = &o->conf,
                                   .watch = o->watch,
                                   .handler_path = o->handler,
                                   .until_empty = o->until_empty,
                                   .patience_s = o->patience_s};
    return host_run(&options);
}

int cmd_run(int argc, char **argv)
{
    struct run_options o;
    struct conf c = {0};
    struct err e = {0};
    int rc = run_options_parse(argc, argv, &o, &e);
    if (rc == 1)
        return EXIT_DONE;
    if (rc < 0)
        return run_options_end(&e);
    rc = conf_load(&c, &o.conf, &e);
    if (rc == 0)
        rc = run_with(&o, &c, &e);
    conf_free(&c);
    return rc < 0 ? run_options_end(&e) : rc;
}
