/* What the stand-in servers are called where nobody says otherwise: `host sandbox`, `host dev`. */
#ifndef CLI_SANDBOX_DEFAULTS_H
#define CLI_SANDBOX_DEFAULTS_H

#define SANDBOX_ACCOUNT "000000000000" /* as lua/sandbox/sqs_queues.lua has it */
#define SANDBOX_LISTEN "127.0.0.1:9324"
#define SANDBOX_QUEUE "registrations"
#define SANDBOX_REALM "demo"
#define SANDBOX_CLIENT "luahost"

enum { SANDBOX_REDRIVE_MAX = 10 };

#endif
