/* A handler of one chunk that has host.http at hand, on the server and the vm of vm_harness.h. */
#ifndef VM_HTTP_H
#define VM_HTTP_H

#include "vm_harness.h"

static const char prelude[] =
    "local host = require 'host'\nlocal http = require 'host.http'\nlocal json = require "
    "'host.json'\nlocal U = 'http://127.0.0.1:PORT'\nlocal function fails(kind, f, ...)\n"
    "local ok, e = pcall(f, ...)\nif ok or e.kind ~= kind then error('got ' .. tostring(e) .. ' ' "
    ".. tostring(type(e) == 'table' and e.kind)) end return e end\n"
    "return {handle = function(msg)\n";

static inline void open_chunk(struct rig *r, const char *chunk)
{
    char source[4096];
    snprintf(source, sizeof source, "%s%s\nend}", prelude, chunk);
    rig_must_open(r, source);
}

#endif
