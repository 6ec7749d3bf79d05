/* The small closed-down Lua state in which a config file runs. For conf/ only. */
#ifndef CONF_LUA_STATE_H
#define CONF_LUA_STATE_H

#include <stdbool.h>
#include <stddef.h>

struct lua_State;

/* How much a config file may do before it is taken for one that never ends. */
enum { CONF_LUA_INSTRUCTIONS = 20 * 1000 * 1000 };
enum { CONF_LUA_MEMORY_BYTES = 64 * 1024 * 1024 };

struct conf_lua {
    struct lua_State *L;
    size_t used_bytes;
};

/* NULL state: no memory. The struct must not move while it is open. */
bool conf_lua_open(struct conf_lua *lua);
void conf_lua_close(struct conf_lua *lua);

#endif
