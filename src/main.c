/* From argv to a command. */
#include "cli/command.h"

#include "base/exit.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const struct command commands[] = {
    {"run", "consume a queue with a handler, until stopped", true, cmd_run},
    {"dev", "the same, with a queue and a Keycloak inside; reloads on save", true, cmd_dev},
    {"init", "a new handler, its test, a sample event, a config file", true, cmd_init},
    {"invoke", "one message through a handler; sends only with --live", true, cmd_invoke},
    {"check", "look at a handler and its configuration", false, cmd_check},
    {"sandbox", "stand-in SQS and Keycloak servers, in memory", false, cmd_sandbox},
    {"send", "put messages on a queue", true, cmd_send},
    {"test", "run *_test.lua files against handlers, on fakes", true, cmd_test},
    {"status", "what a running host does, and what holds it", false, cmd_status},
    {"reload", "a running host takes its handler anew", false, cmd_reload},
    {"pause", "a running host stops receiving", false, cmd_pause},
    {"resume", "a paused host goes on", false, cmd_resume},
    {"scale", "a running host gets more workers, or fewer", false, cmd_scale},
    {"types", "what an editor has to know of the handler's modules", false, cmd_types},
    {"completion", "completion of this command line in bash, zsh or fish", false, cmd_completion},
    {"man", "the manual pages: host(1) and host-handler(7)", false, cmd_man},
    {"version", "this version, and those of its libraries", false, cmd_version},
    {0},
};

/* A program started with a standard descriptor closed would get it for its first socket, and
 * then write its log into that. */
static int open_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    return fd < 0 ? -1 : close(fd);
}

int main(int argc, char **argv)
{
    if (open_standard_descriptors()) {
        perror("host: /dev/null");
        return EXIT_FAILED;
    }
    return command_main(commands, argc, argv);
}
